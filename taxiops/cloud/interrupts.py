"""A stop asked for by Ctrl-C or SIGTERM, and the safe points at which it takes effect."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from taxiops.errors import Interrupted

Progress = Callable[[str], None]

# GitHub kills a job's processes 7.5 s after it asked them to stop; by then all must be over.
LONGEST_WAIT_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked this process to stop."""

    is_wanted = False


STOP = Stop()


def check_stop() -> None:
    """A safe point: everything done so far is journalled, and nothing is half done by us.

    Raises Interrupted once a stop was asked for.
    """
    if STOP.is_wanted:
        raise Interrupted(
            "Interrupted at a safe point.",
            why="What was done so far is journalled; the service goes on with what it was asked.",
        )


@contextlib.contextmanager
def stopping_safely(progress: Progress) -> Iterator[None]:
    """Within the block the first signal waits for a safe point, the second ends at once.

    Where no safe point comes within LONGEST_WAIT_S the first one ends it too: every act is
    journalled before it is done, so a run can go on from anywhere.
    """
    if threading.current_thread() is not threading.main_thread() or STOP.is_wanted:
        yield
        return

    def asked(number: int, frame: FrameType | None) -> None:
        if STOP.is_wanted:
            signal.default_int_handler(number, frame)
        STOP.is_wanted = True
        signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT_S)
        progress("stopping at the next safe point; once more to leave at once")

    former = {number: signal.signal(number, asked) for number in SIGNALS}
    alarm = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGALRM, alarm)
        STOP.is_wanted = False
