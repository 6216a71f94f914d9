"""Runs one command in its own process group and ends the group when the emulator goes.

Started as `python -S -E guard.py COMMAND ...` with a pipe as standard input whose other end only
the emulator holds: end of file means the emulator is gone, however it went. Standard library only,
because it is started once per job step.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_S = 5.0


def end_group(group: int, child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the whole group, SIGKILL to what is left after GRACE_S."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        try:
            child.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def watch(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 4096):
        continue
    end_group(child.pid, child)


def main(command: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    ender = threading.Thread(target=end_group, args=(child.pid, child), daemon=True)
    signal.signal(signal.SIGTERM, lambda *_: None if ender.is_alive() else ender.start())
    threading.Thread(target=watch, args=(child,), daemon=True).start()
    code = child.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
