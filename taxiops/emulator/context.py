"""What one running emulator is made of; handlers receive it as their first argument."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taxiops.emulator.state.assets import Assets
    from taxiops.emulator.state.blobs import Blobs
    from taxiops.emulator.state.deployments import Deployments
    from taxiops.emulator.state.jobs import Jobs
    from taxiops.emulator.state.operations import Operations
    from taxiops.emulator.state.store import Store
    from taxiops.emulator.state.transitions import Transition


@dataclass(frozen=True)
class Addresses:
    """Base URLs without a trailing slash, all on 127.0.0.1 over TLS."""

    arm: str
    blobs: str
    scoring: str


@dataclass
class Emulator:
    """The parts of a running emulator. `folder` holds all of its state."""

    folder: Path
    addresses: Addresses
    store: "Store"
    blobs: "Blobs"
    assets: "Assets"
    operations: "Operations"
    jobs: "Jobs"
    deployments: "Deployments"
    transitions: "dict[str, Transition]" = field(default_factory=dict)
