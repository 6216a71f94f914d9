"""What happens to models, told to the Dev workspace's ledger: verdicts of the gate, promotions."""

from collections.abc import Mapping
from typing import Any

from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.cloud.store import open_store
from taxiops.domain.chain import VERDICT_TAG
from taxiops.domain.evidence import digest_of_json
from taxiops.domain.outcome_files import GateVerdict
from taxiops.domain.serving import MODEL_PROMOTED
from taxiops.errors import TaxiopsError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress, now
from taxiops.workflows.evidence.chained_ledger import ChainedLedger
from taxiops.workflows.evidence.ledger import actor, own_run_id

PASSED, REFUSED = "gate_passed", "gate_refused"
DIGESTS = ("model_sha256", "report_sha256", VERDICT_TAG)


def note_promotion(
    connection: Connection, verdict: GateVerdict, version: ModelVersion, progress: Progress
) -> None:
    """Tell that the gate passed a candidate, and which registry version it became."""
    tags = version.tags
    model = {
        "registry": connection.settings.registry,
        "model": version.name,
        "model_version": version.version,
        "commit": tags.get("commit", ""),
        **{name: tags.get(name, "") for name in DIGESTS},
    }
    tell(connection, [verdict_event(verdict), {"event": MODEL_PROMOTED, **model}], progress)


def note_verdict(connection: Connection, verdict: GateVerdict, progress: Progress) -> None:
    """Tell how the gate answered."""
    tell(connection, [verdict_event(verdict)], progress)


def verdict_event(verdict: GateVerdict) -> dict[str, Any]:
    by = f" let pass by {verdict.overridden_by}: {verdict.override_reason}"
    return {
        "event": PASSED if verdict.passed else REFUSED,
        "report_sha256": verdict.report_sha256,
        "policy_sha256": verdict.policy_sha256,
        VERDICT_TAG: digest_of_json(verdict.document()),
        "detail": verdict.verdict + (by if verdict.is_overridden else ""),
    }


def tell(connection: Connection, events: list[Mapping[str, Any]], progress: Progress) -> None:
    """Append the events; what cannot be told is said, for it has happened all the same."""
    who = {
        "schema_version": SCHEMA_VERSION,
        "at": now(),
        "actor": actor(),
        "run_id": own_run_id(),
        "environment": connection.environment.name,
        "detail": "",
    }
    try:
        ledger = ChainedLedger(open_store(connection))
        for event in events:
            ledger.append({**who, **event})
    except TaxiopsError as error:
        progress(f"the workspace's ledger lacks an event: {error.what} {error.why[:120]}")
