"""What a slot is made of, and what is kept of it when it goes."""

from pathlib import Path

from taxiops.cloud import endpoints, models, slots
from taxiops.cloud.client import Connection
from taxiops.cloud.views import SlotSpec
from taxiops.errors import UsageError
from taxiops.workflows.documents import now
from taxiops.workflows.pipelines import read_yaml
from taxiops.workflows.rollouts.limits import Limits
from taxiops.workflows.rollouts.picture import slot_tags
from taxiops.workflows.rollouts.record import Record
from taxiops.workflows.source_code import require_file

SCORING_SCRIPT = "taxiops/steps/score.py"
# The environment of a deployment is that of the training step: same packages, same image.
ENVIRONMENT_FROM = "components/train.yaml"


def slot_spec(root: Path, code: Path, record: Record, limits: Limits) -> SlotSpec:
    """The deployment: model from the registry, code and environment from the repository."""
    source = require_file(root, ENVIRONMENT_FROM)
    described = read_yaml(source).get("environment") or {}
    conda = source.parent / str(described.get("conda_file", ""))
    if not conda.is_file() or not described.get("image"):
        raise UsageError(f"{source}: environment needs image and conda_file.")
    return SlotSpec(
        name=record.slot,
        model=models.reference(record.model.registry, record.model.name, record.model.version),
        code=code,
        scoring_script=SCORING_SCRIPT,
        image=str(described["image"]),
        conda_file=conda,
        variables={
            "TAXIOPS_DEPLOYMENT": record.slot,
            "TAXIOPS_MODEL_VERSION": record.model.version,
        },
        tags={**slot_tags(record), "deployed_at": now()},
        instance_type=limits.instance_type,
        instance_count=limits.instance_count,
        request_timeout_ms=limits.request_timeout_ms,
        max_concurrent_requests=limits.max_concurrent_requests,
    )


def logs_folder(connection: Connection) -> Path:
    return connection.settings.output / "deploy" / connection.environment.name / "logs"


def save_logs(connection: Connection, record: Record) -> None:
    """Both containers' logs of the slot, kept before it is deleted."""
    endpoint = endpoints.read_endpoint(connection)
    if endpoint is None or record.slot not in endpoint.slots:
        return
    folder = logs_folder(connection)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for container, text in slots.slot_logs(connection, record.slot).items():
            (folder / f"{container}.log").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}.") from error
