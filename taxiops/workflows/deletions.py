"""Carries a retention plan out, looking again before each deletion; knows no cloud."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from taxiops.domain.cleanup_plan import PlanFile
from taxiops.domain.retention import (
    DELETED,
    FAILED,
    KEPT,
    Decision,
    ModelVersion,
    Use,
    protections,
    reason_to_keep,
)
from taxiops.errors import Interrupted, TaxiopsError

UNREACHED = "not reached: the clean-up ended before"

# Version -> what became of it, and why.
Outcomes = dict[str, tuple[str, str]]
Note = Callable[[str, str, str], None]


@dataclass(frozen=True)
class World:
    """What a clean-up asks and does.

    check: raises when it must stop. version: the version as it is, None when it is gone.
    uses: everything that needs a version, all read anew. delete: for good, seen to be gone.
    """

    check: Callable[[], None]
    version: Callable[[str], ModelVersion | None]
    uses: Callable[[], Iterable[Use]]
    delete: Callable[[str], None]


def carry_out(agreed: PlanFile, world: World, outcomes: Outcomes, note: Note) -> None:
    """Delete what the plan says, the oldest first; fills `outcomes` as it goes.

    A deletion that fails does not stop the others; what cannot be read does. What was seen in use
    once stays protected to the end: a later answer may be the stale one.
    """
    planned = {each.version: each for each in agreed.plan.decisions if not each.is_kept}
    outcomes.update(dict.fromkeys(planned, (KEPT, UNREACHED)))
    uses: list[Use] = []
    for version in agreed.plan.to_delete:
        world.check()
        outcomes[version] = deleted(planned[version], agreed, world, uses, note)
    begun = protections(agreed.name, world.uses()) if planned else {}
    for version in planned:
        if outcomes[version][0] == DELETED and version in begun:
            why = f"deleted, but {'; '.join(begun[version])} took it meanwhile: deploy another"
            outcomes[version] = (FAILED, why)


def deleted(
    planned: Decision, agreed: PlanFile, world: World, uses: list[Use], note: Note
) -> tuple[str, str]:
    """What becomes of one version; it is itself read last, just before it is deleted."""
    version = planned.version
    if any(world.version(newest) is None for newest in agreed.plan.newest):
        return KEPT, "since the plan: one of the newest was deleted by somebody"
    uses.extend(world.uses())
    found = world.version(version)
    if found is None:
        return DELETED, "is gone already"
    reason = reason_to_keep(planned, found, protections(agreed.name, uses))
    if reason:
        return KEPT, reason
    note("deleting", version, "")
    try:
        world.delete(version)
    except Interrupted:
        raise
    except TaxiopsError as error:
        note("not deleted", version, error.what)
        return FAILED, f"{error.what} {error.why}".strip()
    note("deleted", version, "")
    return DELETED, planned.reason
