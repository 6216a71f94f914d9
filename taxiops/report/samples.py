"""samples.json as typed values, hostile content refused; draws nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.domain.fields import Fields, shown
from taxiops.errors import UsageError

WHAT = "samples.json"
MOST_ITEMS = 20_000
MOST_WORST = 100
MOST_FEATURES = 500
LONGEST_CELL = 60


@dataclass(frozen=True)
class Pair:
    """One list of numbers for each model, over the same positions."""

    at: tuple[float, ...]
    candidate: tuple[float, ...]
    baseline: tuple[float, ...]


@dataclass(frozen=True)
class Quantile:
    """A quantile of the absolute errors, or their signed mean, in USD; low and high bound
    candidate minus baseline."""

    candidate: float
    baseline: float
    low: float
    high: float


@dataclass(frozen=True)
class WorstTrip:
    """A trip the candidate got most wrong. USD; trip: its record as texts."""

    actual: float
    candidate: float
    baseline: float
    trip: Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """What a model's metadata says, as texts."""

    kind: str
    features: tuple[str, ...]
    params: Mapping[str, str]
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Samples:
    """What the compare step left for drawing. histogram.at: bin edges in USD; quantiles: by level,
    0 to 1; points.at: actual fares in USD. None or empty: not recorded."""

    histogram: Pair | None
    points: Pair | None
    quantiles: Mapping[float, Quantile]
    bias_usd: Quantile | None
    worst: tuple[WorstTrip, ...]
    features: Mapping[str, Mapping[str, str]]
    candidate: Model
    baseline: Model


def parse_samples(document: Mapping[str, Any]) -> Samples:
    """samples.json as values; the histogram, points and trips must be there, the rest may not.

    Raises UsageError naming the field that is of the wrong kind.
    """
    fields = Fields(document, WHAT, UsageError)
    fields.check_version()
    histogram = parse_pair(fields, "error_histogram", "edges", bins=True)
    points = parse_pair(fields, "predicted_vs_actual", "actual")
    has = fields.document.keys()
    return Samples(
        histogram=histogram if histogram.candidate else None,
        points=points if points.at else None,
        quantiles=parse_quantiles(fields) if "error_quantiles" in has else {},
        bias_usd=parse_quantile(fields.child("bias_usd")) if "bias_usd" in has else None,
        worst=tuple(parse_trip(each) for each in list(fields.children("worst_trips"))[:MOST_WORST]),
        features=parse_features(fields.child("features")) if "features" in has else {},
        candidate=parse_model(fields.child("candidate_metadata")),
        baseline=parse_model(fields.child("baseline_metadata")),
    )


def parse_pair(fields: Fields, name: str, axis: str, *, bins: bool = False) -> Pair:
    """The two lists and their axis, all of one length (one less than the axis for bins)."""
    child = fields.child(name)
    pair = Pair(*(numbers(child, each) for each in (axis, "candidate", "baseline")))
    length = max(len(pair.at) - 1, 0) if bins else len(pair.at)
    for model in ("candidate", "baseline"):
        if len(getattr(pair, model)) != length:
            child.refuse(model, f"must have {length} numbers")
    if bins and any(one >= other for one, other in zip(pair.at, pair.at[1:], strict=False)):
        child.refuse(axis, "must rise")
    return pair


def parse_quantiles(fields: Fields) -> dict[float, Quantile]:
    """The quantiles by level. Raises UsageError as parse_samples does."""
    pair, child = parse_pair(fields, "error_quantiles", "levels"), fields.child("error_quantiles")
    low, high = numbers(child, "ci_low"), numbers(child, "ci_high")
    for name, ends in (("ci_low", low), ("ci_high", high)):
        if len(ends) != len(pair.at):
            child.refuse(name, f"must have {len(pair.at)} numbers")
    rows = zip(pair.at, pair.candidate, pair.baseline, low, high, strict=True)
    return {level: Quantile(*row) for level, *row in rows}


def parse_quantile(fields: Fields) -> Quantile:
    names = ("candidate", "baseline", "ci_low", "ci_high")
    return Quantile(*(fields.number(name, -1e9, 1e9) for name in names))


def numbers(fields: Fields, name: str) -> tuple[float, ...]:
    items = fields.items(name)
    if len(items) > MOST_ITEMS:
        fields.refuse(name, f"has more than {MOST_ITEMS} numbers")
    row = Fields(
        {str(at): item for at, item in enumerate(items)},
        fields.what,
        fields.error,
        fields.path_of(name),
    )
    return tuple(row.number(str(at), -1e15, 1e15) for at in range(len(items)))


def parse_trip(fields: Fields) -> WorstTrip:
    record = fields.child("trip").document if "trip" in fields.document else {}
    return WorstTrip(
        actual=fields.number("actual", -1e9, 1e9),
        candidate=fields.number("candidate", -1e9, 1e9),
        baseline=fields.number("baseline", -1e9, 1e9),
        trip={str(name): cell(value) for name, value in record.items()},
    )


def parse_features(fields: Fields) -> dict[str, dict[str, str]]:
    names = list(fields.document)[:MOST_FEATURES]
    return {
        name: {key: cell(value) for key, value in fields.child(name).document.items()}
        for name in names
    }


def parse_model(fields: Fields) -> Model:
    """A model's metadata, whatever kind of model it is: what is not there is left away."""
    document = fields.document
    features, params = document.get("features"), document.get("params")
    facts = {
        f"{table} {key}": cell(value)
        for table in ("training", "versions", "created_from")
        if isinstance(document.get(table), Mapping)
        for key, value in document[table].items()
    }
    return Model(
        kind=cell(document.get("kind", "")),
        features=tuple(map(cell, features[:MOST_FEATURES])) if isinstance(features, list) else (),
        params={str(key): cell(value) for key, value in params.items()}
        if isinstance(params, Mapping)
        else {},
        facts=facts,
    )


def cell(value: object) -> str:
    """A JSON value as short text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else shown(value)
    return text if len(text) <= LONGEST_CELL + 12 else f"{text[:LONGEST_CELL]}…"
