"""What running jobs needs, together."""

from dataclasses import dataclass

from taxiops.emulator.state.jobs.bindings import Bindings
from taxiops.emulator.state.jobs.commands import Commands
from taxiops.emulator.state.jobs.documents import JobDocuments
from taxiops.emulator.state.jobs.outputs import Outputs
from taxiops.emulator.state.jobs.reuse import Reuse
from taxiops.emulator.state.tracking.runs import Tracking


@dataclass(frozen=True)
class Parts:
    """The rooms that runs of commands, pipelines and sweeps share."""

    documents: JobDocuments
    bindings: Bindings
    outputs: Outputs
    commands: Commands
    reuse: Reuse
    tracking: Tracking
