"""The files a deployment runs on: its own copies of code and model, and its logs."""

import hashlib
import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from taxiops.emulator.state.assets.assets import Assets, Unresolved
from taxiops.emulator.state.durations import duration_s
from taxiops.emulator.state.endpoints.routing import request_timeout_s
from taxiops.emulator.state.endpoints.scoring_server import Probe, ServerFailed, ServerPlan

Json = dict[str, Any]
SERVER_LOG, STORAGE_LOG = "inference-server.log", "storage-initializer.log"
MLFLOW_SCRIPT, MLFLOW_SCORING = "score.py", Path(__file__).with_name("mlflow_scoring.py")
SOCKETS_PREFIX = "aml-"
MOST_LOG_BYTES = 4 * 1024 * 1024
PLAIN = re.compile(r"(?!\.+$)[\w.+-]+")
# Azure's defaults of a readiness probe: after 10 s, every 10 s, 30 times.
PROBE_DELAY_S, PROBE_PERIOD_S, PROBE_FAILURES = 10.0, 10.0, 30


def folder_of(root: Path, scope: str, endpoint: str, name: str) -> Path:
    """One folder per deployment; workspaces of one name in two groups stay apart."""
    digest = hashlib.sha256(scope.encode()).hexdigest()[:8]
    return root / f"{scope.rpartition('/')[2]}-{digest}" / endpoint / name


def fresh_sockets(record: Path) -> Path:
    """A new short private folder for sockets; the one of a killed emulator is removed.

    `record` remembers it across restarts.
    """
    remove_sockets(record)
    record.parent.mkdir(parents=True, exist_ok=True)
    sockets = tempfile.mkdtemp(prefix=SOCKETS_PREFIX)
    record.write_text(sockets, encoding="utf-8")
    return Path(sockets)


def remove_sockets(record: Path) -> None:
    if record.is_file():
        sockets = Path(record.read_text(encoding="utf-8"))
        is_ours = sockets.name.startswith(SOCKETS_PREFIX)
        if is_ours and sockets.parent == Path(tempfile.gettempdir()):
            shutil.rmtree(sockets, ignore_errors=True)
        record.unlink()


def prepare(
    assets: Assets, scope: str, folder: Path, sockets: Path, deployment: Json
) -> ServerPlan:
    """Copy code and model of this generation unless they are there; what its servers run.

    Raises Unresolved, OSError, ServerFailed.
    """
    properties = deployment["properties"]
    refuse_container(assets, scope, properties.get("environmentId"))
    script = script_of(properties)
    home = folder / str(deployment["generation"])
    if not home.exists():
        copy_files(assets, scope, home, properties)
    if not (home / "code" / script).is_file():
        raise ServerFailed(f"The scoring script {script} is not in the code.")
    return ServerPlan(
        sockets=sockets,
        code=home / "code",
        script=script,
        model_folder=next(home.glob("models/*/*"), None),
        environment={
            str(k): str(v) for k, v in (properties.get("environmentVariables") or {}).items()
        },
        log=folder / SERVER_LOG,
        timeout_s=request_timeout_s(properties),
        ready_deadline_s=ready_deadline_s(properties.get("readinessProbe") or {}),
        liveness=liveness_of(properties.get("livenessProbe") or {}),
    )


def refuse_container(assets: Assets, scope: str, environment: str | None) -> None:
    """Raises ServerFailed for an image that brings its own server: no container is started."""
    try:
        document = assets.document(environment or "", scope, "environment")
    except Unresolved:
        return
    if document["properties"].get("inferenceConfig"):
        image = document["properties"].get("image") or "built from a Dockerfile"
        raise ServerFailed(
            f"The environment is a custom container ({image}) with a server of its own, which "
            "would need Docker. Deploy a scoring script, or an MLflow model, here."
        )


def script_of(properties: Json) -> str:
    """The scoring script, relative to the code. Raises ServerFailed."""
    code = properties.get("codeConfiguration") or {}
    if not code.get("codeId"):
        return MLFLOW_SCRIPT
    script = PurePosixPath(str(code.get("scoringScript") or "score.py"))
    if script.is_absolute() or ".." in script.parts:
        raise ServerFailed(f"The scoring script {script} is outside of the code.")
    return str(script)


def model_place(assets: Assets, scope: str, model: str) -> str:
    """Where the model lies below Azure's models folder: its name and version.

    Azure gives AZUREML_MODEL_DIR as .../azureml-models/NAME/VERSION, in which the file or the
    folder that was registered lies under its own name.
    """
    key = assets.find(model, scope, "model")
    if not all(PLAIN.fullmatch(part) for part in (key.name, key.version)):
        raise Unresolved(f"The model {key.name}:{key.version} has no name a folder can have.")
    return f"{key.name}/{key.version}"


def copy_files(assets: Assets, scope: str, home: Path, properties: Json) -> None:
    """Whole or not at all, so that a killed emulator leaves no half copy."""
    draft = home.with_name(f"{home.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    log, model = home.parent / STORAGE_LOG, properties.get("model")
    if code := (properties.get("codeConfiguration") or {}).get("codeId"):
        copy(assets.resolve(code, scope, "code"), draft / "code", log)
    elif is_mlflow(assets, scope, model):
        copy(MLFLOW_SCORING, draft / "code" / MLFLOW_SCRIPT, log)
    else:
        raise ServerFailed("A deployment needs code, or a model of the type mlflow_model.")
    if model:
        path = assets.resolve(model, scope, "model")
        copy(path, draft / "models" / model_place(assets, scope, model) / path.name, log)
    draft.replace(home)


def is_mlflow(assets: Assets, scope: str, model: str | None) -> bool:
    """Whether Azure would serve the model without code."""
    if not model:
        return False
    kind = str(assets.document(model, scope, "model")["properties"].get("modelType") or "")
    return kind.lower().replace("_", "") == "mlflowmodel"


def copy(source: Path, target: Path, log: Path) -> None:
    if not source.exists():
        raise Unresolved(f"{source.name} has no content.")
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{now} downloaded {source.name} to {target.name}\n")


def ready_deadline_s(probe: Json) -> float:
    """How long Azure waits for a container by its readiness probe."""
    delay_s = duration_s(probe.get("initialDelay"))
    period_s = duration_s(probe.get("period")) or PROBE_PERIOD_S
    failures = int(probe.get("failureThreshold") or PROBE_FAILURES)
    return (PROBE_DELAY_S if delay_s is None else delay_s) + period_s * failures


def note_failure(folder: Path, message: str) -> None:
    """Tell in the container's log why there is no container."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / SERVER_LOG).open("a", encoding="utf-8") as log:
        log.write(message + "\n")


def liveness_of(probe: Json) -> Probe:
    """The liveness probe of a deployment, with Azure's defaults for what it leaves out."""
    usual, delay_s = Probe(), duration_s(probe.get("initialDelay"))
    return Probe(
        delay_s=usual.delay_s if delay_s is None else delay_s,
        period_s=duration_s(probe.get("period")) or usual.period_s,
        timeout_s=duration_s(probe.get("timeout")) or usual.timeout_s,
        failures=int(probe.get("failureThreshold") or usual.failures),
    )


def remove_other_generations(folder: Path, keep: int) -> None:
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir() and path.name != str(keep):
            shutil.rmtree(path, ignore_errors=True)


def log_lines(folder: Path, container: str, lines: int) -> str:
    """The last lines of a container's log: StorageInitializer, or the inference server."""
    path = folder / (STORAGE_LOG if container.lower() == "storageinitializer" else SERVER_LOG)
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - MOST_LOG_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
