"""The fault matrix: a verb, a hazard, a death at some instant, then again or back; and the promise.

Each case runs in forked children, so that `kill -9` is real and the SDK is imported once.
"""

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import requests.adapters

from taxiops.cloud import endpoints
from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.emulator import server
from taxiops.errors import TaxiopsError
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.endpoint_test import check_endpoint
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.shift_traffic import promote_traffic

VERBS = ("deploy", "test", "promote", "rollback")
AFTERWARDS = ("again", "rollback")
# Hazards, by the kind and the operation that they happen to; seconds of Retry-After or delay.
HAZARDS: tuple[Mapping[str, Any] | None, ...] = (
    None,
    {"kind": "throttle", "on": "PUT onlineEndpoints"},
    {"kind": "throttle", "on": "GET onlineEndpoints"},
    {"kind": "error", "on": "PUT onlineEndpoints"},
    {"kind": "unavailable", "on": "GET deployments"},
    {"kind": "conflict", "on": "PUT deployments"},
    {"kind": "conflict", "on": "PUT onlineEndpoints"},
    {"kind": "conflict", "on": "DELETE deployments"},
    {"kind": "forbidden", "on": "PUT onlineEndpoints"},
    {"kind": "forbidden", "on": "POST listSecrets"},
    {"kind": "lost-request", "on": "PUT onlineEndpoints"},
    {"kind": "lost-answer", "on": "PUT onlineEndpoints"},
    {"kind": "lost-answer", "on": "PUT deployments"},
    {"kind": "lost-answer", "on": "DELETE deployments"},
    {"kind": "revert", "on": "PUT onlineEndpoints", "skip": 1},
    {"kind": "revert", "on": "PUT onlineEndpoints"},
    {"kind": "stale", "on": "GET onlineEndpoints", "skip": 4},
    {"kind": "fail", "on": "provision"},
    {"kind": "quota", "on": "provision"},
    {"kind": "capacity", "on": "provision"},
    {"kind": "cancel", "on": "provision"},
    {"kind": "slow", "on": "provision", "seconds": 1},
    {"kind": "model-error", "on": "POST score", "count": 2},
    {"kind": "throttle", "on": "POST score", "count": 2},
    {"kind": "error", "on": "PUT blobs"},
    {"kind": "lost-answer", "on": "PUT blobs"},
)
# The farthest instant worth dying at: no verb has more writes and requests than that.
INSTANTS = 240


@dataclass(frozen=True)
class Case:
    """instant: which of the verb's writes and requests it dies at; 0: at none."""

    verb: str
    hazard: int
    instant: int
    afterwards: str

    def __str__(self) -> str:
        fault = HAZARDS[self.hazard]
        hazard = f"{fault['kind']} on {fault['on']}" if fault else "no hazard"
        death = f"killed at {self.instant}" if self.instant else "not killed"
        return f"{self.verb}, {hazard}, {death}, then {self.afterwards}"


def drawn(seed: int, count: int) -> Iterator[Case]:
    """The first so many cases of a seed; every verb and hazard comes in turn."""
    chance = random.Random(seed)
    pairs = [(verb, at) for at in range(len(HAZARDS)) for verb in VERBS]
    for number in range(count):
        if number % len(pairs) == 0:
            chance.shuffle(pairs)
        verb, hazard = pairs[number % len(pairs)]
        dies = hazard == 0 or chance.random() < 0.75
        instant = chance.randint(1, INSTANTS) if dies else 0
        yield Case(verb, hazard, instant, chance.choice(AFTERWARDS))


