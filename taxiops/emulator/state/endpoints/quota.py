"""Virtual cores: what sizes have, what deployments use of a family, and what there is of it."""

import math
from dataclasses import dataclass

from taxiops.emulator.state.endpoints.documents import EndpointDocuments, Json, Key
from taxiops.emulator.state.endpoints.routing import instance_count
from taxiops.emulator.state.storage.store import Store

LIMIT = "quota"
USUAL_LIMIT = 400
# A managed online deployment reserves a fifth more instances (learn.microsoft.com/azure/
# machine-learning/how-to-manage-quotas).
RESERVED = 1.2
DEFAULT_SIZE = "Standard_DS3_v2"


@dataclass(frozen=True)
class Size:
    """One virtual machine size, as learn.microsoft.com/azure/virtual-machines/sizes lists it."""

    name: str
    family: str
    cores: int
    memory_gib: float


SIZES = (
    Size("Standard_DS1_v2", "standardDSv2Family", 1, 3.5),
    Size("Standard_DS2_v2", "standardDSv2Family", 2, 7),
    Size("Standard_DS3_v2", "standardDSv2Family", 4, 14),
    Size("Standard_DS4_v2", "standardDSv2Family", 8, 28),
    Size("Standard_DS5_v2", "standardDSv2Family", 16, 56),
    Size("Standard_F2s_v2", "standardFSv2Family", 2, 4),
    Size("Standard_F4s_v2", "standardFSv2Family", 4, 8),
    Size("Standard_F8s_v2", "standardFSv2Family", 8, 16),
    Size("Standard_E2s_v3", "standardESv3Family", 2, 16),
    Size("Standard_E4s_v3", "standardESv3Family", 4, 32),
    Size("Standard_D2as_v4", "standardDASv4Family", 2, 8),
    Size("Standard_D4as_v4", "standardDASv4Family", 4, 16),
)
BY_NAME = {size.name.lower(): size for size in SIZES}
FAMILIES = tuple(dict.fromkeys(size.family for size in SIZES))


def size_of(deployment: Json) -> Size | None:
    """The size of a stored deployment; None for one that is not in the table."""
    name = str(deployment["properties"].get("instanceType") or DEFAULT_SIZE)
    return BY_NAME.get(name.lower())


def cores_of(deployment: Json) -> int:
    """What a deployment takes from its family's quota."""
    size = size_of(deployment)
    return math.ceil(RESERVED * instance_count(deployment)) * size.cores if size else 0


class Quota:
    """The limits of the region, and what all deployments of the emulator use of them."""

    def __init__(self, store: Store, documents: EndpointDocuments) -> None:
        self._store, self._documents = store, documents

    def limit(self, family: str) -> int:
        stored = self._store.get(LIMIT, "", family.lower())
        return int(stored["limit"]) if stored else USUAL_LIMIT

    def set_limit(self, family: str, limit: int) -> None:
        self._store.put(LIMIT, "", family.lower(), {"limit": limit})

    def used(self, family: str, without: Key | None = None) -> int:
        """The cores in use, `without` one deployment."""
        total = 0
        for key in self._documents.deployment_keys():
            stored = self._documents.deployment(*key)
            if stored is None or key == without or stored["state"] == "Failed":
                continue
            size = size_of(stored)
            total += cores_of(stored) if size and size.family == family else 0
        return total

    def shortage(self, key: Key, deployment: Json) -> str:
        """Why the deployment does not fit into its family's quota; empty when it does."""
        size = size_of(deployment)
        if size is None:
            return ""
        limit, used, needed = (
            self.limit(size.family),
            self.used(size.family, without=key),
            cores_of(deployment),
        )
        if used + needed <= limit:
            return ""
        return (
            f"Not enough quota available for {size.name} in SubscriptionId. Current usage/limit: "
            f"{used}/{limit}. Additional needed: {used + needed - limit} ({size.family})."
        )
