"""Azure as the rest sees it: connect() here, everything that imports azure in the files beside."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taxiops.cloud.client import Connection
    from taxiops.config import Settings


def connect(cloud: str, env: str, settings: "Settings | None" = None) -> "Connection":
    """A connection to `local` or `azure` for `dev` or `prod`; see taxiops.cloud.client.connect.

    Importing this room costs nothing; the SDK is imported by the first call.
    """
    from taxiops.cloud.client import connect as connect_to

    return connect_to(cloud, env, settings)


__all__ = ["connect"]
