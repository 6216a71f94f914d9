"""Asking running work to end: a job as a whole, or only the steps of one pipeline in it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancellation:
    """Asked once, for good. What is derived from it is asked with it, never the other way round.

    Thread-safe. Nothing polls: whoever waits for a process registers what ends it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._acts: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._lock:
            acts, self._acts = self._acts, []
            self._is_set = True
        for act in acts:
            act()

    @contextmanager
    def calling(self, act: Callable[[], None]) -> Iterator[None]:
        """`act` is called when this is asked inside the with statement, or was before."""
        with self._lock:
            is_late = self._is_set
            if not is_late:
                self._acts.append(act)
        if is_late:
            act()
        try:
            yield
        finally:
            with self._lock:
                if act in self._acts:
                    self._acts.remove(act)

    @contextmanager
    def derived(self) -> Iterator["Cancellation"]:
        """A cancellation of a part, asked when this is."""
        part = Cancellation()
        with self.calling(part.set):
            yield part
