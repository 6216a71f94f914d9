"""`taxiops history`: what served when, and who put it there, as the workspace's ledger tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.domain.fields import Fields, is_moment, parse_text
from taxiops.domain.hash_chain import ACCEPTED, Break
from taxiops.domain.serving import PROVISIONED
from taxiops.domain.state_file import parse_shares
from taxiops.errors import TaxiopsError, UsageError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now
from taxiops.workflows.evidence.chained_ledger import FORMER_FOLDER, ChainedLedger
from taxiops.workflows.evidence.ledger import actor, own_run_id
from taxiops.workflows.rollouts.rollout import connect_to

TEXTS = ("at", "event", "slot", "model_version", "model_sha256", "actor", "run_id", "detail")


@dataclass(frozen=True)
class Happening:
    """One event at an endpoint. texts: TEXTS by name. before, after: the traffic.

    sequence: its number in the ledger; -1 for one from before events were chained.
    """

    texts: Mapping[str, str]
    before: Mapping[str, int]
    after: Mapping[str, int]
    sequence: int = -1

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.texts["at"])

    def document(self) -> dict[str, Any]:
        shares = {"before": dict(self.before), "after": dict(self.after)}
        return {**self.texts, **shares, "sequence": self.sequence}


@dataclass(frozen=True)
class HistoryResult:
    """The newest events, oldest first; traffic: what the last of them left.

    serving: for each slot with a share then, the event that put its model there. breaks: what is
    amiss in the ledger; empty when it is whole. entries: how many it has.
    """

    environment: str
    endpoint: str
    events: tuple[Happening, ...]
    serving: Mapping[str, Happening]
    breaks: tuple[Break, ...]
    entries: int
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
            "serving": {
                slot: {
                    "percent": self.traffic[slot],
                    "model_version": each.texts["model_version"],
                    "model_sha256": each.texts["model_sha256"],
                    "since": each.texts["at"],
                    "actor": each.texts["actor"],
                    "run_id": each.texts["run_id"],
                }
                for slot, each in self.serving.items()
            },
            "events": [event.document() for event in self.events],
            "ledger": {"entries": self.entries, "breaks": [each.text for each in self.breaks]},
            "next_command": self.next_command,
        }


def read_history(settings: Settings, at: str, limit: int, progress: Progress) -> HistoryResult:
    """The last `limit` events until `at` (RFC 3339, empty: now), and whether the ledger is whole.

    Raises UsageError for a moment that is none, NotAuthorised without permission for the store.
    """
    until = parse_moment(at) if at else None
    connection = connect_to(settings)
    environment = connection.environment
    ledger = ChainedLedger(open_store(connection))
    reading = ledger.read()
    ours = [each for each in reading.entries if each.get("endpoint") == environment.endpoint]
    chained = [happening_of(each, f"entry {each['sequence']}", progress) for each in ours]
    former = former_happenings(ledger, environment.endpoint, progress)
    events = [each for each in (*former, *chained) if each is not None]
    events = [each for each in events if until is None or each.at <= until]
    return HistoryResult(
        environment=environment.name,
        endpoint=environment.endpoint,
        events=tuple(events[-limit:]),
        serving=serving_after(events),
        breaks=reading.breaks,
        entries=len(reading.entries),
        next_command=f"taxiops traffic show --env {environment.name}",
    )


def serving_after(events: Sequence[Happening]) -> dict[str, Happening]:
    """For each slot that the last event left with a share, who provisioned it."""
    put = {each.texts["slot"]: each for each in events if each.texts["event"] == PROVISIONED}
    after = events[-1].after if events else {}
    return {slot: put[slot] for slot, share in after.items() if share and slot in put}


def accept_breaks(settings: Settings, reason: str, progress: Progress) -> None:
    """Write into the ledger who accepts what is amiss in it now, and why; nothing when it is whole.

    Raises UsageError without a reason.
    """
    if not reason.strip():
        raise UsageError("--accept needs a reason.", hint='taxiops history --accept "..."')
    connection = connect_to(settings)
    ledger = ChainedLedger(open_store(connection))
    breaks = ledger.read().breaks
    if not breaks:
        progress("the ledger is whole; there is nothing to accept")
        return
    ledger.append(
        {
            "at": now(),
            "event": ACCEPTED,
            "actor": actor(),
            "run_id": own_run_id(),
            "environment": connection.environment.name,
            "detail": reason.strip(),
            "accepted": [each.text for each in breaks],
        }
    )


def former_happenings(
    ledger: ChainedLedger, endpoint: str, progress: Progress
) -> list[Happening | None]:
    """What was kept before events were chained, the oldest first."""
    names = ledger.store.names(f"{FORMER_FOLDER}{endpoint}/")
    contents = ledger.store.read_all(names)
    return [parsed(content, name, progress) for name, content in zip(names, contents, strict=True)]


def last_happening(ledger: ChainedLedger, endpoint: str) -> Happening | None:
    """The newest event at the endpoint that can be read; None when nothing is recorded."""

    def ignore(_: str) -> None:
        """Whoever asks for one event asks for no other."""

    entry = ledger.newest_of(endpoint)
    if entry is not None:
        return happening_of(entry, "entry", ignore)
    for name in reversed(ledger.store.names(f"{FORMER_FOLDER}{endpoint}/")):
        event = parsed(ledger.store.read(name), name, ignore)
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


def parsed(content: bytes, name: str, progress: Progress) -> Happening | None:
    """One event of before; None, and told, when somebody damaged it."""
    try:
        document = parse_text(content.decode("utf-8", "replace"), name)
    except TaxiopsError as error:
        progress(f"passing over a damaged event: {error.what}")
        return None
    return happening_of(document, name, progress)


def happening_of(document: Mapping[str, Any], name: str, progress: Progress) -> Happening | None:
    """The event in a document; None, and told, when somebody damaged it."""
    try:
        fields = Fields(document, name, UsageError)
        fields.check_version()
        texts = {each: fields.text(each) for each in TEXTS}
        if not is_moment(texts["at"]):
            fields.refuse("at", "must be a time in UTC")
        before, after = (parse_shares(fields, each) for each in ("before", "after"))
        sequence = fields.whole("sequence") if "sequence" in document else -1
        return Happening(texts, before, after, sequence)
    except TaxiopsError as error:
        progress(f"passing over a damaged event: {error.what}")
        return None
