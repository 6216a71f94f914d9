"""Our stand-ins for third-party actions: what they do as the real ones, and what they refuse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from . import project as projects
from .act import run_workflow
from .record import Run
from .test_act import CACHE, CHECKOUT, DOWNLOAD, HEAD, PYTHON, UPLOAD

WORKFLOW = "stand-ins.yml"
PACKAGE = "def main() -> None:\n    print('from the checkout')\n"
ENVIRONMENT = f"""
  environment:
    runs-on: ubuntu-latest
    steps:
      - uses: {CHECKOUT}
      - id: python
        uses: {PYTHON}
        with: {{python-version: "3.13"}}
      - id: cached
        uses: {CACHE}
        with: {{path: .venv, key: "venv-${{{{ steps.python.outputs.python-version }}}}"}}
      - name: environment
        run: |
          echo "hit=${{{{ steps.cached.outputs.cache-hit }}}}"
          cd / && "$GITHUB_WORKSPACE/.venv/bin/taxiops"
          "$GITHUB_WORKSPACE/.venv/bin/python" -c 'import yaml; print("packages of", yaml.__name__)'
          python -c 'import sys; print(sys.version_info[:2], sys.prefix == sys.base_prefix)'
"""
CACHING = f"""
  caching:
    runs-on: ubuntu-latest
    steps:
      - id: exact
        uses: {CACHE}
        with: {{path: kept, key: "exact/${{{{ vars.ROUND }}}}"}}
      - id: begun
        uses: {CACHE}
        with: {{path: also, key: "begun-${{{{ vars.ROUND }}}}", restore-keys: "begun-"}}
      - name: caching
        run: |
          echo "${{{{ steps.exact.outputs.cache-hit }}}},${{{{ steps.begun.outputs.cache-hit }}}}"
          cat kept/a also/b 2>/dev/null || true
          mkdir -p kept also && echo "a of ${{{{ vars.ROUND }}}}" > kept/a && echo b > also/b
"""
ARTIFACTS = f"""
  artifacts:
    runs-on: ubuntu-latest
    steps:
      - run: |
          mkdir -p out/deep .out
          for name in a.txt b.json .hidden deep/c.txt deep/d.txt; do echo x > "out/$name"; done
          echo x > lone.txt && echo x > .out/e.txt
      - uses: {UPLOAD}
        with: {{name: whole, path: out}}
      - uses: {UPLOAD}
        with: {{name: lone, path: out/deep/c.txt}}
      - uses: {UPLOAD}
        with:
          name: several
          path: |
            out/**/*.txt
            lone.txt
            !out/deep/d.txt
      - uses: {UPLOAD}
        with: {{name: hidden, path: .out, include-hidden-files: true}}
      - uses: {UPLOAD}
        with: {{name: nothing, path: .out}}
      - uses: {UPLOAD}
        with: {{name: lone, path: lone.txt, overwrite: true}}
      - uses: {DOWNLOAD}
        with: {{path: apart, pattern: "[hl]*"}}
      - uses: {DOWNLOAD}
        with: {{path: merged, pattern: "[hl]*", merge-multiple: true}}
      - name: downloaded
        run: find apart merged -type f | sort
"""
REFUSALS = {
    "again": f"{{uses: {UPLOAD}, with: {{name: lone, path: lone.txt}}}}",
    "none": f"{{uses: {UPLOAD}, with: {{name: none, path: none, if-no-files-found: error}}}}",
    "slash": f"{{uses: {UPLOAD}, with: {{name: a/b, path: lone.txt}}}}",
    "absent": f"{{uses: {DOWNLOAD}, with: {{name: absent}}}}",
    "other": f"{{uses: {DOWNLOAD}, with: {{name: lone, run-id: 3}}}}",
    "comma": f"{{uses: {CACHE}, with: {{path: kept, key: 'a,b'}}}}",
    "missed": f"{{uses: {CACHE}, with: {{path: kept, key: a, fail-on-cache-miss: true}}}}",
    "latest": f"{{uses: {PYTHON}, with: {{python-version: newest}}}}",
}
REFUSED = "".join(
    f"""
  {name}:
    needs: artifacts
    runs-on: ubuntu-latest
    steps: [{{run: echo x > lone.txt}}, {step}]
