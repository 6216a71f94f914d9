"""What running jobs needs, together."""

from dataclasses import dataclass

from taxiops.emulator.state.job_bindings import Bindings
from taxiops.emulator.state.job_commands import Commands
from taxiops.emulator.state.job_documents import JobDocuments
from taxiops.emulator.state.job_outputs import Outputs
from taxiops.emulator.state.reuse import Reuse
from taxiops.emulator.state.tracking import Tracking


@dataclass(frozen=True)
class Parts:
    """The rooms that runs of commands, pipelines and sweeps share."""

    documents: JobDocuments
    bindings: Bindings
    outputs: Outputs
    commands: Commands
    reuse: Reuse
    tracking: Tracking
