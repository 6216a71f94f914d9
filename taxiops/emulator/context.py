"""What one running emulator is made of; handlers receive it as their first argument."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taxiops.emulator.activity import Activity
from taxiops.emulator.identity import Identity
from taxiops.emulator.state.assets.assets import Assets
from taxiops.emulator.state.endpoints.deployments import Deployments
from taxiops.emulator.state.faults import Faults
from taxiops.emulator.state.jobs.jobs import Jobs
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store
from taxiops.emulator.state.tracking.runs import Tracking


@dataclass(frozen=True)
class Addresses:
    """Base URLs without a trailing slash, all on 127.0.0.1 over TLS."""

    arm: str
    blobs: str
    scoring: str


@dataclass(frozen=True)
class Emulator:
    """The parts of a running emulator. `folder` holds all of its state.

    remembered: path -> the last answer to a read, for faults that repeat it.
    """

    folder: Path
    addresses: Addresses
    identity: Identity
    store: Store
    blobs: Blobs
    assets: Assets
    operations: Operations
    jobs: Jobs
    tracking: Tracking
    deployments: Deployments
    faults: Faults
    activity: Activity = field(default_factory=Activity)
    remembered: dict[str, Any] = field(default_factory=dict)

    @property
    def cloud_name(self) -> str:
        return f"local-{self.addresses.arm.rpartition(':')[2]}"

    def is_busy(self) -> bool:
        """Whether a job runs or an operation is in progress, whoever waits for it."""
        return self.jobs.are_running() or self.operations.are_in_progress()

    def recover(self) -> None:
        """Bring everything back after a restart, however the last one ended."""
        self.operations.recover()
        self.jobs.recover()
        self.deployments.recover()

    def close(self) -> None:
        """End all processes, then the store."""
        self.jobs.close()
        self.deployments.close()
        self.store.close()
