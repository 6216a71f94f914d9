"""Rulesets and environments: their shape, the checks they demand, and the command that applies."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from .project import ROOT

FOLDER = ROOT / ".github" / "rulesets"
APPLY = FOLDER / "apply.sh"
RULESETS = sorted(FOLDER.glob("*.json"))
ENVIRONMENTS = sorted((FOLDER / "environments").glob("*.json"))


def strict(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """An object with exactly these properties."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


FLAG, TEXT, NUMBER = {"type": "boolean"}, {"type": "string"}, {"type": "integer"}
REVIEW = {
    "required_approving_review_count": {"type": "integer", "minimum": 1, "maximum": 10},
    "dismiss_stale_reviews_on_push": FLAG,
    "require_code_owner_review": FLAG,
    "require_last_push_approval": FLAG,
    "required_review_thread_resolution": FLAG,
}
CHECK = strict({"context": TEXT, "integration_id": NUMBER})
CHECKS = {
    "strict_required_status_checks_policy": FLAG,
    "required_status_checks": {"type": "array", "items": CHECK, "minItems": 1},
}
# Cut from GitHub's OpenAPI description: POST /repos/{owner}/{repo}/rulesets, and PUT
# /repos/{owner}/{repo}/environments/{environment_name}; only what is used here is let through.
RULESET = strict(
    {
        "name": TEXT,
        "target": {"const": "branch"},
        "enforcement": {"const": "active"},
        "bypass_actors": {
            "type": "array",
            "items": strict(
                {
                    "actor_id": NUMBER,
                    "actor_type": {"enum": ["RepositoryRole", "Team", "Integration"]},
                    "bypass_mode": {"enum": ["always", "pull_request"]},
                }
            ),
        },
        "conditions": strict(
            {
                "ref_name": strict(
                    {
                        "include": {"type": "array", "items": {"pattern": "^refs/heads/"}},
                        "exclude": {"type": "array", "maxItems": 0},
                    }
                )
            }
        ),
        "rules": {
            "type": "array",
            "items": {
                "oneOf": [
                    strict({"type": {"enum": ["deletion", "non_fast_forward"]}}),
                    strict({"type": {"const": "pull_request"}, "parameters": strict(REVIEW)}),
                    strict(
                        {"type": {"const": "required_status_checks"}, "parameters": strict(CHECKS)}
                    ),
                ]
            },
        },
    }
)
ENVIRONMENT = strict(
    {
        "wait_timer": {"type": "integer", "minimum": 0, "maximum": 43200},
        "prevent_self_review": FLAG,
        "reviewers": {"type": ["array", "null"], "maxItems": 6},
        "deployment_branch_policy": strict(
            {"protected_branches": FLAG, "custom_branch_policies": FLAG}
        ),
    }
)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", RULESETS, ids=lambda path: path.stem)
def test_a_ruleset_has_githubs_shape_and_stops_direct_pushes(path: Path) -> None:
    document = read(path)
    jsonschema.validate(document, RULESET)
    kinds = {rule["type"] for rule in document["rules"]}
    assert kinds == {"deletion", "non_fast_forward", "pull_request", "required_status_checks"}
    assert document["conditions"]["ref_name"]["include"] == [f"refs/heads/{path.stem}"]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_has_githubs_shape_and_limits_its_branches(path: Path) -> None:
    document = read(path)
    jsonschema.validate(document, ENVIRONMENT)
    assert document["deployment_branch_policy"] == {
        "protected_branches": False,
        "custom_branch_policies": True,
    }


def test_every_check_that_is_demanded_is_the_name_of_a_job() -> None:
    names = {
        job["name"]
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    }
    demanded = {
        check["context"]
        for path in RULESETS
        for rule in read(path)["rules"]
        if rule["type"] == "required_status_checks"
        for check in rule["parameters"]["required_status_checks"]
    }
    assert demanded == {"integration verdict", "production verdict"}
    assert demanded <= names


def test_every_environment_of_a_workflow_is_kept_here_and_only_one_waits_for_a_person() -> None:
    used = {
        job["environment"]
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        if "environment" in job
    }
    assert used == {path.stem for path in ENVIRONMENTS}
    waiting = {path.stem for path in ENVIRONMENTS if read(path)["reviewers"] is not None}
    assert waiting == {"production"}


# A gh that answers from files and notes what it was asked to write.
FAKE_GH = """#!/bin/sh
case "$*" in
  "auth status") exit 0 ;;
  *"users/octocat"*) echo 583231 ;;
  *"orgs/octo/teams/ml"*) echo 99 ;;
  *--input*) { echo "$*"; cat; echo; } >> "$GH_LOG" ;;
  *"/rulesets"*) case "$*" in *integration*) cat "$GH_KNOWN" 2> /dev/null || true ;; esac ;;
  *deployment-branch-policies*) echo integration ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
Apply = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def apply(tmp_path: Path) -> Apply:
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(FAKE_GH, encoding="utf-8")
    gh.chmod(0o755)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environ = {
            "PATH": os.pathsep.join([str(gh.parent), os.environ["PATH"]]),
            "GH_LOG": str(tmp_path / "log"),
            "GH_KNOWN": str(tmp_path / "known"),
        }
        return subprocess.run(
            ["bash", str(APPLY), *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_applying_creates_what_is_missing_and_updates_what_is_there(
    apply: Apply, tmp_path: Path
) -> None:
    assert apply("octo/taxi", "--reviewer", "octocat").returncode == 0
    first = (tmp_path / "log").read_text(encoding="utf-8")
    assert first.count("--method POST repos/octo/taxi/rulesets ") == 2
    assert '"reviewers": [{"type": "User", "id": 583231}]' in first
    # The branch main was missing in both environments, integration was there.
    assert first.count('{"name": "main"}') == 2
    assert '{"name": "integration"}' not in first
    (tmp_path / "log").unlink()
    (tmp_path / "known").write_text("42\n", encoding="utf-8")
    assert apply("octo/taxi", "--reviewer", "octo/ml").returncode == 0
    again = (tmp_path / "log").read_text(encoding="utf-8")
    assert "--method PUT repos/octo/taxi/rulesets/42 " in again
    assert '"reviewers": [{"type": "Team", "id": 99}]' in again


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(apply: Apply, tmp_path: Path) -> None:
    done = apply("octo/taxi", "--reviewer", "octocat", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "POST repos/octo/taxi/rulesets" in done.stdout
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("octo",),
        ("octo/taxi",),
        ("octo/taxi", "--reviewer"),
        ("octo/taxi", "--reviewer", "a b"),
        ("octo/taxi", "--reviewer", "octocat", "--force"),
        ("octo/taxi;id", "--reviewer", "octocat"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_asked(
    apply: Apply, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = apply(*arguments)
    assert done.returncode == 2
    assert "usage: apply.sh OWNER/REPO" in done.stderr
    assert not (tmp_path / "log").exists()
