"""The checks of one deployment through its scoring address; measures and judges, moves nothing."""

import itertools
import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taxiops.cloud.scoring import Answer, Blame, Scorer
from taxiops.errors import UsageError
from taxiops.workflows.rollouts.limits import Limits

Trips = list[dict[str, Any]]

WARM_UP_TRIES = 5
# A share of one percent is met often enough by then.
MOST_LIVE = 2_000
BAD_REQUEST = b'{"trips": "none"}'


@dataclass(frozen=True)
class Probe:
    """What the model folder brings along for tests: rows with their offline predictions."""

    golden: Trips
    predictions: tuple[float, ...]
    labelled: Trips
    fares_usd: tuple[float, ...]
    offline_mae_usd: float


@dataclass(frozen=True)
class Target:
    """The slot under test and what must answer there. incumbent empty: nothing to compare with."""

    slot: str
    model_sha256: str
    model_version: str
    incumbent: str = ""


@dataclass(frozen=True)
class Check:
    """One check's outcome. blame: who is at fault when it failed."""

    name: str
    passed: bool
    detail: str
    blame: Blame = Blame.NOBODY
    figures: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "passed": self.passed,
            "detail": self.detail,
            "blame": self.blame.value,
            "figures": dict(self.figures),
        }


def read_probe(folder: Path) -> Probe:
    """golden.json and labelled.json of a model folder; raises UsageError when they are unusable."""
    golden, labelled = read_rows(folder / "golden.json"), read_rows(folder / "labelled.json")
    return Probe(
        golden=golden["rows"],
        predictions=numbers(golden, "predictions", folder / "golden.json"),
        labelled=labelled["rows"],
        fares_usd=numbers(labelled, "fare_amount_usd", folder / "labelled.json"),
        offline_mae_usd=number(labelled, "offline_mae_usd", folder / "labelled.json"),
    )


