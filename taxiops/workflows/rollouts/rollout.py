"""What every act on an endpoint shares: the connection, the model's bytes, the last rollout."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taxiops.cloud import connect, models
from taxiops.cloud.client import Connection
from taxiops.cloud.views import EndpointView
from taxiops.config import Settings
from taxiops.errors import EvidenceError
from taxiops.workflows.documents import find_folder_with
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.registry import digest_of_folder
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import ModelReference, Record
from taxiops.workflows.rollouts.slot_tests import Probe, read_probe


def connect_to(settings: Settings, env: str = "") -> Connection:
    """The selected environment's connection, or that of `env`."""
    return connect(settings.cloud, env or settings.env, settings)


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


def probe_of(connection: Connection, model: ModelReference) -> Probe:
    """What a slot with this model is asked; raises EvidenceError as `fetched_model` does."""
    with fetched_model(connection, model) as folder:
        return read_probe(folder)


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
