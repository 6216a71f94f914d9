"""Steps and jobs under the control plane: environment, time limits, slots and their end."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state import graph
from taxiops.emulator.state.assets import Assets, Key
from taxiops.emulator.state.blobs import Blobs
from taxiops.emulator.state.execution import StepRun, run_step
from taxiops.emulator.state.job_environment import JobSecrets, Surroundings, ensure_bundle
from taxiops.emulator.state.job_running import PARALLEL_STEPS
from taxiops.emulator.state.jobs import Jobs
from taxiops.emulator.state.store import Store

SCOPE = "/subscriptions/s/resourcegroups/g/providers/microsoft.machinelearningservices/workspaces/w"


@dataclass(frozen=True)
class Parts:
    """Jobs and the assets they use, behind no server."""

    jobs: Jobs
    assets: Assets

    def put_component(self, name: str, spec: dict[str, Any]) -> str:
        """Store a component; gives the id that a pipeline's node names."""
        self.assets.create(Key("component", SCOPE, name, "1"), {"componentSpec": spec})
        return f"{SCOPE}/components/{name}/versions/1"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    store = Store(tmp_path / "emulator.db")
    blobs = Blobs(tmp_path / "blobs", store, b"key", "https://127.0.0.1:1")
    blobs.create_container("workspace")
    store.put("datastore", SCOPE, "workspaceblobstore", {"container": "workspace"})
    surroundings = Surroundings("https://127.0.0.1:2", "an-id", tmp_path / "bundle.pem")
    assets = Assets(store, blobs)
    jobs = Jobs(store, blobs, assets, tmp_path / "jobs", surroundings)
    yield Parts(jobs, assets)
    jobs.close()
    store.close()


@pytest.fixture
def jobs(parts: Parts) -> Jobs:
    return parts.jobs


def submit(jobs: Jobs, name: str, command: str, **more: Any) -> None:
    jobs.create(SCOPE, name, {"jobType": "Command", "command": command, **more})


def await_status(jobs: Jobs, name: str, *wanted: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while True:
        document = jobs.get(SCOPE, name) or {}
        if document.get("status") in wanted:
            return document
        assert time.monotonic() < end, document
        time.sleep(0.02)


def test_a_step_sees_nothing_of_what_the_emulator_was_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaks = (
        "AZURE_CLIENT_SECRET",
        "GITHUB_TOKEN",
        "GITHUB_OUTPUT",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "TAXIOPS_CLOUD",
        "AML_DEV_WORKSPACE",
        "IDENTITY_ENDPOINT",
    )
    for name in leaks:
        monkeypatch.setenv(name, "do-not-tell")
    run = StepRun("env", None, tmp_path, {"OWN": "told"}, None)
    assert run_step(run, threading.Event()).status == "Completed"
    shown = run.log.read_text()
    assert "OWN=told" in shown
    assert "do-not-tell" not in shown


def test_jobs_trust_the_public_roots_the_given_ones_and_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    authority, given = tmp_path / "ca.pem", tmp_path / "given.pem"
    for path, text in ((authority, "own"), (given, "given")):
        path.write_text(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(given))
    bundle = ensure_bundle(authority).read_text()
    public = Path(certifi.where()).read_text("utf-8").count("BEGIN CERTIFICATE")
    assert bundle.count("BEGIN CERTIFICATE") == public + 2
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    assert ensure_bundle(authority).read_text().count("BEGIN CERTIFICATE") == public + 1


def test_a_secret_is_good_while_it_is_lent_and_never_again() -> None:
    secrets = JobSecrets()
    with secrets.lend() as one, secrets.lend() as other:
        assert one != other
        assert secrets.is_good(one)
        assert secrets.is_good(other)
        assert not secrets.is_good("")
    assert not secrets.is_good(one)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("PT0.5S", 0.5), ("PT1M1.5S", 61.5), ("P1DT2H", 93600.0), (5, 5.0), (None, None), ("", None)],
)
def test_time_limits_may_have_fractions(duration: object, expected: float | None) -> None:
    assert graph.seconds(duration) == expected


def test_a_command_that_failed_keeps_its_outputs(jobs: Jobs) -> None:
    outputs = {"out": {"jobOutputType": "uri_folder"}}
    submit(jobs, "failing", "echo half > ${{outputs.out}}/half.txt; exit 3", outputs=outputs)
    assert "exit code 3" in await_status(jobs, "failing", "Failed")["error"]
    assert (jobs.output_path(SCOPE, "failing", "out") / "half.txt").read_text() == "half\n"


def test_a_pipeline_in_a_failed_pipeline_publishes_what_its_steps_wrote(parts: Parts) -> None:
    out = {"out": {"type": "uri_folder"}}
    bound = {"out": {"value": "${{parent.outputs.out}}"}}
    command = "echo half > ${{outputs.out}}/half.txt; exit 3"
    failing = parts.put_component("failing", {"command": command, "outputs": out})
    inner = {"first": {"componentId": failing, "outputs": bound}}
    nested = parts.put_component("nested", {"type": "pipeline", "outputs": out, "jobs": inner})
    steps = {"outer": {"componentId": nested, "outputs": bound}}
    parts.jobs.create(SCOPE, "pipeline", {"jobType": "Pipeline", "jobs": steps})
    assert "exit code 3" in await_status(parts.jobs, "pipeline", "Failed")["error"]
    assert (parts.jobs.output_path(SCOPE, "pipeline", "out") / "half.txt").read_text() == "half\n"


def test_a_job_over_its_time_limit_fails(jobs: Jobs) -> None:
    submit(jobs, "endless", "sleep 600", limits={"timeout": "PT0.2S"})
    assert "longer than its limit" in await_status(jobs, "endless", "Failed")["error"]


def test_closing_ends_jobs_that_wait_for_a_slot_without_starting_them(
    jobs: Jobs, tmp_path: Path
) -> None:
    for number in range(PARALLEL_STEPS):
        submit(jobs, f"busy-{number}", f"touch {tmp_path}/busy-{number}; sleep 600")
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("busy-*"))) < PARALLEL_STEPS:
        assert time.monotonic() < end
        time.sleep(0.02)
    submit(jobs, "queued", f"touch {tmp_path}/queued")
    await_status(jobs, "queued", "Running")
    jobs.close()
    statuses = {document["name"]: document["status"] for document in jobs.all(SCOPE)}
    assert set(statuses.values()) == {"Canceled"}
    assert not (tmp_path / "queued").exists()
