"""Starting and ending guarded process groups: job steps and scoring servers."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")


class Process:
    """A command running in its own process group under `guard.py`.

    It dies with the emulator, even on `kill -9`. Output of both streams goes to `log`.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-S", "-E", str(GUARD), *command],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """None while it runs; 128 + N when signal N ended it."""
        return self._guard.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        return self._guard.wait(timeout_s)

    def ask_to_end(self) -> None:
        """Have the guard end the whole group: SIGTERM, then SIGKILL after its grace."""
        if self._guard.stdin and not self._guard.stdin.closed:
            self._guard.stdin.close()

    def end(self) -> int:
        """End the whole group and wait for it; returns its code."""
        self.ask_to_end()
        return self._guard.wait()
