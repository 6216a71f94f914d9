"""The instances of one deployment: started, watched, started again after a crash, ended."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from taxiops.emulator.state.endpoints.routing import Instance
from taxiops.emulator.state.endpoints.scoring_server import ScoringServer, ServerFailed, ServerPlan

POLL_S = 0.05
DRAIN_S = 30.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
# After this long without a crash the next one is a first one again.
STEADY_S = 60.0
logger = logging.getLogger(__name__)


def restart_delay_s(failures: int) -> float:
    """How long to wait after the n-th failure in a row before starting again."""
    return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (failures - 1)))


@dataclass(eq=False)
class Slot:
    """The place of one instance. server None: waiting until `start_at` (monotonic seconds).

    probe_at: when it is next asked whether it lives; misses: how often in a row it did not say so.
    """

    server: ScoringServer | None = None
    is_ready: bool = False
    failures: int = 0
    start_at: float = 0.0
    since: float = 0.0
    probe_at: float = 0.0
    misses: int = 0


class Fleet:
    """All instances of one deployment that run the same plan. Thread-safe."""

    def __init__(self, plan: ServerPlan, *, is_recovering: bool = False) -> None:
        self.plan = plan
        self.is_recovering = is_recovering
        self._slots: list[Slot] = []
        self._lock = threading.RLock()
        self._is_ended = False

    def ready(self) -> tuple[Instance, ...]:
        with self._lock:
            return tuple(
                slot.server.instance for slot in self._slots if slot.server and slot.is_ready
            )

    def launch(self, count: int) -> None:
        """Have `count` slots, without waiting; `watch` fills them."""
        with self._lock:
            self._slots += [Slot() for _ in range(count - len(self._slots))]

    def grow(self, count: int, is_wanted: Callable[[], bool]) -> None:
        """Add instances up to `count` and wait until each answers.

        Raises ServerFailed, also when `is_wanted` no longer says so.
        """
        with self._lock:
            missing = count - len(self._slots)
        added: list[ScoringServer] = []
        try:
            for _ in range(missing):
                added.append(ScoringServer(self.plan))
            for server in added:
                self._await_ready(server, is_wanted)
        except (ServerFailed, OSError):
            for server in added:
                server.end()
            raise
        now = time.monotonic()
        with self._lock:
            probe_at = now + self.plan.liveness.delay_s
            self._slots += [
                Slot(server=each, is_ready=True, since=now, probe_at=probe_at) for each in added
            ]

    def _await_ready(self, server: ScoringServer, is_wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.plan.ready_deadline_s
        while not server.answers():
            if not server.is_alive():
                raise ServerFailed(f"The container exited.\n{server.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"The container was not ready in {self.plan.ready_deadline_s:g} s.\n"
                    f"{server.log_tail()}"
                )
            if not is_wanted():
                raise ServerFailed("The deployment is no longer wanted.")
            time.sleep(POLL_S)

    def shrink(self, count: int) -> list[ScoringServer]:
        """Take instances out until `count` are left; the caller drains and ends them."""
        with self._lock:
            surplus = self._slots[count:]
            del self._slots[count:]
        return [slot.server for slot in surplus if slot.server]

    def retire(self) -> list[ScoringServer]:
        """Take all instances out for good; the caller drains and ends them."""
        with self._lock:
            self._is_ended = True
        return self.shrink(0)

    def watch(self) -> bool:
        """Look after every instance once; True when requests must be routed otherwise."""
        before = self.ready(), self.is_recovering
        with self._lock:
            slots = [] if self._is_ended else list(self._slots)
        for slot in slots:
            self._tend(slot, time.monotonic())
        return (self.ready(), self.is_recovering) != before

    def _tend(self, slot: Slot, now: float) -> None:
        server = slot.server
        if server is None:
            if now >= slot.start_at:
                self._start(slot, now)
        elif not server.is_alive():
            if slot.is_ready and now - slot.since > STEADY_S:
                slot.failures = 0
            self._fail(slot, server, f"exited with code {server.exit_code()}")
        elif not slot.is_ready:
            if server.answers():
                slot.is_ready, slot.since, self.is_recovering = True, now, False
            elif now - slot.since > self.plan.ready_deadline_s:
                self._fail(slot, server, "was not ready in time")
        elif now >= slot.probe_at:
            slot.probe_at = math.inf
            threading.Thread(target=self._probe, args=(slot, server), daemon=True).start()

    def _probe(self, slot: Slot, server: ScoringServer) -> None:
        """Ask an instance whether it lives; end it when it kept silent too often."""
        probe = self.plan.liveness
        answered = server.answers(probe.timeout_s)
        with self._lock:
            if slot.server is not server:
                return
            slot.misses = 0 if answered else slot.misses + 1
            slot.probe_at = time.monotonic() + probe.period_s
            is_dead = slot.misses >= probe.failures
        if is_dead:
            self._fail(slot, server, f"failed its liveness probe {probe.failures} times")

    def _start(self, slot: Slot, now: float) -> None:
        with self._lock:
            if slot in self._slots:
                slot.server, slot.is_ready, slot.since = ScoringServer(self.plan), False, now
                slot.probe_at, slot.misses = now + self.plan.liveness.delay_s, 0

    def _fail(self, slot: Slot, server: ScoringServer, why: str) -> None:
        with self._lock:
            if slot not in self._slots:
                return
            slot.is_ready, slot.server, self.is_recovering = False, None, False
            slot.failures += 1
            delay_s = restart_delay_s(slot.failures)
            slot.start_at = time.monotonic() + delay_s
        server.end()
        message = f"The container {why}; it is started again in {delay_s:g} s."
        logger.warning("%s: %s", self.plan.log, message)
        with self.plan.log.open("a", encoding="utf-8") as log:
            log.write(message + "\n")


def drain(servers: Sequence[ScoringServer], fence: Callable[[], None]) -> None:
    """End servers that the table no longer names, after the requests in them.

    `fence` returns once every request that was routed by an older table is counted.
    """
    if not servers:
        return
    fence()
    deadline = time.monotonic() + DRAIN_S
    while any(each.instance.in_flight for each in servers) and time.monotonic() < deadline:
        time.sleep(POLL_S / 5)
    for server in servers:
        server.end()
