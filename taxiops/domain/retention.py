"""Which versions of a model may be deleted, with a reason for every one; deletes nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taxiops.errors import UsageError

KEPT, DELETED, WOULD_DELETE, FAILED = "kept", "deleted", "would_delete", "failed"
ACTIONS = (KEPT, DELETED, WOULD_DELETE, FAILED)
PIN = "taxiops_pinned"
# Azure ML counts versions up; what is not such a number was not made by counting.
NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class ModelVersion:
    """One version in the registry or workspace, with its tags."""

    version: str
    tags: Mapping[str, str] = field(default_factory=dict)


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
    """What becomes of one version, and why."""

    version: str
    is_kept: bool
    reason: str


@dataclass(frozen=True)
class CleanupPlan:
    """A decision for every version, the newest first."""

    decisions: tuple[Decision, ...]

    @property
    def to_delete(self) -> tuple[str, ...]:
        """The versions to delete, the oldest first."""
        return tuple(each.version for each in reversed(self.decisions) if not each.is_kept)

    def rows(self) -> list[dict[str, Any]]:
        """`versions` of cleanup_report.json as long as nothing is deleted."""
        return [
            {
                "version": each.version,
                "action": KEPT if each.is_kept else WOULD_DELETE,
                "reason": each.reason,
            }
            for each in self.decisions
        ]


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
    tags = {each.version: each.tags for each in versions}
    reasons: dict[tuple[int, int, str], list[str]] = {}
    for version, why in protected.items():
        reasons.setdefault(same_version(version), []).extend(why or ["in use"])
    ordered = newest_first(tags)
    newest = set([version for version in ordered if is_number(version)][: policy.retain_versions])
    decisions = []
    for at, version in enumerate(ordered):
        found = list(reasons.get(same_version(version), ()))
        if version in newest:
            found.append(f"one of the newest {policy.retain_versions}")
        if PIN in tags[version]:
            found.append(f"pinned by tag {PIN}")
        if not is_number(version):
            found.append("not a counted version, so its age is unknown")
        reason = "; ".join(found) or f"{at} newer versions, and nothing uses it"
        decisions.append(Decision(version, bool(found), reason))
    return CleanupPlan(tuple(decisions))


def is_number(version: str) -> bool:
    return NUMBER.fullmatch(version) is not None


def same_version(version: str) -> tuple[int, int, str]:
    """Equal for spellings of one number."""
    kind, number, _ = version_order(version)
    return (kind, number, "") if kind else (kind, 0, version)
