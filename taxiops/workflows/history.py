"""`taxiops history`: what served when, and who put it there, as the workspace's store tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from taxiops.cloud.store import WorkspaceStore, open_store
from taxiops.config import Settings
from taxiops.domain.fields import Fields, parse_text
from taxiops.domain.state_file import parse_shares
from taxiops.errors import TaxiopsError, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.rollout import connect_to
from taxiops.workflows.turn import moment_in_names

TEXTS = ("at", "event", "slot", "model_version", "model_sha256", "actor", "run_id", "detail")


@dataclass(frozen=True)
class Happening:
    """One event at an endpoint. texts: TEXTS by name. before, after: the traffic."""

    texts: Mapping[str, str]
    before: Mapping[str, int]
    after: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        return {**self.texts, "before": dict(self.before), "after": dict(self.after)}


@dataclass(frozen=True)
class HistoryResult:
    """The newest events, oldest first; traffic: what the last of them left."""

    environment: str
    endpoint: str
    events: tuple[Happening, ...]
    next_command: str

    @property
    def traffic(self) -> Mapping[str, int]:
        return self.events[-1].after if self.events else {}

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "environment": self.environment,
            "endpoint": self.endpoint,
            "traffic": dict(self.traffic),
            "events": [event.document() for event in self.events],
            "next_command": self.next_command,
        }


def read_history(settings: Settings, at: str, limit: int, progress: Progress) -> HistoryResult:
    """The last `limit` events until `at` (RFC 3339, empty: now).

    Raises UsageError for a moment that is none, NotAuthorised without permission for the store.
    """
    until = moment_in_names(parse_moment(at)) if at else ""
    connection = connect_to(settings)
    environment = connection.environment
    store = open_store(connection)
    folder = f"history/{environment.endpoint}/"
    names = [
        name
        for name in store.names(folder)
        if not until or name.removeprefix(folder).partition("-")[0] <= until
    ]
    read = (read_happening(store, name, progress) for name in names[-limit:])
    return HistoryResult(
        environment=environment.name,
        endpoint=environment.endpoint,
        events=tuple(event for event in read if event is not None),
        next_command=f"taxiops traffic show --env {environment.name}",
    )


def last_happening(store: WorkspaceStore, endpoint: str) -> Happening | None:
    """The newest event at the endpoint that can be read; None when nothing is recorded."""
    for name in reversed(store.names(f"history/{endpoint}/")):
        event = read_happening(store, name, lambda _: None)
        if event is not None:
            return event
    return None


def parse_moment(text: str) -> datetime:
    """A moment with its offset, UTC where it has none; raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--at {text}: no moment.", hint="taxiops history --at 2026-11-23T18:30:00Z"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_happening(store: WorkspaceStore, name: str, progress: Progress) -> Happening | None:
    """One event; None, and told, when somebody damaged it."""
    try:
        text = store.read(name).decode("utf-8", "replace")
        fields = Fields(parse_text(text, name), name, UsageError)
        fields.check_version()
        texts = {each: fields.text(each) for each in TEXTS}
        return Happening(texts, parse_shares(fields, "before"), parse_shares(fields, "after"))
    except TaxiopsError as error:
        progress(f"passing over a damaged event: {error.what}")
        return None
