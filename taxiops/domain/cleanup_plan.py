"""cleanup_plan.json as a typed value: what was decided of every version before any is deleted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.domain.fields import SCHEMA_VERSION, Fields
from taxiops.domain.retention import KEPT, WOULD_DELETE, CleanupPlan, Decision, newest_first
from taxiops.errors import UsageError


@dataclass(frozen=True)
class PlanFile:
    """A plan with the place that it is for, such as `registry mlrdevcc01`, and its author."""

    name: str
    place: str
    retain_versions: int
    plan: CleanupPlan
    created_at: str
    created_by: str

    def document(self) -> dict[str, Any]:
        newest = set(self.plan.newest)
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "place": self.place,
            "retain_versions": self.retain_versions,
            "created_at": self.created_at,
            "created_by": self.created_by,
            "versions": [
                {
                    "version": each.version,
                    "action": KEPT if each.is_kept else WOULD_DELETE,
                    "reason": each.reason,
                    "is_newest": each.version in newest,
                    "fingerprint": each.fingerprint,
                }
                for each in self.plan.decisions
            ],
        }


def parse_cleanup_plan(document: Mapping[str, Any], what: str = "cleanup_plan.json") -> PlanFile:
    """Raises UsageError naming the field.

    Whoever edited the file can only make it delete less: every version is looked at again.
    """
    fields = Fields(document, what, UsageError)
    fields.check_version()
    decisions, newest = [], []
    for each in fields.children("versions"):
        version, reason = (each.text(name, may_be_empty=False) for name in ("version", "reason"))
        is_kept = each.choice("action", (KEPT, WOULD_DELETE)) == KEPT
        decisions.append(Decision(version, is_kept, reason, each.sha256("fingerprint")))
        if each.flag("is_newest"):
            newest.append(version)
    versions = [each.version for each in decisions]
    if newest_first(versions) != versions:
        fields.refuse("versions", "are not each once, the newest first")
    return PlanFile(
        name=fields.text("name", may_be_empty=False),
        place=fields.text("place", may_be_empty=False),
        retain_versions=fields.whole("retain_versions", 1),
        plan=CleanupPlan(tuple(decisions), tuple(newest)),
        created_at=fields.time("created_at"),
        created_by=fields.text("created_by", may_be_empty=False),
    )
