"""Checks a workflow before act runs it, and finds our stand-in for every third-party action.

act skips, clones or ignores without a word what it cannot do; everything of that kind fails here.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("actions")
# The labels that mean this machine.
LABELS = ("ubuntu-latest", "ubuntu-24.04")
# Part of act: it copies the work tree, of whatever branch that is.
CHECKOUT = "actions/checkout"
CHECKOUT_INPUTS = {
    *("clean", "fetch-depth", "fetch-tags", "filter", "lfs", "path", "persist-credentials"),
    *("set-safe-directory", "show-progress", "sparse-checkout", "sparse-checkout-cone-mode"),
    *("submodules", "token"),
}
THIRD_PARTY = re.compile(r"([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)@([\w./-]+)")


class UnfitWorkflow(AssertionError):
    """The workflow asks for something that act or our stand-ins would not do as GitHub does."""


def read_workflow(path: Path) -> dict[str, Any]:
    """The document of a workflow file; raises UnfitWorkflow when it is none."""
    if not path.is_file():
        raise UnfitWorkflow(f"there is no workflow {path}")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("jobs"), dict):
        raise UnfitWorkflow(f"{path.name} is no workflow: it has no jobs")
    for name, job in document["jobs"].items():
        where = f"job {name} of {path.name}"
        if "uses" in job:
            raise UnfitWorkflow(f"{where} calls a workflow: act breaks off when that one fails")
        if job.get("container") or job.get("services"):
            raise UnfitWorkflow(f"{where} needs containers, which are not to be had here")
        if job.get("runs-on") not in LABELS:
            raise UnfitWorkflow(
                f"{where} runs on {job.get('runs-on')}, which act would skip and call a success;"
                f" known are {' and '.join(LABELS)}"
            )
    return document


def find_stand_ins(project: Path, workflow: Mapping[str, Any]) -> dict[str, Path]:
    """`owner/name@ref` -> our folder, for all that the jobs use, through local actions too.

    Raises UnfitWorkflow for an action without a stand-in, for an input that it does not know, and
    for a required one that is missing.
    """
    found: dict[str, Path] = {}
    for step in steps_used(project, workflow):
        uses, given = step["uses"], step.get("with") or {}
        matched = THIRD_PARTY.fullmatch(uses)
        if uses.startswith("./"):
            check_inputs(uses, local_action(project, uses), given)
        elif matched is None:
            raise UnfitWorkflow(f"uses: {uses} names no action by owner/name@ref")
        elif matched[1] == CHECKOUT:
            check_checkout(given)
        else:
            name, below, ref = matched.groups()
            definition = FOLDER / name / below.strip("/") / "action.yml"
            if not definition.is_file():
                raise UnfitWorkflow(
                    f"{name}{below} has no stand-in: write one at"
                    f" tests/github/actions/{name}{below}/action.yml"
                )
            check_inputs(uses, yaml.safe_load(definition.read_text(encoding="utf-8")), given)
            found[f"{name}@{ref}"] = FOLDER / name
    return found


def steps_used(project: Path, workflow: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step with `uses`, in jobs and in local composite actions that they reach."""
    waiting = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
    seen = set()
    while waiting:
        step = waiting.pop(0)
        uses = step.get("uses")
        if uses is None:
            continue
        yield step
        if uses.startswith("./") and uses not in seen:
            seen.add(uses)
            waiting += local_action(project, uses)["runs"].get("steps", [])


def local_action(project: Path, uses: str) -> dict[str, Any]:
    for name in ("action.yml", "action.yaml"):
        path = project / uses / name
        if path.is_file():
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            assert isinstance(document, dict)
            return document
    raise UnfitWorkflow(f"uses: {uses} is not an action of this repository")


def check_inputs(uses: str, action: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """GitHub only warns of an unknown input, and of a missing one it says nothing."""
    known = {name.lower(): each or {} for name, each in (action.get("inputs") or {}).items()}
    names = {name.lower() for name in given}
    if names - known.keys():
        raise UnfitWorkflow(f"{uses} knows no input {', '.join(sorted(names - known.keys()))}")
    required = {name for name, each in known.items() if each.get("required") is True}
    if required - names:
        raise UnfitWorkflow(f"{uses} needs the input {', '.join(sorted(required - names))}")


def check_checkout(given: Mapping[str, Any]) -> None:
    if given.keys() & {"ref", "repository"}:
        raise UnfitWorkflow(f"{CHECKOUT} of another ref or repository would be cloned from GitHub")
    if given.keys() - CHECKOUT_INPUTS:
        unknown = ", ".join(sorted(given.keys() - CHECKOUT_INPUTS))
        raise UnfitWorkflow(f"{CHECKOUT} knows no input {unknown}")
