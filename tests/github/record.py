"""What a workflow run did, read from act's stream of JSON; running it lives in act.py."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS = ("notice", "warning", "error")
# The outputs that act tells of are those of steps; of a job's own it tells nothing.
STEP_OUTPUT = re.compile(r"\$\{\{\s*steps\.([\w-]+)\.outputs\.([\w-]+)\s*\}\}")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Annotation:
    """A ::notice, ::warning or ::error. properties: file, line, title, as far as given."""

    job: str
    step: str
    level: str
    message: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """One step of the job itself; what steps of a composite action write is among its lines.

    result: success, failure or skipped, or `unknown` when act broke off in its midst; a failure
    that continue-on-error forgives stays one. lines: without commands such as ::error, secrets
    masked; act loses a last line that does not end in a newline.
    """

    name: str
    result: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Leg:
    """One run of a job; a job without a matrix has one, a skipped job none."""

    name: str
    matrix: Mapping[str, Any]
    result: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Job:
    """result: success, failure, skipped or cancelled; of a matrix the worst of its legs.

    outputs: those that are exactly one step's output; others, being expressions, are left out.
    """

    result: str
    legs: tuple[Leg, ...]
    outputs: Mapping[str, str]

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for leg in self.legs for step in leg.steps)

    def step(self, name: str) -> Step:
        found = [step for step in self.steps if step.name == name]
        assert found, f"no step {name!r} among {[step.name for step in self.steps]}"
        return found[0]


@dataclass(frozen=True)
class Run:
    """A finished run. jobs: all of the workflow's by id; summaries: Markdown by job id.

    Summaries and annotations are as the steps wrote them: GitHub masks secrets there, act does not.

    log: every message, masked, as `job id | message`; stream: all that act wrote, where GitHub
    would mask and act does not always; artifacts: a folder that holds one folder for each.
    """

    exit_code: int
    jobs: Mapping[str, Job]
    annotations: tuple[Annotation, ...]
    summaries: Mapping[str, str]
    log: str
    stream: str
    artifacts: Path

    @property
    def results(self) -> dict[str, str]:
        return {name: job.result for name, job in self.jobs.items()}

    def messages(self, level: str, job: str | None = None) -> list[str]:
        """Texts of the annotations of a level, of one job or of all."""
        return [
            each.message
            for each in self.annotations
            if each.level == level and job in (None, each.job)
        ]

    def artifact(self, name: str) -> Path:
        """An artifact's folder."""
        found = self.artifacts / name
        assert found.is_dir(), f"no artifact {name!r} among {sorted(self.artifact_names)}"
        return found

    @property
    def artifact_names(self) -> set[str]:
        return {path.name for path in self.artifacts.glob("[!.]*")}


def read_run(stream: str, exit_code: int, workflow: Mapping[str, Any], artifacts: Path) -> Run:
    """workflow: its document. A job that act says nothing of was skipped."""
    told = list(parse_lines(stream))
    jobs = {
        name: read_job(document, [each for each in told if each.get("jobID") == name])
        for name, document in workflow["jobs"].items()
    }
    summaries: dict[str, str] = {}
    for each in told:
        if each.get("command") == "summary":
            summaries[each["jobID"]] = summaries.get(each["jobID"], "") + each["content"]
    log = "\n".join(f"{each.get('jobID', '-')} | {each['msg'].rstrip()}" for each in told)
    return Run(exit_code, jobs, read_annotations(told), summaries, log, stream, artifacts)


def parse_lines(stream: str) -> Iterable[dict[str, Any]]:
    for line in stream.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            told = line
        yield told if isinstance(told, dict) and "msg" in told else {"msg": line}


def read_annotations(told: Sequence[Mapping[str, Any]]) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(
            each["jobID"],
            each.get("step", ""),
            each["command"],
            each["arg"],
            dict(each.get("kvPairs") or {}),
        )
        for each in told
        if each.get("command") in LEVELS
    )


def read_job(document: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> Job:
    by_leg: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in told:
        matrix = json.dumps(each.get("matrix"), sort_keys=True)
        by_leg.setdefault((each["job"].rstrip(), matrix), []).append(each)
    legs = tuple(
        read_leg(name.rpartition("/")[2], document, by_leg[name, matrix])
        for name, matrix in sorted(by_leg)
    )
    results = {leg.result for leg in legs}
    worst = next(
        (each for each in ("failure", UNKNOWN, "cancelled", "success") if each in results),
        "skipped",
    )
    return Job(worst, legs, read_outputs(document, told))


def read_leg(name: str, document: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> Leg:
    steps = tuple(
        read_step(step, [each for each in told if step_of(each) == step.get("id", str(index))])
        for index, step in enumerate(document["steps"])
    )
    return Leg(name, told[0].get("matrix") or {}, result_of_leg(told), steps)


def result_of_leg(told: Sequence[Mapping[str, Any]]) -> str:
    """act keeps one result for all legs: a good one that ends after a bad one is told as failed."""
    result = next((str(each["jobResult"]) for each in told if "jobResult" in each), UNKNOWN)
    failed = any(each.get("stepResult") == "failure" for each in told)
    if told[0].get("matrix") and result == "failure" and not failed:
        return "success"
    return result


def step_of(told: Mapping[str, Any]) -> str:
    """The id or the index of the job's own step, also for what an action's steps say."""
    path = told.get("stepID") or [""]
    return str(path[0])


def read_step(document: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> Step:
    """act says nothing of a step that it skips; a post step that fails fails its step."""
    own = [each for each in told if len(each["stepID"]) == 1]
    results = [each["stepResult"] for each in own if "stepResult" in each]
    result = "failure" if "failure" in results else next(iter(results), None)
    if result is None:
        result = UNKNOWN if told else "skipped"
    name = document.get("name") or document.get("uses") or str(document["run"]).strip()
    lines = tuple(each["msg"].rstrip("\r\n") for each in told if each.get("raw_output"))
    return Step(own[0]["step"].strip() if own else name, result, lines)


def read_outputs(document: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    set_by_steps = {
        (each["stepID"][0], each["name"]): each["arg"]
        for each in told
        if each.get("command") == "set-output" and len(each["stepID"]) == 1
    }
    outputs = {}
    for name, expression in (document.get("outputs") or {}).items():
        matched = STEP_OUTPUT.fullmatch(str(expression).strip())
        if matched:
            outputs[name] = set_by_steps.get((matched[1], matched[2]), "")
    return outputs
