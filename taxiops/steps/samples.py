"""What the report draws beside the figures, gathered in one pass: samples.json.

The document: {schema_version: 1,
error_histogram: {edges: [USD], candidate: [trips], baseline: [trips]}: signed errors, prediction
minus fare, the outermost bins holding everything beyond;
error_quantiles: {levels: [0..1], candidate: [USD], baseline: [USD], ci_low: [USD], ci_high: [USD]}:
of absolute errors, from bins of five cents; the interval is that of candidate minus baseline;
bias_usd: {candidate, baseline, ci_low, ci_high}: mean signed error;
predicted_vs_actual: {actual: [USD], candidate: [USD], baseline: [USD]}: a fixed random sample;
worst_trips: [{trip: a record as the endpoint takes it, actual, candidate, baseline}]: by the
candidate's absolute error, worst first;
features: {name: {known, missing, mean, sd, min, max}}: of the candidate's features on the test
trips, null when never known;
candidate_metadata, baseline_metadata: metadata.json of both models}.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.steps.columns import FARE, RIDE, Columns, concatenate, records_of, take
from taxiops.steps.error_quantiles import MODELS, ErrorQuantiles
from taxiops.steps.identity import block_of, sample_rank
from taxiops.steps.model_files import Model

EDGES = np.round(np.arange(-20, 20.01, 0.5), 2)
POINTS, WORST = 2_000, 20
Floats = NDArray[np.float64]


class Samples:
    """Counts and small samples of the trips seen so far; memory does not grow with them."""

    def __init__(self, features: tuple[str, ...]) -> None:
        self._features = features
        self._histogram = np.zeros((2, len(EDGES) - 1), np.int64)
        self._quantiles = ErrorQuantiles()
        self._rows = 0
        self._points: dict[str, NDArray[Any]] = {}
        self._worst: dict[str, NDArray[Any]] = {}
        count = len(features)
        self._known = np.zeros(count, np.int64)
        self._sums, self._squares = np.zeros(count), np.zeros(count)
        self._low, self._high = np.full(count, np.inf), np.full(count, -np.inf)

    def add(self, trips: Columns, matrix: Floats, candidate: Floats, baseline: Floats) -> None:
        """The next trips with the candidate's feature matrix and both models' predictions."""
        fares = trips[FARE]
        self._rows += len(fares)
        both = candidate - fares, baseline - fares
        self._quantiles.add(block_of(trips[RIDE]), *both)
        for at, errors in enumerate(both):
            bins = np.floor((errors - EDGES[0]) / (EDGES[1] - EDGES[0])).astype(np.int64)
            bins = np.clip(bins, 0, len(EDGES) - 2)
            self._histogram[at] += np.bincount(bins, minlength=len(EDGES) - 1)
        found = {**trips, "candidate": candidate, "baseline": baseline}
        self._points = lowest(self._points, found, sample_rank(trips[RIDE]), POINTS)
        self._worst = lowest(self._worst, found, -np.abs(candidate - fares), WORST)
        self._describe(matrix)

    def _describe(self, matrix: Floats) -> None:
        unknown = np.isnan(matrix)
        filled = np.where(unknown, 0.0, matrix)
        self._known += len(matrix) - np.count_nonzero(unknown, axis=0)
        self._sums += filled.sum(axis=0)
        self._squares += np.einsum("ij,ij->j", filled, filled)
        self._low = np.fmin(self._low, np.fmin.reduce(matrix))
        self._high = np.fmax(self._high, np.fmax.reduce(matrix))

    def document(self, candidate: Model, baseline: Model, confidence: float) -> dict[str, Any]:
        """samples.json, in the shape the module's first lines give."""
        points, worst = self._points, self._worst
        return {
            "schema_version": 1,
            "error_histogram": {
                "edges": EDGES.tolist(),
                **{name: self._histogram[at].tolist() for at, name in enumerate(MODELS)},
            },
            **self._quantiles.document(confidence),
            "predicted_vs_actual": {
                "actual": cents(points[FARE]),
                **{name: cents(points[name]) for name in MODELS},
            },
            "worst_trips": [
                {"trip": record, "actual": actual, "candidate": mine, "baseline": theirs}
                for record, actual, mine, theirs in zip(
                    records_of(worst),
                    cents(worst[FARE]),
                    cents(worst["candidate"]),
                    cents(worst["baseline"]),
                    strict=True,
                )
            ],
            "features": self._described(),
            "candidate_metadata": candidate.metadata,
            "baseline_metadata": baseline.metadata,
        }

    def _described(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for at, name in enumerate(self._features):
            known = int(self._known[at])
            row: dict[str, Any] = {"known": known, "missing": self._rows - known}
            row.update(dict.fromkeys(("mean", "sd", "min", "max")))
            if known:
                mean = self._sums[at] / known
                variance = max(self._squares[at] / known - mean * mean, 0.0)
                numbers = (mean, np.sqrt(variance), self._low[at], self._high[at])
                figures = [round(float(number), 4) for number in numbers]
                row.update(zip(("mean", "sd", "min", "max"), figures, strict=True))
            result[name] = row
        return result


def lowest(
    kept: dict[str, NDArray[Any]], found: Columns, keys: NDArray[Any], count: int
) -> dict[str, NDArray[Any]]:
    """The `count` trips of lowest key among those kept and found, lowest first, ties by ride."""
    candidates = {**found, "key": keys}
    if kept and len(kept["key"]) >= count:
        candidates = take(candidates, keys <= kept["key"][-1])
    both = concatenate([kept, candidates]) if kept else candidates
    if len(both["key"]) > 4 * count:
        limit = np.partition(both["key"], count - 1)[count - 1]
        both = take(both, both["key"] <= limit)
    return take(both, np.lexsort((both[RIDE], both["key"]))[:count])


def cents(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 2) for value in values]