@dataclass
class Matrix:
    """One endpoint in an emulator of its own. versions: two promoted models, deployed in turn."""

    settings: Settings
    versions: Sequence[str]
    state: Any
    turn: int = 0
    last: Mapping[str, str] = field(default_factory=dict)

    def live(self) -> dict[str, int]:
        return endpoints.require_endpoint(connect_to(self.settings)).live_traffic

    def run(self, case: Case) -> list[str]:
        """What was promised and is not so; empty when the promise holds."""
        prior = self.prepared(case.verb)
        before = self.live()
        fault = HAZARDS[case.hazard]
        if fault:
            server.fault(self.state, dict(fault), is_clearing=False)
        first = in_child(lambda: self.act(case.verb), case.instant)
        server.fault(self.state, None, is_clearing=True)
        verb = case.verb if case.afterwards == "again" else "rollback"
        second = in_child(lambda: self.act(verb), 0)
        problems = self.broken(case, prior, before, second)
        live = self.live()
        end = ",".join(f"{slot}={share}" for slot, share in sorted(live.items()))
        self.last = {
            "first": "killed" if first == -signal.SIGKILL else f"exit {first}",
            "second": f"exit {second}",
            "end": "as before" if live == prior else "as wanted",
        }
        return [f"{case}: {first} then {second}, {end}: {problem}" for problem in problems]

    def prepared(self, verb: str) -> dict[str, int]:
        """What served alone before the rollout; a canary is under way unless the verb makes it."""
        if in_child(lambda: self.act("rollback"), 0) != 0:
            raise AssertionError("the endpoint cannot be brought back to rest")
        prior = self.live()
        self.turn += 1
        if verb != "deploy" and in_child(lambda: self.act("deploy"), 0) != 0:
            raise AssertionError("no canary can be deployed")
        return prior

    def act(self, verb: str) -> int:
        version = self.versions[self.turn % len(self.versions)]
        if verb == "deploy":
            deploy(self.settings, DeployOptions(model_version=version), ignore)
        elif verb == "promote":
            promote_traffic(self.settings, None, 100, ignore)
        elif verb == "test":
            return 0 if check_endpoint(self.settings, None, None, ignore).passed else 1
        else:
            roll_back(self.settings, None, ignore)
        return 0

    def broken(
        self, case: Case, prior: Mapping[str, int], before: Mapping[str, int], code: int
    ) -> list[str]:
        """The promise, line by line."""
        endpoint = endpoints.require_endpoint(connect_to(self.settings))
        live = endpoint.live_traffic
        canary = next((slot for slot in before if slot not in prior), "")
        new = canary or next((slot for slot in live if slot not in prior), "")
        wanted = {
            "deploy": {**dict.fromkeys(prior, 70), new: 30},
            "test": dict(before),
            "promote": {canary: 100},
            "rollback": dict(prior),
        }[case.verb if case.afterwards == "again" else "rollback"]
        found = []
        if live not in (wanted, dict(prior)):
            found.append(f"traffic is neither {wanted} nor {dict(prior)}")
        if code < 0 or code == 7:
            found.append(f"the second act ended with {code}")
        if set(endpoint.slots) - set(live) - set(prior):
            found.append(f"slots left over: {sorted(endpoint.slots)}")
        return found + self.left_over()

    def left_over(self) -> list[str]:
        """Leases and files that nobody needs any more, and files that cannot be read."""
        connection = connect_to(self.settings)
        environment = connection.environment
        ledger = Ledger(self.settings, environment.name, environment.endpoint)
        blob = open_store(connection).blob(f"leases/{environment.endpoint}.json")
        found = []
        if blob.get_blob_properties().lease.state != "available":
            found.append("the lease is still held")
        if ledger.lease_file.exists():
            found.append("the lease's file is left")
        folder = self.settings.output / "deploy"
        drafts = [each.name for each in folder.rglob(".*") if each.is_file()]
        found += [f"partial files: {drafts}"] if drafts else []
        with contextlib.suppress(FileNotFoundError):
            json.loads(ledger.own_state_file.read_text(encoding="utf-8"))
        return found


def ignore(_: str) -> None:
    """Progress that nobody reads."""


def in_child(act: Callable[[], int], instant: int) -> int:
    """The act's exit code in a forked child; negative: killed by that signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        carry_out(act, instant)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def carry_out(act: Callable[[], int], instant: int) -> NoReturn:
    """In the child: act, and die at the instant."""
    try:
        if instant:
            die_at(instant)
        code = act()
    except TaxiopsError as error:
        code = int(error.exit_code)
        if os.environ.get("MATRIX_VERBOSE"):
            sys.stderr.write(f"{error.what} {error.why}\n")
    except BaseException as error:
        sys.stderr.write(f"unexpected: {type(error).__name__}: {error}\n")
        code = 99
    os._exit(code)


def die_at(instant: int) -> None:
    """Count every write to disk and every request, before and after; at the instant, die."""
    seen = 0

    def tick() -> None:
        nonlocal seen
        seen += 1
        if seen == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            tick()
            result = function(*arguments, **named)
            tick()
            return result

        return call

    os.fsync = counted(os.fsync)
    os.replace = counted(os.replace)
    adapter: Any = requests.adapters.HTTPAdapter
    adapter.send = counted(adapter.send)
