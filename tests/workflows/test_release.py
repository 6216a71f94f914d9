"""The release chain's journal: what is resumed, what starts afresh, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from taxiops.config import Settings, load_settings
from taxiops.errors import EvidenceError, StepFailed, UsageError
from taxiops.workflows import release as room
from taxiops.workflows.documents import read_document
from taxiops.workflows.release import STEPS, ReleaseOptions, release

Done = list[str]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({}, {"TAXIOPS_OUTPUT": str(tmp_path / "out")}, tmp_path)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Done:
    """Every step only notes that it was called; the steps themselves are tested elsewhere."""
    called: Done = []

    def step(name: str) -> Callable[[room.Chain, str], str]:
        def act(chain: room.Chain, env: str) -> str:
            called.append(f"{name}-{env}" if env else name)
            return "done"

        return act

    names = {
        "test_code": "test",
        "compare_models": "compare",
        "pass_gate": "gate",
        "promote_model": "promote",
        "deploy_model": "deploy",
        "test_slot": "test",
        "shift": "traffic",
    }
    for function, name in names.items():
        monkeypatch.setattr(room, function, step(name))
    return called


def run(settings: Settings, **options: object) -> room.ReleaseResult:
    return release(settings, replace(ReleaseOptions(), **options), lambda _: None)


def test_every_step_is_done_in_order_and_once(settings: Settings, done: Done) -> None:
    result = run(settings)
    assert tuple(done) == STEPS
    assert result.status == "finished"
    assert [step["step"] for step in result.steps] == list(STEPS)


def test_a_release_that_failed_is_resumed_at_the_step_that_failed(
    settings: Settings, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(chain: room.Chain, env: str) -> str:
        raise StepFailed("no")

    with monkeypatch.context() as patched:
        patched.setattr(room, "promote_model", fail)
        with pytest.raises(StepFailed):
            run(settings)
    assert done == ["test", "compare", "gate"]
    done.clear()
    assert run(settings).status == "finished"
    assert tuple(done) == STEPS[3:]


def test_a_release_killed_in_a_step_is_resumed_at_that_step(
    settings: Settings, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(chain: room.Chain, env: str) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(room, "deploy_model", die)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    done.clear()
    run(settings)
    assert tuple(done) == STEPS[STEPS.index("deploy-dev") :]


def test_a_finished_release_starts_afresh(settings: Settings, done: Done) -> None:
    run(settings)
    done.clear()
    run(settings)
    assert tuple(done) == STEPS


def test_a_release_of_other_data_is_not_resumed(settings: Settings, done: Done) -> None:
    run(settings, until_step="gate")
    done.clear()
    run(settings, data="azureml:trips:2", until_step="gate")
    assert done == ["test", "compare", "gate"]


def test_a_refused_candidate_ends_the_release(
    settings: Settings, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(chain: room.Chain, env: str) -> str:
        chain.save(room.REFUSED)
        raise EvidenceError("refused")

    with monkeypatch.context() as patched:
        patched.setattr(room, "pass_gate", refuse)
        with pytest.raises(EvidenceError):
            run(settings)
    document = read_document(settings.output / "release.json", "journal", "")
    assert document["status"] == "refused"
    done.clear()
    run(settings)
    assert tuple(done) == STEPS


def test_a_part_of_the_chain_can_be_asked_for(settings: Settings, done: Done) -> None:
    run(settings, from_step="deploy-dev", until_step="test-dev")
    assert done == ["deploy-dev", "test-dev"]
    with pytest.raises(UsageError):
        run(settings, from_step="gate", until_step="compare")


@pytest.mark.parametrize("text", ["", "{}", "[", '{"schema_version": 1, "steps": [{"step": "x"}]}'])
def test_a_damaged_journal_starts_afresh(settings: Settings, done: Done, text: str) -> None:
    settings.output.mkdir(parents=True)
    (settings.output / "release.json").write_text(text, encoding="utf-8")
    run(settings, until_step="gate")
    assert done == ["test", "compare", "gate"]


@pytest.fixture
def jobs(done: Done, monkeypatch: pytest.MonkeyPatch) -> Done:
    """What one job does is noted too."""

    def noted(name: str) -> Callable[[room.Chain, str], str]:
        def act(chain: room.Chain, env: str) -> str:
            done.append(f"{name} {env}".strip())
            return "done in a job"

        return act

    monkeypatch.setattr(room, "end_to_end_in_job", noted("end-to-end"))
    monkeypatch.setattr(room, "roll_out_in_job", noted("rollout"))
    return done


def test_with_jobs_one_pipeline_does_all_of_dev_and_another_prod(
    settings: Settings, jobs: Done
) -> None:
    result = run(settings, as_job=True)
    assert jobs == ["test", "end-to-end", "rollout prod"]
    assert [step["step"] for step in result.steps] == list(STEPS)
    assert result.status == "finished"


def test_with_jobs_a_release_may_begin_at_a_deployment_and_end_behind_one(
    settings: Settings, jobs: Done
) -> None:
    run(settings, as_job=True, from_step="deploy-dev", until_step="traffic-dev")
    assert jobs == ["rollout dev"]
    with pytest.raises(UsageError, match="one job"):
        run(settings, as_job=True, until_step="test-prod")
    run(settings, as_job=True, from_step="compare", until_step="gate")
    assert jobs == ["rollout dev", "compare", "gate"]
