"""What every act on an endpoint shares: the model's bytes, journal and state file, restoring."""

import getpass
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import connect, models
from taxiops.cloud.client import Connection
from taxiops.cloud.views import EndpointView
from taxiops.config import Settings
from taxiops.errors import EvidenceError, TaxiopsError
from taxiops.workflows import record as records
from taxiops.workflows.documents import (
    append_line,
    find_folder_with,
    now,
    read_document,
    write_document,
)
from taxiops.workflows.record import ModelReference, Record
from taxiops.workflows.registry import digest_of_folder

STATE_NAME = "deployment_state.json"


def connect_to(settings: Settings, env: str = "") -> Connection:
    """The selected environment's connection, or that of `env`."""

    return connect(settings.cloud, env or settings.env, settings)


def actor() -> str:
    """Who acts: the GitHub user of the workflow run, else the user of this machine."""
    try:
        return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def fetched_model(connection: Connection, model: ModelReference) -> Iterator[Path]:
    """The folder of a registry version's files, gone after the block.

    Raises EvidenceError when the bytes are not those of its digest.
    """

    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        models.download(connection.registry, model.name, model.version, Path(scratch))
        folder = find_folder_with(Path(scratch), "metadata.json", "model")
        found = digest_of_folder(folder)
        if found != model.sha256:
            raise EvidenceError(
                f"{model.name} version {model.version} in registry {model.registry} is not the "
                "model that was promoted.",
                why=f"Its bytes have digest {found}, its evidence says {model.sha256}.",
                hint="taxiops promote",
                code="digest-differs",
            )
        yield folder


@dataclass(frozen=True)
class Ledger:
    """The files of one environment's rollout. extra: a state file somebody named on top."""

    settings: Settings
    environment: str
    endpoint: str
    extra: Path | None = None

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
        name = f"{self.environment}-{self.endpoint}.jsonl"
        return self.settings.root / ".taxiops" / "journal" / name

    def intend(self, event: str, record: Record, **facts: Any) -> None:  # noqa: ANN401 - JSON
        """On disk before anything is done."""
        append_line(self.journal, {**self.line(event, record), "intent": True, **facts})

    def done(
        self, event: str, record: Record, traffic: Mapping[str, int], detail: str = ""
    ) -> Record:
        """On disk after it was read back; gives the record with its event."""
        line = self.line(event, record)
        append_line(self.journal, {**line, "traffic": dict(traffic), "detail": detail})
        written = {"at": line["at"], "event": event, "detail": detail, "actor": line["actor"]}
        events = record.events or self.former_events(record)
        return self.write(replace(record, events=(*events, written)), traffic)

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

    def former_events(self, record: Record) -> tuple[Mapping[str, str], ...]:
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


def read_record(ledger: Ledger, endpoint: EndpointView | None, state: Path | None) -> Record | None:
    """What the last rollout was: from the endpoint, or from the state file when its tags are gone.

    Raises UsageError or Conflict for a state file of another endpoint or another rollout.
    """
    tags = endpoint.tags if endpoint else {}
    record = records.record_of_tags(tags, ledger.environment, ledger.endpoint)
    if state is None:
        return record
    told = records.read_state_file(state)
    records.check_state_matches(told, record, ledger.environment, ledger.endpoint)
    return record or told


def nonzero(shares: Mapping[str, int]) -> dict[str, int]:
    return {slot: percent for slot, percent in shares.items() if percent}
