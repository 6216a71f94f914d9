"""What the compare step really writes: valid by its schema, accepted by the gate, drawn whole."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from taxiops.domain.gate import Policy, decide, parse_comparison
from taxiops.report import write_report
from taxiops.steps.compare import arguments, comparison
from taxiops.steps.prepare import prepare
from taxiops.steps.train import train

SCHEMA = Path(__file__).parents[2] / "taxiops" / "schemas" / "comparison.schema.json"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """comparison.json and samples.json of a small model against the naive fare."""
    folder = tmp_path_factory.mktemp("real")
    prepare(None, 3_000, 7, folder / "train", folder / "test")
    params = {"max_iter": 30, "learning_rate": 0.2, "max_leaf_nodes": 15}
    train(folder / "train", folder / "test", folder / "model", params, "")
    options = ["--train-trips", folder / "train", "--test-trips", folder / "test"]
    options += ["--candidate-model", folder / "model", "--report", folder / "report"]
    documents = comparison(arguments().parse_args([str(each) for each in options]), {}, NOW)
    return json.loads(json.dumps(documents[0])), json.loads(json.dumps(documents[1]))


def test_the_real_comparison_is_valid_and_decided_alike(
    real: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    document, _ = real
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    verdict = decide(parse_comparison(document), Policy())
    assert (verdict.passed, verdict.verdict) == (document["improved"], document["verdict"])
    assert list(verdict.reasons) == document["reasons"]


def test_the_real_comparison_has_every_plot(
    tmp_path: Path, real: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    files = write_report(tmp_path, *real)
    assert [path.stem for path in files.plots] == ["metrics", "slices", "errors", "predictions"]
    page = files.html.read_text(encoding="utf-8")
    assert "the naive fare (fitted on the training trips)" in page
    assert "Worst trips" in page
    assert len(page) < 1_500_000
