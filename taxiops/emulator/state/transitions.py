"""How a long-running state moves on: at once, by number of polls, or by time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Transition:
    """A resource stays in its transient state until `polls` reads and `seconds` have passed.

    Both zero: it advances at once. Chosen per kind of resource over the control route, so that
    tests drive provisioning without sleeping.
    """

    polls: int = 0
    seconds: float = 0.0

    def is_over(self, polls_seen: int, elapsed_s: float) -> bool:
        return polls_seen >= self.polls and elapsed_s >= self.seconds
