"""Comparing and promoting: only the compared model, only after the gate, and only once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from taxiops.cloud import models
from taxiops.domain.evidence import problems_of_tags
from taxiops.domain.outcome_files import parse_promotion, parse_verdict
from taxiops.errors import EvidenceError, StepFailed, UsageError
from taxiops.workflows.baseline import check_baseline
from taxiops.workflows.compare import CompareOptions, compare
from taxiops.workflows.decide_gate import decide_gate
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.evidence.job_report import check_job_report
from taxiops.workflows.promote import promote
from taxiops.workflows.registry import fit_for, list_promoted
from taxiops.workflows.rollouts.rollout import connect_to

if TYPE_CHECKING:
    from conftest import Promoted, World

SCHEMAS = Path(__file__).parents[2] / "taxiops" / "schemas"
PIPELINE = Path("pipelines/integration-compare-pipeline.yaml")
Read = Callable[[Path], dict[str, Any]]


def ignore(_: str) -> None:
    """Progress that nobody reads."""


def test_the_report_is_rendered_where_it_was_fetched(first: "Promoted") -> None:
    report = first.comparison.report
    assert report is not None
    folder = report.parent.parent
    assert {"report.html", "report.md", "plots", "metrics"} <= {p.name for p in folder.iterdir()}


def test_a_promoted_version_carries_its_sealed_evidence(
    world: "World", first: "Promoted", read: Read
) -> None:
    promotion = first.promotion
    parse_promotion(read(first.settings.output / "promote" / "promotion.json"))
    found = models.read_version(world.connect().registry, promotion.name, promotion.version)
    assert found is not None
    assert problems_of_tags(found.tags) == []
    assert found.tags["comparison_run"] == first.comparison.job_name
    assert found.tags["overridden_by"] == "tests"


def test_prod_refuses_a_version_let_pass_by_decree_and_passes_it_over_when_it_chooses(
    world: "World", first: "Promoted"
) -> None:
    name, told = first.promotion.version, list[str]()
    settings = world.settings("prod")
    strict = connect_to(replace(settings, tables={**settings.tables, "gate": {}}))
    with pytest.raises(EvidenceError, match="not for Prod: its gate was overridden"):
        deploy(strict.settings, DeployOptions(model_version=name), ignore)
    promoted = list_promoted(strict)
    assert name not in [each.version for each in fit_for(strict, promoted, told.append)]
    assert f"passing over version {name}" in " ".join(told)
    assert list(fit_for(world.connect("prod"), promoted, ignore)) == promoted


def test_every_file_fits_its_published_schema(first: "Promoted", read: Read) -> None:
    names = {
        "comparison": "compare/metrics/comparison.json",
        "verdict": "gate/verdict.json",
        "promotion": "promote/promotion.json",
    }
    for name, path in names.items():
        text = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
        jsonschema.validate(read(first.settings.output / path), json.loads(text))


def test_promoting_again_changes_nothing(world: "World", first: "Promoted") -> None:
    before = models.list_versions(world.connect().registry, first.promotion.name)
    again = promote(first.settings, None, ignore)
    assert (again.already_promoted, again.version) == (True, first.promotion.version)
    assert models.list_versions(world.connect().registry, first.promotion.name) == before


def test_a_later_promotion_takes_the_next_number(first: "Promoted", second: "Promoted") -> None:
    assert int(second.promotion.version) == int(first.promotion.version) + 1
    assert second.promotion.sha256 != first.promotion.sha256


def test_the_serving_or_newest_version_is_the_baseline(
    first: "Promoted", second: "Promoted"
) -> None:
    kinds = [
        (each.comparison.report_document or {})["baseline"]["kind"] for each in (first, second)
    ]
    assert kinds == ["naive", "registry"]


def test_a_report_that_was_edited_to_fit_itself_is_not_that_of_its_job(
    world: "World", first: "Promoted", read: Read
) -> None:
    assert first.comparison.report is not None
    document = read(first.comparison.report)
    check_job_report(world.connect(), first.comparison.job_name, document, ignore)
    with pytest.raises(EvidenceError, match="not the one that job") as caught:
        check_job_report(
            world.connect(), first.comparison.job_name, {**document, "branch": "main2"}, ignore
        )
    assert caught.value.exit_code == 3


def test_a_report_against_what_is_no_longer_to_beat_is_stale(
    world: "World", first: "Promoted", second: "Promoted"
) -> None:
    connection = world.connect()
    measured = [
        {"name": each.promotion.name, "version": each.promotion.version} for each in (first, second)
    ]
    check_baseline(connection, measured[1], ignore)
    for outdated in (measured[0], {"name": "initial charge plus price per mile", "version": ""}):
        with pytest.raises(EvidenceError, match=r"baseline\.version: the candidate was") as caught:
            check_baseline(connection, outdated, ignore)
        assert caught.value.details["field"] == "baseline.version"
        assert f"it has to beat version {second.promotion.version}." in caught.value.what


def test_a_promotion_that_died_before_its_tags_is_completed(
    first: "Promoted", second: "Promoted"
) -> None:
    assert second.left is not None
    assert second.left.version != first.promotion.version
    assert problems_of_tags(second.left.tags)
    assert second.promotion.version == second.left.version
    assert problems_of_tags(second.promotion.tags) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(improved=not d["improved"]),
        lambda d: d["metrics"]["mae"].update(candidate=0.0),
        lambda d: d["candidate"].update(sha256=f"sha256:{'0' * 64}"),
        lambda d: d["metrics"].pop("mae"),
    ],
    ids=["flag", "figure", "digest", "missing"],
)
def test_a_report_edited_by_hand_is_not_promoted(
    first: "Promoted", read: Read, tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    assert first.comparison.report is not None
    document = read(first.comparison.report)
    damage(document)
    edited = tmp_path / "comparison.json"
    edited.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(EvidenceError):
        promote(first.settings, edited, ignore)


def test_another_models_bytes_are_not_promoted(
    first: "Promoted", read: Read, tmp_path: Path
) -> None:
    """Report and verdict agree with each other, but the job holds another model."""
    assert first.comparison.report is not None
    document = read(first.comparison.report)
    document["candidate"]["sha256"] = f"sha256:{'0' * 64}"
    edited = tmp_path / "comparison.json"
    edited.write_text(json.dumps(document), encoding="utf-8")
    verdict = first.settings.output / "gate" / "verdict.json"
    kept = verdict.read_text(encoding="utf-8")
    try:
        decide_gate(first.settings, edited, True, "forged", "tests", ignore)
        with pytest.raises(EvidenceError, match="not the one that was compared"):
            promote(first.settings, edited, ignore)
    finally:
        verdict.write_text(kept, encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1, "a": NaN}', "[]", "{}"])
def test_the_gate_refuses_what_is_no_report(world: "World", tmp_path: Path, text: str) -> None:
    path = tmp_path / "comparison.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        decide_gate(world.settings(), path, False, "", "tests", ignore)


def test_a_verdict_says_who_overrode_it(first: "Promoted", read: Read) -> None:
    verdict = parse_verdict(read(first.settings.output / "gate" / "verdict.json"))
    assert verdict.passed
    assert verdict.overridden_by in ("tests", "")


def test_a_failing_step_shows_the_end_of_its_log(world: "World") -> None:
    options = CompareOptions(PIPELINE, overrides={"rows": "10"})
    with pytest.raises(StepFailed, match="PrepareTrips") as caught:
        compare(world.settings(endpoint="failing"), options, ignore)
    assert "trips" in caught.value.why


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("empty.csv", "", "empty"),
        ("nofare.csv", "lpepPickupDatetime,tripDistance\n2016-01-01,1\n", "fare"),
        ("other.csv", "a,b\n1,2\n", "unknown layout"),
        ("broken.parquet", "PAR1", "cannot be read"),
        ("notes.txt", "hello", "neither CSV nor Parquet"),
    ],
)
def test_bad_trips_are_refused_before_anything_is_submitted(
    world: "World", tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    options = CompareOptions(PIPELINE, data=str(tmp_path / name))
    with pytest.raises(UsageError, match=told):
        compare(world.settings(), options, ignore)
