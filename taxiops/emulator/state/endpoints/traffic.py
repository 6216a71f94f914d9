"""Azure's rules for the traffic of an endpoint; pure."""

import re
from collections.abc import Collection, Mapping

# Azure Machine Learning limits for managed online endpoints and deployments.
NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9]|-(?=[a-zA-Z0-9])){2,31}")
NAME_RULE = (
    "must have 3-32 letters, digits and single dashes, begin with a letter and end with a "
    "letter or digit"
)
MOST_MIRRORED_PERCENT = 50


class BadTraffic(ValueError):
    """A traffic map that Azure refuses; the text says why."""


def checked_traffic(given: object, deployments: Collection[str]) -> dict[str, int]:
    """Lower-case names and percents summing to 0 or 100. Raises BadTraffic."""
    traffic = percents(given, deployments, "traffic")
    total = sum(traffic.values())
    if total not in {0, 100}:
        raise BadTraffic(f"Sum of traffic must be 0 or 100, but it is {total}.")
    return traffic


def checked_mirror(
    given: object, traffic: Mapping[str, int], deployments: Collection[str]
) -> dict[str, int]:
    """At most one deployment without live traffic, at most 50 percent. Raises BadTraffic."""
    mirror = {
        name: percent
        for name, percent in percents(given, deployments, "mirror traffic").items()
        if percent
    }
    if len(mirror) > 1:
        raise BadTraffic("Mirror traffic may go to one deployment only.")
    for name, percent in mirror.items():
        if percent > MOST_MIRRORED_PERCENT:
            raise BadTraffic(f"Mirror traffic may be at most {MOST_MIRRORED_PERCENT} percent.")
        if traffic.get(name):
            raise BadTraffic(f"Deployment {name} cannot have live and mirror traffic at once.")
    return mirror


def percents(given: object, deployments: Collection[str], what: str) -> dict[str, int]:
    """Whole percents by lower-cased name, each of an existing deployment. Raises BadTraffic."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadTraffic(f"The {what} must map deployments to percents.")
    result: dict[str, int] = {}
    for name, percent in given.items():
        lower = str(name).lower()
        if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
            raise BadTraffic(f"The {what} of {name} must be a whole number from 0 to 100.")
        if lower not in deployments:
            raise BadTraffic(f"The {what} names the deployment {name}, which does not exist.")
        if lower in result:
            raise BadTraffic(f"The {what} names the deployment {lower} twice.")
        result[lower] = percent
    return result
