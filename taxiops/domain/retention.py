"""Which versions of a model may be deleted, with a reason for every one; deletes nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from taxiops.domain.evidence import digest_of_json
from taxiops.errors import StepFailed, UsageError

KEPT, DELETED, WOULD_DELETE, FAILED = "kept", "deleted", "would_delete", "failed"
ACTIONS = (KEPT, DELETED, WOULD_DELETE, FAILED)
PIN = "taxiops_pinned"
# Azure ML counts versions up; what is not such a number was not made by counting.
NUMBER = re.compile(r"[0-9]{1,18}")
# How deployments name a registered model: ARM and registry ids, and the short form of YAML files.
LONG_REFERENCE = re.compile(r"(?:^|/)models/([^/]+)/(versions|labels)/([^/]+)/?$", re.IGNORECASE)
SHORT_REFERENCE = re.compile(r"azureml:([^:@/]+)(?::([^:@/]+)|@[^:@/]+)")


@dataclass(frozen=True)
class Use:
    """Something that needs a version of a model. version empty: nobody can tell which."""

    model: str
    version: str
    why: str


@dataclass(frozen=True)
class ModelVersion:
    """One version in the registry or workspace, with its tags and where its bytes lie."""

    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    path: str = ""

    @property
    def fingerprint(self) -> str:
        """Another one when the version was made anew under its number, or its tags changed."""
        return digest_of_json([self.version, self.path, dict(self.tags)])


@dataclass(frozen=True)
class RetentionPolicy:
    """How many of the newest versions stay whatever else; at least one."""

    retain_versions: int

    def __post_init__(self) -> None:
        if isinstance(self.retain_versions, bool) or self.retain_versions < 1:
            raise UsageError(
                f"--retain-versions is {self.retain_versions}; it must be 1 or more.",
                hint="taxiops cleanup models --retain-versions 5",
                code="retention-invalid",
            )


@dataclass(frozen=True)
class Decision:
    """What becomes of one version, and why. fingerprint: of the version as it was then."""

    version: str
    is_kept: bool
    reason: str
    fingerprint: str = ""


@dataclass(frozen=True)
class CleanupPlan:
    """A decision for every version, the newest first. newest: those kept for being so."""

    decisions: tuple[Decision, ...]
    newest: tuple[str, ...] = ()

    @property
    def to_delete(self) -> tuple[str, ...]:
        """The versions to delete, the oldest first."""
        return tuple(each.version for each in reversed(self.decisions) if not each.is_kept)


def version_order(version: str) -> tuple[int, int, str]:
    """The key that sorts versions by age: by number, 10 above 9; what is no number comes first."""
    if NUMBER.fullmatch(version):
        return 1, int(version), version
    return 0, 0, version


def newest_first(versions: Iterable[str]) -> list[str]:
    """The versions without repetitions, the newest first."""
    return sorted(set(versions), key=version_order, reverse=True)


def plan_cleanup(
    versions: Sequence[ModelVersion],
    protected: Mapping[str, Sequence[str]],
    policy: RetentionPolicy,
) -> CleanupPlan:
    """A decision for every version.

    protected: version -> why it must stay, such as `serves in dev/blue`; what is in use anywhere
    and every rollback target belongs there. Kept besides: the newest, those with the pin tag, and
    those whose version is no number. `1` and `01` protect each other.
    """
    known = {each.version: each for each in versions}
    reasons = by_number(protected)
    ordered = newest_first(known)
    newest = [version for version in ordered if is_number(version)][: policy.retain_versions]
    are_newest = set(newest)
    decisions = []
    for at, version in enumerate(ordered):
        found = list(reasons.get(same_version(version), ()))
        if version in are_newest:
            found.append(f"one of the newest {policy.retain_versions}")
        if PIN in known[version].tags:
            found.append(f"pinned by tag {PIN}")
        if not is_number(version):
            found.append("not a counted version, so its age is unknown")
        reason = "; ".join(found) or f"{at} newer versions, and nothing uses it"
        decisions.append(Decision(version, bool(found), reason, known[version].fingerprint))
    return CleanupPlan(tuple(decisions), tuple(newest))


def reason_to_keep(
    planned: Decision, found: ModelVersion, protected: Mapping[str, Sequence[str]]
) -> str:
    """Why a version that was to be deleted must stay after all; empty when nothing changed."""
    in_use = by_number(protected).get(same_version(planned.version), [])
    changes = list(in_use)
    if PIN in found.tags:
        changes.append(f"pinned by tag {PIN}")
    elif found.fingerprint != planned.fingerprint:
        changes.append("changed by somebody")
    return f"since the plan: {'; '.join(changes)}" if changes else ""


def protections(model: str, uses: Iterable[Use]) -> dict[str, list[str]]:
    """Version -> why it must stay, from everything that uses a version of the model.

    Names are compared without regard to case, as Azure does. Raises StepFailed for a use that
    does not tell its version: any of them could be it.
    """
    found: dict[str, list[str]] = {}
    for use in uses:
        if use.model.casefold() != model.casefold():
            continue
        if not use.version:
            raise StepFailed(
                f"Nobody can tell which version of {model} is needed: {use.why}.",
                why="Any version could be it, so nothing is deleted.",
                hint="taxiops status",
                code="use-unclear",
            )
        reasons = found.setdefault(use.version, [])
        if use.why not in reasons:
            reasons.append(use.why)
    return found


def reference_of(text: str) -> tuple[str, str]:
    """Name and version of the registered model that a deployment refers to.

    The name is empty when the text names no registered model, the version when it tells none.
    """
    long, short = LONG_REFERENCE.search(text), SHORT_REFERENCE.fullmatch(text)
    if long:
        return long.group(1), long.group(3) if long.group(2).lower() == "versions" else ""
    return (short.group(1), short.group(2) or "") if short else ("", "")


def by_number(protected: Mapping[str, Sequence[str]]) -> dict[tuple[int, int, str], list[str]]:
    """The reasons, with the spellings of one number together."""
    reasons: dict[tuple[int, int, str], list[str]] = {}
    for version, why in protected.items():
        reasons.setdefault(same_version(version), []).extend(why or ["in use"])
    return reasons


def is_number(version: str) -> bool:
    return NUMBER.fullmatch(version) is not None


def same_version(version: str) -> tuple[int, int, str]:
    """Equal for spellings of one number."""
    kind, number, _ = version_order(version)
    return (kind, number, "") if kind else (kind, 0, version)
