"""How many test trips would decide what is inconclusive; a planning figure, no part of a verdict.

Intervals narrow with the square root of the trips. A difference as large as the measured one is
told from zero, or from what is demanded, in POWER of all cases once its distance is as many
standard errors as the interval's quantile and the power's together (Cohen, Statistical Power
Analysis for the Behavioral Sciences, 2nd edition, chapter 2).
"""

import math
from statistics import NormalDist

from taxiops.domain.comparison import Metric
from taxiops.domain.gate_rules import demanded_of, gain_of
from taxiops.domain.policy import Policy

POWER = 0.8
# More trips than New York has taxi rides in a decade.
MOST_TRIPS = 1e9


def more_trips(metric: Metric, policy: Policy, rows: int) -> str:
    """How many more test trips would decide on the primary metric, as a sentence."""
    is_enough = gain_of(metric)[0] >= demanded_of(metric, policy)
    end = "show that it is better" if is_enough else "show that it is not better enough"
    return sentence(trips_needed(metric, policy, rows), rows, end)


def more_trips_for_guard(metric: Metric, policy: Policy, rows: int) -> str:
    """How many more test trips would show that a guard is worse, as a sentence."""
    gain, _, high = gain_of(metric)
    certain, powerful = quantiles(policy)
    needed = trips_for((high - gain) / certain, -gain / (certain + powerful), rows)
    return sentence(needed, rows, "show it")


def sentence(needed: float, rows: int, end: str) -> str:
    if needed > MOST_TRIPS:
        return "The change is too near to what is demanded for any number of test trips to decide."
    more = max(1, math.ceil(needed) - rows)
    return (
        f"About {rounded(more):,} more test trips would {end} in {100 * POWER:.0f} of 100 cases, "
        "if the difference stays."
    )


def trips_needed(metric: Metric, policy: Policy, rows: int) -> float:
    """All test trips that would decide, when `rows` gave this metric; infinite when none would."""
    gain, low, high = gain_of(metric)
    demanded = demanded_of(metric, policy)
    certain, powerful = quantiles(policy)
    if gain >= demanded:
        # The interval must get clear of zero, and chance must not take the gain below the demand.
        wanted = min(gain / (certain + powerful), (gain - demanded) / powerful)
        return trips_for((gain - low) / certain, wanted, rows)
    wanted = (demanded - gain) / (certain + powerful)
    return trips_for((high - gain) / certain, wanted, rows)


def quantiles(policy: Policy) -> tuple[float, float]:
    """Of the standard normal: the interval's and the power's."""
    return NormalDist().inv_cdf((1 + policy.confidence) / 2), NormalDist().inv_cdf(POWER)


def trips_for(error: float, wanted: float, rows: int) -> float:
    """How many trips narrow a standard error to the wanted one."""
    return rows * (error / wanted) ** 2 if wanted > 0 else math.inf


def rounded(number: int) -> int:
    """To two digits: more would pretend a precision that is not there."""
    return round(number, 2 - len(str(number))) if number > 9 else number