def read_rows(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = document["rows"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise unusable(path, type(error).__name__) from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise unusable(path, "rows must be a list of objects")
    return dict(document)


def numbers(document: Mapping[str, Any], name: str, path: Path) -> tuple[float, ...]:
    values = document.get(name)
    if not is_numbers(values, len(document["rows"])):
        raise unusable(path, f"{name} must have one number a row")
    return tuple(float(value) for value in values or ())


def number(document: Mapping[str, Any], name: str, path: Path) -> float:
    value = document.get(name)
    if not is_numbers([value], 1):
        raise unusable(path, f"{name} must be a number")
    return float(value or 0.0)


def is_numbers(values: object, count: int) -> bool:
    """Whether it is a list of so many finite numbers."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        and all(math.isfinite(v) for v in values)
    )


def unusable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path.name} of the model: not usable: {why}.",
        hint="Promote a model that the train step wrote.",
        code="model-probe",
    )


def check_slot(scorer: Scorer, target: Target, probe: Probe, limits: Limits) -> list[Check]:
    """Every check in order; when the slot does not answer at all, the rest is left out."""
    checks = [check_liveness(scorer, target), check_readiness(scorer, target, probe)]
    if not all(check.passed for check in checks):
        return checks
    golden = scorer.score(probe.golden, target.slot)
    return [
        *checks,
        check_schema(golden, probe),
        check_identity(golden, target),
        check_parity(golden, probe, limits),
        check_accuracy(scorer.score(probe.labelled, target.slot), probe, limits),
        check_refusal(scorer, target),
        *check_load(scorer, target, probe, limits),
    ]


def failed(name: str, answer: Answer) -> Check:
    """A check whose request itself went wrong."""
    status = f"HTTP {answer.status}" if answer.status else "no answer"
    return Check(name, False, f"{status}: {answer.detail}".strip(": "), answer.blame)


def check_liveness(scorer: Scorer, target: Target) -> Check:
    answer = scorer.liveness(target.slot)
    if not answer.is_good:
        return failed("liveness", answer)
    return Check("liveness", True, "the container answers")


def check_readiness(scorer: Scorer, target: Target, probe: Probe) -> Check:
    """One row is scored; the first, cold answers may still be refused by the platform."""
    answer = scorer.score(probe.golden[:1], target.slot)
    for _ in range(WARM_UP_TRIES):
        if answer.is_good or answer.blame in (Blame.MODEL, Blame.REQUEST):
            break
        answer = scorer.score(probe.golden[:1], target.slot)
    if not answer.is_good:
        return failed("readiness", answer)
    figures = {"cold_ms": round(answer.latency_ms, 2)}
    return Check("readiness", True, "the model is loaded and scores", figures=figures)


def check_schema(answer: Answer, probe: Probe) -> Check:
    if not answer.is_good:
        return failed("schema", answer)
    document = answer.document
    if not is_numbers(document.get("predictions"), len(probe.golden)):
        why = f"predictions is not a list of {len(probe.golden)} finite numbers"
        return Check("schema", False, why, Blame.MODEL)
    texts = ("model_sha256", "deployment", "model_version")
    missing = [name for name in texts if not isinstance(document.get(name), str)]
    if missing:
        return Check("schema", False, f"missing: {', '.join(missing)}", Blame.MODEL)
    return Check("schema", True, "the answer has every field")


def check_identity(answer: Answer, target: Target) -> Check:
    """The answer itself proves which deployment, version and bytes made it."""
    wanted = {
        "deployment": target.slot,
        "model_version": target.model_version,
        "model_sha256": target.model_sha256,
    }
    wrong = [name for name, value in wanted.items() if answer.document.get(name) != value]
    if wrong:
        found = ", ".join(f"{name} {str(answer.document.get(name))[:80]!r}" for name in wrong)
        return Check("identity", False, f"the wrong model answered: {found}", Blame.MODEL)
    return Check("identity", True, f"version {target.model_version} answered, digest and all")


def check_parity(answer: Answer, probe: Probe, limits: Limits) -> Check:
    """Served predictions equal the offline ones on the golden rows."""
    served = answer.document.get("predictions")
    if not answer.is_good or not is_numbers(served, len(probe.predictions)):
        return failed("parity", answer) if not answer.is_good else unanswered("parity")
    gaps = [abs(a - b) for a, b in zip(served or (), probe.predictions, strict=True)]
    worst = max(gaps)
    passed = worst <= limits.golden_tolerance_usd
    detail = f"served and offline predictions differ by at most {worst:.3g} USD"
    figures = {"worst_gap_usd": worst, "rows": float(len(gaps))}
    return Check("parity", passed, detail, Blame.NOBODY if passed else Blame.MODEL, figures)


def check_accuracy(answer: Answer, probe: Probe, limits: Limits) -> Check:
    """The mean absolute error on labelled trips is no worse than offline."""
    served = answer.document.get("predictions")
    if not answer.is_good or not is_numbers(served, len(probe.fares_usd)):
        return failed("accuracy", answer) if not answer.is_good else unanswered("accuracy")
    gaps = [abs(a - b) for a, b in zip(served or (), probe.fares_usd, strict=True)]
    mae = math.fsum(gaps) / len(gaps)
    limit = probe.offline_mae_usd * (1 + limits.max_mae_increase_percent / 100)
    passed = mae <= limit + limits.golden_tolerance_usd
    detail = f"served MAE {mae:.4f} USD, offline {probe.offline_mae_usd:.4f} USD"
    figures = {"mae_usd": mae, "offline_mae_usd": probe.offline_mae_usd, "rows": float(len(gaps))}
    return Check("accuracy", passed, detail, Blame.NOBODY if passed else Blame.MODEL, figures)


def unanswered(name: str) -> Check:
    return Check(name, False, "the answer has no usable predictions", Blame.MODEL)


def check_refusal(scorer: Scorer, target: Target) -> Check:
    """Nonsense is refused as the client's fault, and the slot lives on."""
    answer = scorer.post(BAD_REQUEST, target.slot)
    if answer.blame is not Blame.REQUEST:
        why = f"HTTP {answer.status} for a body without trips"
        return Check("refusal", False, why, Blame.MODEL)
    return Check("refusal", True, "a body without trips is refused")


def check_load(scorer: Scorer, target: Target, probe: Probe, limits: Limits) -> list[Check]:
    """Errors and latency over a bounded replay, alternating with the incumbent."""
    measured: dict[str, list[Answer]] = {target.slot: []}
    if target.incumbent:
        measured[target.incumbent] = []
    for at in range(max(1, limits.requests)):
        row = probe.labelled[at % len(probe.labelled)]
        for slot, answers in measured.items():
            answers.append(scorer.score([row], slot))
    incumbent = measured.get(target.incumbent, [])
    own = measured[target.slot]
    return [error_check(own, limits), latency_check(own, incumbent, limits)]


def check_live(scorer: Scorer, target: Target, probe: Probe, limits: Limits) -> list[Check]:
    """Errors and latency of requests as clients send them: several at once, shared out by traffic.

    Every answer says which deployment made it. Requests that nobody answered count against the
    slot, for it may have been theirs.
    """
    answers = replay(scorer, target, probe, limits)
    own = [each for each in answers if each.deployment in (target.slot, "")]
    others = [each for each in answers if each.deployment not in (target.slot, "")]
    if not any(each.deployment == target.slot for each in answers):
        why = f"none of {len(answers)} requests reached the slot, though it has traffic"
        return [Check("live-share", False, why, Blame.PLATFORM)]
    named = [(error_check(own, limits), "live-errors")]
    named.append((latency_check(own, others, limits), "live-latency"))
    return [replace(check, name=name) for check, name in named]


def replay(scorer: Scorer, target: Target, probe: Probe, limits: Limits) -> list[Answer]:
    """Labelled rows one by one, until the slot answered often enough or MOST_LIVE were sent."""
    lock, answers, sent = threading.Lock(), list[Answer](), itertools.count()

    def is_over() -> bool:
        own = sum(each.deployment in (target.slot, "") for each in answers)
        return own >= max(1, limits.live_requests) or len(answers) >= MOST_LIVE

    def work() -> None:
        with scorer.another() as mine:
            while not is_over():
                answer = mine.score([probe.labelled[next(sent) % len(probe.labelled)]])
                with lock:
                    answers.append(answer)

    workers = [threading.Thread(target=work) for _ in range(max(1, limits.live_connections))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return answers


def error_check(answers: Sequence[Answer], limits: Limits) -> Check:
    bad = [answer for answer in answers if not answer.is_good]
    percent = 100 * len(bad) / len(answers)
    passed = percent <= limits.max_error_percent
    detail = f"{len(bad)} of {len(answers)} requests failed"
    if bad:
        detail += f"; the first: HTTP {bad[0].status} {bad[0].detail[:120]}"
    blame = worst_blame(bad) if not passed else Blame.NOBODY
    figures = {"requests": float(len(answers)), "error_percent": percent}
    return Check("errors", passed, detail, blame, figures)


def worst_blame(bad: Sequence[Answer]) -> Blame:
    """The model's if any failure is its own, else the most frequent one."""
    blames = [answer.blame for answer in bad]
    if Blame.MODEL in blames or Blame.REQUEST in blames:
        return Blame.MODEL
    return max(blames, key=blames.count)


def latency_check(own: Sequence[Answer], incumbent: Sequence[Answer], limits: Limits) -> Check:
    """p95 within the absolute limit, and within a multiple of the incumbent's."""
    figures = {f"{name}_ms": value for name, value in percentiles(own).items()}
    limit = limits.max_p95_ms
    detail = f"p50 {figures['p50_ms']:.1f} ms, p95 {figures['p95_ms']:.1f} ms"
    if incumbent:
        other = percentiles(incumbent)
        figures |= {f"incumbent_{name}_ms": value for name, value in other.items()}
        relative = max(limits.p95_floor_ms, other["p95"] * limits.max_p95_ratio)
        limit = min(limit, relative)
        detail += f"; incumbent p50 {other['p50']:.1f} ms, p95 {other['p95']:.1f} ms"
    passed = figures["p95_ms"] <= limit
    detail += f"; limit {limit:.0f} ms"
    return Check("latency", passed, detail, Blame.NOBODY if passed else Blame.MODEL, figures)


def percentiles(answers: Sequence[Answer]) -> dict[str, float]:
    """p50, p95 and p99 of the latency in milliseconds (nearest rank)."""
    latencies = sorted(answer.latency_ms for answer in answers)
    rank: Callable[[float], int] = lambda share: max(1, math.ceil(share * len(latencies))) - 1  # noqa: E731
    shares = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    return {name: round(latencies[rank(share)], 3) for name, share in shares.items()}
