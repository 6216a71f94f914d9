"""Traffic: how an endpoint's requests are shared among its slots; a value, it moves nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from taxiops.errors import UsageError

# Azure's rule for deployment names, and it lower-cases them when traffic is written.
SLOT = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){2,31}")
ALL = 100
# Azure mirrors to one deployment, at most this share, and only to one without live traffic.
MOST_MIRRORED = 50


@dataclass(frozen=True)
class Change:
    """One slot's percent before and after."""

    slot: str
    before: int
    after: int


@dataclass(frozen=True)
class Traffic:
    """shares: slot -> whole percent, in order of names, zeros kept; they sum to 0 or 100."""

    shares: Mapping[str, int]

    @classmethod
    def of(cls, shares: Mapping[str, int], where: str = "traffic") -> "Traffic":
        """The shares as Traffic, names in lower case.

        Raises UsageError naming the slot when a name or share is impossible, or when the sum is
        neither 0 nor 100.
        """
        found = checked_shares(shares, where)
        total = sum(found.values())
        if total not in (0, ALL):
            raise wrong(where, f"sums to {total} percent; Azure takes 0 or 100 only", "traffic-sum")
        return cls(found)

    @property
    def live(self) -> dict[str, int]:
        """The slots that get requests."""
        return {slot: percent for slot, percent in self.shares.items() if percent}

    @property
    def is_empty(self) -> bool:
        """Whether no slot gets requests, so that clients see 404."""
        return not self.live

    def percent(self, slot: str) -> int:
        """The slot's share; 0 for one that is not there."""
        return self.shares.get(slot.lower(), 0)

    def is_same(self, other: "Traffic") -> bool:
        """Whether requests go the same way; zeros make no difference, Azure drops them."""
        return self.live == other.live

    def shift(self, slot: str, percent: int) -> "Traffic":
        """The slot at `percent`, the others sharing the rest in their proportion.

        Raises UsageError when nobody is left to take the rest, or for an impossible share.
        """
        name = slot.lower()
        checked_shares({name: percent}, "traffic")
        others = {other: share for other, share in self.shares.items() if other != name}
        rest = ALL - percent
        if rest and not any(others.values()):
            raise wrong("traffic", f"no other slot can take the {rest} percent left", "traffic-sum")
        return Traffic.of({**divided(others, rest), name: percent})

    def mirror(self, slot: str, percent: int) -> dict[str, int]:
        """The mirrored share as Azure takes it, given this live traffic; empty for 0 percent.

        Raises UsageError when the slot carries live traffic or the share is above 50 percent.
        """
        name = slot.lower()
        checked_shares({name: percent}, "mirror traffic")
        if percent > MOST_MIRRORED:
            raise wrong(
                f"mirror traffic of {name}",
                f"is {percent}; Azure mirrors {MOST_MIRRORED} percent at most",
                "traffic-mirror",
            )
        if percent and self.percent(name):
            raise wrong(
                f"mirror traffic of {name}",
                f"impossible, for it has {self.percent(name)} percent live",
                "traffic-mirror",
            )
        return {name: percent} if percent else {}

    def diff(self, other: "Traffic") -> tuple[Change, ...]:
        """What changes from this to the other, in order of names."""
        slots = sorted({*self.shares, *other.shares})
        return tuple(
            Change(slot, self.percent(slot), other.percent(slot))
            for slot in slots
            if self.percent(slot) != other.percent(slot)
        )

    def __str__(self) -> str:
        """Such as `blue=70,green=30`; `none` when no slot is there."""
        return ",".join(f"{slot}={percent}" for slot, percent in self.shares.items()) or "none"


def checked_shares(shares: Mapping[str, int], where: str) -> dict[str, int]:
    """The shares by lower-case name, in order; raises UsageError naming the slot."""
    found: dict[str, int] = {}
    for slot, percent in shares.items():
        name = slot.lower()
        if not SLOT.fullmatch(name):
            raise wrong(f"{where}: {ascii(slot)[:50]}", "is no deployment name", "traffic-slot")
        if name in found:
            raise wrong(f"{where}: {name}", "stands there twice", "traffic-slot")
        if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= ALL:
            raise wrong(f"{where}: {name}", "must be a whole percent, 0 to 100", "traffic-share")
        found[name] = percent
    return dict(sorted(found.items()))


def divided(shares: Mapping[str, int], total: int) -> dict[str, int]:
    """`total` divided in the proportion of the shares into whole percents, largest remainder first.

    Ties go to the first name, so that the answer is always the same.
    """
    whole = sum(shares.values())
    if not whole:
        return dict.fromkeys(shares, 0)
    found = {slot: share * total // whole for slot, share in shares.items()}
    by_remainder = sorted(shares, key=lambda slot: (-(shares[slot] * total % whole), slot))
    for slot in by_remainder[: total - sum(found.values())]:
        found[slot] += 1
    return found


def wrong(where: str, why: str, code: str) -> UsageError:
    return UsageError(f"{where}: {why}.", hint="taxiops traffic show", code=code)
