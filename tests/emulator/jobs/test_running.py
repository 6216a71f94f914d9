"""Steps and jobs under the control plane: environment, time limits, slots and their end."""

import time
from pathlib import Path

import pytest

from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.jobs.commands import PARALLEL_STEPS
from taxiops.emulator.state.jobs.execution import StepRun, run_step
from taxiops.emulator.state.jobs.jobs import Jobs
from taxiops.emulator.state.jobs.surroundings import JobSecrets, ensure_bundle

from .parts import SCOPE, Parts, await_status, submit


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
    run = StepRun("env", None, tmp_path / "wd", tmp_path, {"OWN": "told"})
    assert run_step(run, Cancellation()).status == "Completed"
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


def test_a_command_that_failed_keeps_its_outputs(parts: Parts, jobs: Jobs) -> None:
    outputs = {"out": {"jobOutputType": "uri_folder"}}
    submit(jobs, "failing", "echo half > ${{outputs.out}}/half.txt; exit 3", outputs=outputs)
    assert "status code 3" in await_status(jobs, "failing", "Failed")["error"]
    assert (parts.output("failing", "out") / "half.txt").read_text() == "half\n"


def test_an_output_of_one_file_may_be_used_as_a_folder(parts: Parts, jobs: Jobs) -> None:
    """Azure leaves it to the script; the command runs again once its log has told."""
    outputs = {"out": {"jobOutputType": "uri_file"}}
    submit(jobs, "folder", "echo a > ${{outputs.out}}/a.txt", outputs=outputs)
    await_status(jobs, "folder", "Completed")
    assert (parts.output("folder", "out") / "a.txt").read_text() == "a\n"
    submit(jobs, "file", "echo a > ${{outputs.out}}; exit 1", outputs=outputs)
    await_status(jobs, "file", "Failed")
    assert parts.output("file", "out").read_text() == "a\n"


def test_a_pipeline_in_a_failed_pipeline_publishes_what_its_steps_wrote(parts: Parts) -> None:
    out = {"out": {"type": "uri_folder"}}
    bound = {"out": {"value": "${{parent.outputs.out}}"}}
    command = "echo half > ${{outputs.out}}/half.txt; exit 3"
    failing = parts.put_component("failing", {"command": command, "outputs": out})
    inner = {"first": {"componentId": failing, "outputs": bound}}
    nested = parts.put_component("nested", {"type": "pipeline", "outputs": out, "jobs": inner})
    steps = {"outer": {"componentId": nested, "outputs": bound}}
    parts.jobs.create(SCOPE, "pipeline", {"jobType": "Pipeline", "jobs": steps})
    assert "status code 3" in await_status(parts.jobs, "pipeline", "Failed")["error"]
    assert (parts.output("pipeline", "out") / "half.txt").read_text() == "half\n"


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
