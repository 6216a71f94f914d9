"""Pipeline documents: typos are refused by file and key, edits touch only what they name."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taxiops.errors import NotFound, UsageError
from taxiops.workflows import pipelines

ROOT = Path(__file__).parents[2]
PATH = ROOT / "pipelines" / "integration-compare-pipeline.yaml"
Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return pipelines.read_yaml(PATH)


def inside(document: Document, *keys: str) -> Document:
    for key in keys:
        document = document[key]
    return document


def renamed(*keys: str, to: str) -> Callable[[Document], object]:
    """Renames the last key; those before lead to it."""

    def damage(document: Document) -> None:
        mapping = inside(document, *keys[:-1])
        mapping[to] = mapping.pop(keys[-1])

    return damage


def put(*keys: str, value: object) -> Callable[[Document], object]:
    """Sets the last key to a value."""
    return lambda document: inside(document, *keys[:-1]).update({keys[-1]: value})


TRAIN = ("jobs", "train_job")
TRIPS = (*TRAIN, "inputs", "train_trips")
TYPOS: list[tuple[str, Callable[[Document], object]]] = [
    ("jobs", renamed("jobs", to="jobz")),
    ("settings.default_computee", renamed("settings", "default_compute", to="default_computee")),
    ("jobs.train_job.inputz", renamed(*TRAIN, "inputs", to="inputz")),
    ("jobs.train_job.inputs.max_itr", renamed(*TRAIN, "inputs", "max_iter", to="max_itr")),
    ("jobs.train_job.outputs.modell", renamed(*TRAIN, "outputs", "model", to="modell")),
    ("jobs.train_job.component", put(*TRAIN, "component", value="../components/trainn.yaml")),
    ("jobs.train_job.inputs.train_trips", lambda d: inside(d, *TRIPS[:-1]).pop("train_trips")),
    (
        "jobs.train_job.inputs.train_trips",
        put(*TRIPS, value="${{parent.jobs.prepare_jb.outputs.train_trips}}"),
    ),
    (
        "jobs.train_job.inputs.train_trips",
        put(*TRIPS, value="${{parent.jobs.prepare_job.outputs.train_tripz}}"),
    ),
    (
        "jobs.prepare_job.inputs.seed",
        put("jobs", "prepare_job", "inputs", "seed", value="${{parent.inputs.sed}}"),
    ),
    ("jobs.train_job", put(*TRAIN, value="later")),
]


def test_the_pipeline_of_the_repository_is_right(document: Document) -> None:
    pipelines.check_pipeline(document, PATH)


@pytest.mark.parametrize(("where", "damage"), TYPOS, ids=[where for where, _ in TYPOS])
def test_a_typo_is_refused_by_file_and_key(
    document: Document, where: str, damage: Callable[[Document], object]
) -> None:
    damage(document)
    with pytest.raises(UsageError) as caught:
        pipelines.check_pipeline(document, PATH)
    assert f"{PATH}: {where}" in caught.value.what


def test_a_key_of_the_top_is_refused_by_the_sdk(document: Document) -> None:
    from taxiops.cloud import jobs

    with pytest.raises(UsageError) as caught:
        jobs.load_pipeline(pipelines.to_text({**document, "experiment": "x"}), PATH)
    assert str(PATH) in caught.value.what
    assert "experiment" in caught.value.why


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "a: !!python/object:os.x {}"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"p\.yaml"):
        pipelines.read_yaml(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        pipelines.read_yaml(tmp_path / "p.yaml")


def test_an_input_keeps_its_kind(document: Document) -> None:
    set_ = pipelines.with_inputs(document, {"max_iter": "7", "learning_rate": "0.5"}, PATH)
    assert (set_["inputs"]["max_iter"], set_["inputs"]["learning_rate"]) == (7, 0.5)
    assert document["inputs"]["max_iter"] == 200


@pytest.mark.parametrize(
    ("overrides", "told"), [({"max_itr": "7"}, "'max_iter'"), ({"max_iter": "many"}, "number")]
)
def test_an_input_that_is_not_there_or_no_number_is_refused(
    document: Document, overrides: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        pipelines.with_inputs(document, overrides, PATH)


def test_stopping_keeps_what_the_last_job_needs_and_drops_its_successors(
    document: Document,
) -> None:
    cut = pipelines.stopped_after(document, "train_job")
    assert list(cut["jobs"]) == ["prepare_job", "train_job"]
    assert set(cut["outputs"]) == {"model", "data_report"}
    pipelines.check_pipeline(cut, PATH)
    assert pipelines.stopped_after(document, "compare_job")["jobs"] == document["jobs"]
    with pytest.raises(UsageError, match="'compare_job'"):
        pipelines.stopped_after(document, "compare_jb")


def test_the_folders_to_upload_are_those_of_the_pipeline_and_its_components(
    document: Document,
) -> None:
    own = Path("pipelines/integration-compare-pipeline.yaml")
    assert pipelines.folders_of(document, own) == ["components", "pipelines"]


def test_every_document_of_the_repository_is_validated(tmp_path: Path) -> None:
    from taxiops.workflows.unit_tests import validate_documents

    for name in ("pipelines", "components"):
        shutil.copytree(ROOT / name, tmp_path / name)
    names = validate_documents(tmp_path, lambda _: None)
    assert "pipelines/integration-compare-pipeline.yaml" in names
    broken = tmp_path / "components" / "train.yaml"
    text = broken.read_text(encoding="utf-8").replace("command:", "comand:")
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"train\.yaml"):
        validate_documents(tmp_path, lambda _: None)
