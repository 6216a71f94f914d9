"""What every act on an endpoint shares: the model's bytes, journal and state file, restoring."""

import getpass
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taxiops.cloud import connect, endpoints, models
from taxiops.cloud.client import Connection
from taxiops.cloud.endpoints import EndpointView
from taxiops.config import PROD, Settings
from taxiops.errors import EvidenceError, RestoreFailed, TaxiopsError, UsageError
from taxiops.workflows import record as records
from taxiops.workflows.documents import (
    Progress,
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
    ) -> tuple[Record, dict[str, Any]]:
        """On disk after it was read back; gives the record with its event and the state."""
        line = self.line(event, record)
        append_line(self.journal, {**line, "traffic": dict(traffic), "detail": detail})
        events = record.events or self.former_events(record)
        written = {"at": line["at"], "event": event, "detail": detail, "actor": line["actor"]}
        record = replace(record, events=(*events, written))
        document = record.document(traffic)
        paths = {self.own_state_file, self.state_file, *([self.extra] if self.extra else [])}
        for path in sorted(paths):
            write_document(path, document)
        return record, document

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


def phase_of(record: Record, endpoint: EndpointView) -> str:
    """The phase as traffic shows it; the recorded one only where traffic says nothing."""
    share = endpoint.traffic.get(record.slot, 0)
    if share == 100:
        return records.PROMOTED
    if share > 0:
        return records.CANARY
    if record.slot not in endpoint.slots and record.phase in records.OPEN[1:]:
        return records.FAILED
    return records.TESTED if record.phase in (records.CANARY, records.PROMOTED) else record.phase


def restore_prior(
    connection: Connection, record: Record, phase: str, progress: Progress
) -> EndpointView | None:
    """Put back exactly what served before, then delete the slot; gives the endpoint as it is then.

    Traffic first, so that the slot to delete carries none. Raises TaxiopsError when a step fails.
    """

    endpoint = endpoints.read_endpoint(connection)
    if endpoint is None:
        return None
    if record.first_deployment:
        return undo_first(connection, endpoint, record, phase, progress)
    gone = sorted(set(nonzero(record.prior_traffic)) - set(endpoint.slots))
    if gone:
        raise RestoreFailed(
            f"{record.endpoint}: slot {', '.join(gone)} that served before is gone.",
            why="Somebody deleted it after the deployment.",
            hint="taxiops deploy --model-version N, with the version that served before",
            code="prior-slot-gone",
        )
    differs = nonzero(endpoint.traffic) != nonzero(record.prior_traffic)
    differs = differs or nonzero(endpoint.mirror) != nonzero(record.prior_mirror)
    if differs or endpoint.tags != {**endpoint.tags, **record.at(phase).tags()}:
        progress(f"restoring {records.shares_text(nonzero(record.prior_traffic))}")
        endpoint = endpoints.write_endpoint(
            connection,
            endpoint,
            progress,
            traffic=record.prior_traffic,
            mirror=record.prior_mirror,
            tags=record.at(phase).tags(),
        )
    if record.slot in endpoint.slots and record.slot not in nonzero(record.prior_traffic):
        progress(f"deleting slot {record.slot}")
        endpoints.delete_slot(connection, record.slot, progress)
    return endpoints.require_endpoint(connection)


def undo_first(
    connection: Connection,
    endpoint: EndpointView,
    record: Record,
    phase: str,
    progress: Progress,
) -> EndpointView | None:
    """Nothing served before: Prod loses the new endpoint, Dev only a slot without traffic."""

    if record.environment == PROD and set(endpoint.slots) <= {record.slot}:
        progress(f"deleting endpoint {record.endpoint}")
        endpoints.delete_endpoint(connection, progress)
        return None
    if record.slot in endpoint.live_traffic:
        return endpoint
    if record.slot in endpoint.slots:
        progress(f"deleting slot {record.slot}")
        endpoints.delete_slot(connection, record.slot, progress)
        endpoint = endpoints.require_endpoint(connection)
    tags = record.at(phase).tags()
    return endpoints.write_endpoint(connection, endpoint, progress, tags=tags)


def save_logs(connection: Connection, settings: Settings, record: Record) -> Path | None:
    """Both containers' logs of the slot, kept before it is deleted; None when it is not there."""

    endpoint = endpoints.read_endpoint(connection)
    if endpoint is None or record.slot not in endpoint.slots:
        return None
    folder = settings.output / "deploy" / record.environment / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for container, text in endpoints.slot_logs(connection, record.slot).items():
            (folder / f"{container}.log").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}.") from error
    return folder
