"""Keeps what the SDK prints off our streams; prints nothing itself."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator

Progress = Callable[[str], None]


@contextlib.contextmanager
def sdk_silenced() -> Iterator[None]:
    """The SDK prints dots to stdout while it polls, and colours to stderr after an upload."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def aloud(progress: Progress) -> Progress:
    """`progress` on the streams of this moment, to be called while the SDK is silenced."""
    stdout, stderr = sys.stdout, sys.stderr

    def tell(line: str) -> None:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            progress(line)

    return tell