"""
    for name, step in REFUSALS.items()
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    folder = tmp_path_factory.mktemp("stand-ins") / "repository"
    folder.mkdir()
    projects.make_repository(folder)
    jobs = ENVIRONMENT + CACHING + ARTIFACTS + REFUSED
    files = {
        ".gitignore": ".venv/\n",
        "taxiops/__init__.py": "",
        "taxiops/cli/__init__.py": "",
        "taxiops/cli/app.py": PACKAGE,
        f".github/workflows/{WORKFLOW}": f"{HEAD}jobs:\n{jobs}",
    }
    commit = projects.commit(folder, files)
    event = projects.push_event(commit, commit)
    return lambda round_: run_workflow(folder, WORKFLOW, "push", event, variables={"ROUND": round_})


@pytest.fixture(scope="module")
def first(run: Callable[[str], Run]) -> Run:
    return run("1")


def test_a_cached_environment_has_our_packages_and_the_checkout_s_taxiops(first: Run) -> None:
    hit, taxiops, packages, python = first.jobs["environment"].step("environment").lines
    assert hit == "hit=true"
    assert taxiops == "from the checkout"
    assert packages == "packages of yaml"
    assert python.endswith("True")


def test_a_cache_is_saved_after_a_good_job_and_found_by_its_key_or_its_beginning(
    first: Run, run: Callable[[str], Run]
) -> None:
    assert first.jobs["caching"].step("caching").lines == (",",)
    assert run("1").jobs["caching"].step("caching").lines == ("true,true", "a of 1", "b")
    assert run("2").jobs["caching"].step("caching").lines == (",false", "b")


def test_artifacts_are_laid_out_as_the_real_action_does(first: Run) -> None:
    kept = {
        name: {
            path.relative_to(first.artifacts / name).as_posix()
            for path in (first.artifacts / name).rglob("*")
            if path.is_file()
        }
        for name in first.artifact_names
    }
    assert kept == {
        "whole": {"a.txt", "b.json", "deep/c.txt", "deep/d.txt"},
        "lone": {"lone.txt"},
        "several": {"out/a.txt", "out/deep/c.txt", "lone.txt"},
        "hidden": {"e.txt"},
    }
    assert "No files were found" in first.messages("warning", "artifacts")[0]


def test_artifacts_come_back_apart_or_merged(first: Run) -> None:
    assert first.jobs["artifacts"].step("downloaded").lines == (
        "apart/hidden/e.txt",
        "apart/lone/lone.txt",
        "merged/e.txt",
        "merged/lone.txt",
    )


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ("again", "409"),
        ("none", "No files were found"),
        ("slash", "name is not valid"),
        ("absent", "not found for name: absent"),
        ("other", "does not know what run-id"),
        ("comma", "not a key"),
        ("missed", "Failed to restore cache entry"),
        ("latest", "not a version"),
    ],
)
def test_what_the_real_action_refuses_fails_the_job(first: Run, job: str, complaint: str) -> None:
    assert first.results[job] == "failure"
    assert complaint in first.messages("error", job)[0]


def test_a_cache_can_be_filled_beforehand(tmp_path: Path) -> None:
    repository, store = tmp_path / "repository", tmp_path / "store"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("filled\n", encoding="utf-8")
    (store / "caches" / "filled").mkdir(parents=True)
    (store / "caches" / "filled" / "kept").symlink_to(tmp_path / "elsewhere")
    repository.mkdir()
    projects.make_repository(repository)
    text = f"""{HEAD}jobs:
  only:
    runs-on: ubuntu-latest
    steps:
      - uses: {CACHE}
        with: {{path: kept, key: filled}}
      - name: see
        run: cat kept/a
"""
    commit = projects.commit(repository, {f".github/workflows/{WORKFLOW}": text})
    event = projects.push_event(commit, commit)
    own = {"ACT_STAND_IN_STORE": str(store)}
    done = run_workflow(repository, WORKFLOW, "push", event, environment=own)
    assert done.jobs["only"].step("see").lines == ("filled",)
