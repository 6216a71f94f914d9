"""What a region has left of virtual cores, as the service tells it; reserves nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        sizes = {str(size.name).lower(): size for size in compute.list_sizes()}
        size = sizes.get(instance_type.lower())
        if size is None:
            return None
        family = str(size.family).lower()
        for usage in compute.list_usage():
            name = str((usage.name or {}).get("value", "")).lower()
            if name == family:
                cores = int(size.v_cp_us or 0)
                return Quota(family, cores, int(usage.current_value or 0), int(usage.limit or 0))
    return None
