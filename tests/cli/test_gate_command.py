"""`taxiops gate` from report to exit code, outputs and files; the real decision."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taxiops.domain.gate import parse_policy

DIGEST = "sha256:" + "a" * 64
POLICY = parse_policy({})


def figures(candidate: float, baseline: float, spread: float, direction: str) -> dict[str, Any]:
    change = candidate - baseline
    return {
        "unit": "USD",
        "direction": direction,
        "candidate": candidate,
        "baseline": baseline,
        "change": change,
        "relative_change": change / baseline,
        "ci_low": change - spread,
        "ci_high": change + spread,
    }


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def report(verdict: str, mae: dict[str, Any]) -> dict[str, Any]:
    lower = figures(2.0, 2.5, 0.1, "lower_is_better")
    return {
        "schema_version": 1,
        "improved": verdict == "improved",
        "verdict": verdict,
        "reasons": ["measured"],
        "primary_metric": "mae",
        "confidence": POLICY.confidence,
        "slice_confidence": POLICY.confidence,
        "metrics": {
            "mae": mae,
            "rmse": lower,
            "r2": {**figures(0.9, 0.8, 0.01, "higher_is_better"), "unit": "ratio"},
            "mape": {**lower, "unit": "ratio"},
        },
        "slices": [],
        "slices_uncompared": [],
        "test_data": {"rows": 1000, "sha256": DIGEST, "source": "generated"},
        "candidate": {
            "sha256": DIGEST,
            "path": "azureml://jobs/j/outputs/model",
            "size_bytes": 1000,
            "row_latency_ms": 1.0,
        },
        "baseline": {"kind": "naive", "name": "naive-fare", "version": "", "sha256": DIGEST},
        "policy": POLICY.document(),
        "policy_sha256": POLICY.sha256(),
        "job": {"name": "j", "workspace": "w"},
        "commit": "a" * 40,
        "branch": "main",
        "created_at": stamp(datetime.now(UTC)),
    }


IMPROVED = report("improved", figures(1.0, 1.5, 0.1, "lower_is_better"))
WORSE = report("not_improved", figures(1.6, 1.5, 0.05, "lower_is_better"))


@pytest.fixture
def written(tmp_path: Path):
    def write(document: dict[str, Any]) -> Path:
        path = tmp_path / "artifacts/compare/metrics/comparison.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


def test_an_improved_candidate_passes(typed, written) -> None:
    written(IMPROVED)
    result = typed("gate")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("local emulator")
    assert lines[1] == "Gate passed: improved"
    assert lines[-1] == "Next: taxiops promote"


def test_deciding_needs_neither_cloud_nor_anything_heavy(written, tmp_path: Path) -> None:
    written(IMPROVED)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "taxiops.cli", "gate"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Gate passed: improved" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "taxiops.domain.gate" in imported
    heavy = {"azure", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "matplotlib", "rich"}
    assert not {name.split(".")[0] for name in imported} & heavy


def test_a_worse_candidate_is_exit_3_with_reasons(typed, written) -> None:
    written(WORSE)
    result = typed("gate")
    assert result.exit_code == 3
    assert "Gate refused: not improved" in result.stdout
    assert "MAE is 1.6000" in result.stdout


def test_the_named_report_is_read(typed, written, tmp_path: Path) -> None:
    path = written(WORSE).rename(tmp_path / "elsewhere.json")
    assert typed("gate", str(path)).exit_code == 3


def test_an_override_passes_and_is_recorded(typed, written, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    written(WORSE)
    result = typed("gate", "--override", "--reason", "hot fix")
    assert result.exit_code == 0
    assert "Gate overridden: not improved" in result.stdout
    verdict = json.loads((tmp_path / "artifacts/gate/verdict.json").read_text(encoding="utf-8"))
    assert (verdict["overridden_by"], verdict["override_reason"]) == ("octocat", "hot fix")


def edited(**changes: Any) -> str:
    return json.dumps({**WORSE, **changes})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (edited(improved=True), 3),
        (edited(improved=True, verdict="improved"), 3),
        (edited(test_data={"rows": 0, "sha256": DIGEST, "source": "x"}), 3),
        (edited(policy_sha256=DIGEST), 3),
        (edited()[:300], 2),
        (edited(confidence=float("nan")), 2),
        (edited(schema_version=2), 2),
        ("[]", 2),
        ("", 2),
        (None, 5),
    ],
)
def test_a_report_that_cannot_be_trusted_does_not_pass(
    content: str | None, code: int, typed, written, tmp_path: Path
) -> None:
    path = written({})
    if content is None:
        path.unlink()
    else:
        path.write_text(content, encoding="utf-8")
    result = typed("gate", "--json")
    assert result.exit_code == code, result.output
    assert json.loads(result.stdout)["error"]["exit_code"] == code


@pytest.mark.parametrize(
    ("age", "why"),
    [
        (timedelta(days=31), "the report is 31 days old; the policy's max_report_age_days is 30"),
        (timedelta(hours=-1), "is in the future"),
    ],
)
def test_a_stale_report_does_not_pass_not_even_by_an_override(
    age: timedelta, why: str, typed, written
) -> None:
    written({**IMPROVED, "created_at": stamp(datetime.now(UTC) - age)})
    for options in ([], ["--override", "--reason", "hot fix"]):
        result = typed("gate", *options)
        assert result.exit_code == 3
        assert "created_at" in result.output
        assert why in result.output


@pytest.mark.parametrize(
    ("document", "passed", "code"), [(IMPROVED, "true", 0), (WORSE, "false", 3)]
)
def test_in_github_actions_the_answer_is_an_output(
    document, passed, code, written, process, tmp_path: Path
) -> None:
    written(document)
    done = process(
        "gate",
        GITHUB_ACTIONS="true",
        GITHUB_OUTPUT=str(tmp_path / "output"),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
    )
    assert done.returncode == code
    assert (tmp_path / "output").read_text(encoding="utf-8") == f"passed={passed}\n"
    assert (tmp_path / "summary").read_text(encoding="utf-8").startswith("### Gate ")
    assert ("::error title=" in done.stderr) is (code != 0)


def test_the_documents_fields_are_pinned(document, written) -> None:
    written(IMPROVED)
    assert list(document("gate")) == [
        "schema_version",
        "passed",
        "verdict",
        "reasons",
        "report_sha256",
        "policy_sha256",
        "overridden_by",
        "override_reason",
        "created_at",
        "next_command",
    ]
