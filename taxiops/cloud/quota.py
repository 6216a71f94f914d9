"""What a region has left of virtual cores, as the service tells it; reserves nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taxiops.cloud.failures import azure_errors

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection


@dataclass(frozen=True)
class Quota:
    """Virtual cores of a family of sizes: those in use, and the most there may be.

    cores: how many one instance of the size has.
    """

    family: str
    cores: int
    used: int
    limit: int


def read_quota(connection: "Connection", instance_type: str) -> Quota | None:
    """The quota that instances of a size count against; None where the service does not tell.

    Raises TaxiopsError, NotAuthorised when this identity may not ask.
    """
    compute = connection.workspace.compute
    with azure_errors("Reading the quota"):
        sizes = {str(size.name).lower(): vars(size) for size in compute.list_sizes()}
        size = sizes.get(instance_type.lower())
        if size is None:
            return None
        family = str(size["family"])
        for usage in map(vars, compute.list_usage()):
            name = str((usage["name"] or {}).get("value", ""))
            if name.lower() == family.lower():
                cores = whole(size, "vCPUs", "v_cp_us")
                used = whole(usage, "currentValue", "current_value")
                return Quota(family, cores, used, whole(usage, "limit"))
    return None


def whole(fields: Mapping[str, Any], *names: str) -> int:
    """A number under the first name that has one: the SDK's objects carry the wire's names."""
    found = (fields.get(name) for name in names)
    return int(next((value for value in found if value is not None), 0))
