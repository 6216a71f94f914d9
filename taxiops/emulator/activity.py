"""When the emulator was last used, and whether it has been idle for long; does no I/O."""

import time
from dataclasses import dataclass, field


@dataclass
class Activity:
    """Written by every request of a client, read by the one that stops an idle emulator."""

    at: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        self.at = time.monotonic()

    def idle_s(self) -> float:
        return time.monotonic() - self.at
