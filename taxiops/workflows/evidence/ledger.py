"""What was meant and done at an endpoint: journal, state files, the workspace's ledger."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from taxiops.cloud import telemetry
from taxiops.config import Settings
from taxiops.domain.serving import OBSERVED
from taxiops.errors import TaxiopsError
from taxiops.workflows.documents import (
    SCHEMA_VERSION,
    append_line,
    now,
    read_document,
    write_document,
)
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import Record

STATE_NAME = "deployment_state.json"
JOURNAL_FOLDER = Path(".taxiops") / "journal"


def actor() -> str:
    """Who acts: the GitHub user of the workflow run, else the user of this machine."""
    try:
        return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def own_run_id() -> str:
    """The GitHub run that this process belongs to; empty elsewhere."""
    return os.environ.get("GITHUB_RUN_ID", "")


class Publisher(Protocol):
    """Tells every machine of an event. tags: what the endpoint is to carry of that."""

    def __call__(self, event: Mapping[str, Any]) -> None: ...

    def tags(self) -> dict[str, str]: ...


class Unpublished:
    """Where nobody but this machine is told."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Nothing is told."""

    def tags(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Ledger:
    """The files of one environment's rollout.

    extra: a state file somebody named on top. publish: tells every machine of an event.
    """

    settings: Settings
    environment: str
    endpoint: str
    extra: Path | None = None
    publish: Publisher = field(default_factory=Unpublished)

    @property
    def state_file(self) -> Path:
        """The last deployment of whichever environment."""
        return self.settings.output / "deploy" / STATE_NAME

    @property
    def own_state_file(self) -> Path:
        """The last deployment of this environment."""
        return self.settings.output / "deploy" / self.environment / STATE_NAME

    @property
    def journal(self) -> Path:
        return self.file("jsonl")

    @property
    def lease_file(self) -> Path:
        """Under which id this machine holds the endpoint's lease, if it does."""
        return self.file("lease")

    def file(self, kind: str) -> Path:
        return self.settings.root / JOURNAL_FOLDER / f"{self.environment}-{self.endpoint}.{kind}"

    def intend(self, event: str, record: Record, **facts: Any) -> None:  # noqa: ANN401 - JSON
        """On disk before anything is done."""
        append_line(self.journal, {**self.line(event, record), "intent": True, **facts})

    def done(
        self,
        event: str,
        record: Record,
        before: Mapping[str, int],
        after: Mapping[str, int],
        detail: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> Record:
        """On disk after it was read back; gives the record with its event.

        before and after: the endpoint's traffic, zeros included. facts: more for the ledger.
        """
        line = self.line(event, record)
        told = {"detail": detail, "before": dict(before), "after": dict(after)}
        append_line(self.journal, {**line, **told})
        written = {
            **{name: line[name] for name in ("at", "event", "actor")},
            **{name: line[name] for name in ("model_version", "model_sha256")},
            **told,
        }
        events = record.events or self.former_events(record)
        written_record = self.write(replace(record, events=(*events, written)), after)
        self.publish({**self.history_event(line, record), **told, **(facts or {})})
        telemetry.event(
            f"rollout {event}",
            environment=self.environment,
            endpoint=self.endpoint,
            slot=record.slot,
            model_version=record.model.version,
            before=records.shares_text(before),
            after=records.shares_text(after),
        )
        return written_record

    def observe(self, record: Record, traffic: Mapping[str, int]) -> None:
        """Tell of the traffic as it is, in case that no event did."""
        line = self.line(OBSERVED, record)
        told = {"detail": "", "before": dict(traffic), "after": dict(traffic)}
        self.publish({**self.history_event(line, record), **told})

    def history_event(self, line: Mapping[str, str], record: Record) -> dict[str, Any]:
        """What the workspace keeps of an event, whatever becomes of the endpoint."""
        return {
            "schema_version": SCHEMA_VERSION,
            "environment": self.environment,
            "endpoint": self.endpoint,
            **line,
            "model": record.model.name,
            "registry": record.model.registry,
            "commit": record.commit,
            "run_id": record.run_id,
        }

    def write(self, record: Record, traffic: Mapping[str, int]) -> Record:
        """The state files as the record tells it; nothing happened that was not told before."""
        record = replace(record, events=record.events or self.former_events(record))
        paths = {self.own_state_file, self.state_file, *([self.extra] if self.extra else [])}
        for path in sorted(paths):
            write_document(path, record.document(traffic))
        return record

    def line(self, event: str, record: Record) -> dict[str, str]:
        return {
            "at": now(),
            "event": event,
            "phase": record.phase,
            "slot": record.slot,
            "model_version": record.model.version,
            "model_sha256": record.model.sha256,
            "actor": actor(),
        }

    def former_events(self, record: Record) -> tuple[Mapping[str, Any], ...]:
        """Those of the same rollout's state file, if it is still there."""
        if record.phase == records.PLANNED:
            return ()
        try:
            document = read_document(self.own_state_file, records.WHAT, "")
        except TaxiopsError:
            return ()
        same = (
            document.get("slot") == record.slot
            and (document.get("model") or {}).get("sha256") == record.model.sha256
        )
        return tuple(document.get("events") or ()) if same else ()
