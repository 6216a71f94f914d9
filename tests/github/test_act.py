"""The harness itself: what it must see of a run, and what it must refuse to run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from . import project as projects
from .act import ActFailure, ActTimeout, run_workflow
from .record import Run
from .stand_ins import UnfitWorkflow

WORKFLOW = "trial.yml"
HEAD = """
name: trial
on: [push, pull_request, workflow_dispatch]
permissions: {}
concurrency: {group: "${{ github.workflow }}-${{ github.ref }}", cancel-in-progress: false}
defaults: {run: {shell: bash}}
"""
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
UPLOAD = "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"
DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"
PYTHON = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97"
CACHE = "actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae"
SECRET = 'canary\'s "Secret" #1$HOME%0A\\n'
GREETING = """
name: Greet
description: Says a word.
inputs: {word: {description: To say., required: true}}
outputs: {said: {description: What was said., value: "${{ steps.say.outputs.said }}"}}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      env: {WORD: "${{ inputs.word }}"}
      run: echo "greeting $WORD" && echo "said=$WORD" >> "$GITHUB_OUTPUT"
"""
# Many claims are about one run: a run of its own for each would cost a second each.
TRIAL = (
    HEAD
    + f"""
jobs:
  first:
    name: the first of them
    runs-on: ubuntu-latest
    environment: production
    permissions: {{contents: read}}
    concurrency: first
    timeout-minutes: 5
    outputs:
      word: ${{{{ steps.greet.outputs.said }}}}
      nothing: ${{{{ steps.greet.outputs.unsaid }}}}
    steps:
      - uses: {CHECKOUT} # v7.0.1
        with: {{persist-credentials: false, fetch-depth: 0}}
      - id: greet
        uses: ./.github/actions/greet
        with: {{word: "${{{{ vars.WORD }}}}"}}
      - name: tell
        env:
          SECRET: ${{{{ secrets.SECRET }}}}
          HASH: ${{{{ hashFiles('.github/**') }}}}
          TOKEN: ${{{{ github.token }}}}
        run: |
          printf 'secret %s\\n' "$SECRET"
          echo "${{#SECRET}} characters, a hash of ${{#HASH}}, a token of ${{#TOKEN}}"
          echo "api $GITHUB_API_URL ${{{{ github.api_url }}}}"
          echo "ref $GITHUB_REF head $(git rev-parse HEAD) sha $GITHUB_SHA by $GITHUB_ACTOR"
          echo "# First" >> "$GITHUB_STEP_SUMMARY"
          mkdir -p out/deep && echo one > out/one.txt && echo two > out/deep/two.txt
      - uses: {UPLOAD} # v7.0.0
        with: {{name: papers, path: out, if-no-files-found: error, retention-days: 3}}
  second:
    needs: [first]
    runs-on: ubuntu-24.04
    steps:
      - uses: {DOWNLOAD} # v8.0.1
        with: {{name: papers, path: here}}
      - name: read
        run: cat here/one.txt here/deep/two.txt && echo "${{{{ needs.first.outputs.word }}}}"
      - name: break
        run: |
          echo "::warning file=a.py,line=3::careful"
          echo "::error title=Broken::100%25 broken"
          exit 3
      - name: not reached
        run: echo never
      - name: tidy
        if: always()
        run: echo tidied && echo "# Second" >> "$GITHUB_STEP_SUMMARY"
  legs:
    name: leg ${{{{ matrix.number }}}}
    runs-on: ubuntu-latest
    strategy: {{matrix: {{number: [1, 2]}}}}
    steps:
      - run: test ${{{{ matrix.number }}}} = 1
  dependent:
    needs: [second]
    runs-on: ubuntu-latest
    steps: [{{run: echo never}}]
  unwanted:
    if: github.event_name == 'schedule'
    runs-on: ubuntu-latest
    steps: [{{run: echo never}}]
  rescue:
    needs: [second]
    if: failure()
    runs-on: ubuntu-latest
    steps: [{{run: echo rescued}}]
  verdict:
    name: the verdict
    needs: [first, second, dependent, unwanted]
    if: ${{{{ !cancelled() }}}}
    runs-on: ubuntu-latest
    steps:
      - name: results
        env: {{NEEDS: "${{{{ toJSON(needs) }}}}"}}
        run: |
          echo "${{{{ needs.second.result }}}} ${{{{ contains(needs.*.result, 'failure') }}}}"
          tr -d '\\n' <<< "$NEEDS" && echo
"""
)


def jobs(text: str) -> str:
    """A workflow with one job of these steps, indented as they stand here."""
    return f"{HEAD}jobs:\n  only:\n    runs-on: ubuntu-latest\n    steps:\n{text}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("act") / "repository"
    made.mkdir()
    (made / "README.md").write_text("A trial\n", encoding="utf-8")
    (made / ".gitignore").write_text(".venv/\n", encoding="utf-8")
    projects.make_repository(made)
    projects.commit(made, {".github/actions/greet/action.yml": GREETING})
    return made


@pytest.fixture
def run(folder: Path) -> Callable[..., Run]:
    """Commits a workflow's text and runs it on a push."""

    def run_text(text: str, **options: Any) -> Run:
        before = projects.head(folder)
        after = projects.commit(folder, {f".github/workflows/{WORKFLOW}": text})
        event = projects.push_event(before, after)
        return run_workflow(folder, WORKFLOW, "push", event, **options)

    return run_text


@pytest.fixture(scope="module")
def trial(folder: Path) -> Run:
    before = projects.head(folder)
    after = projects.commit(folder, {f".github/workflows/{WORKFLOW}": TRIAL})
    return run_workflow(
        folder,
        WORKFLOW,
        "push",
        projects.push_event(before, after),
        variables={"WORD": "hello: 'world' #1"},
        secrets={"SECRET": SECRET, "GITHUB_TOKEN": "canary-token"},
        environment={"GITHUB_API_URL": "http://127.0.0.1:9/api"},
    )


def test_every_job_has_its_result_under_its_id(trial: Run) -> None:
    assert trial.exit_code == 1, trial.log
    assert trial.results == {
        "first": "success",
        "second": "failure",
        "legs": "failure",
        "dependent": "skipped",
        "unwanted": "skipped",
        "rescue": "success",
        "verdict": "success",
    }


def test_a_matrix_has_a_leg_for_each_value(trial: Run) -> None:
    legs = {leg.matrix["number"]: leg for leg in trial.jobs["legs"].legs}
    assert {number: leg.result for number, leg in legs.items()} == {1: "success", 2: "failure"}
    assert legs[2].name.startswith("leg 2")


def test_every_step_has_its_result_and_what_it_wrote(trial: Run) -> None:
    steps = trial.jobs["second"].steps
    assert [(step.name.partition("@")[0], step.result) for step in steps] == [
        ("actions/download-artifact", "success"),
        ("read", "success"),
        ("break", "failure"),
        ("not reached", "skipped"),
        ("tidy", "success"),
    ]
    assert trial.jobs["second"].step("tidy").lines == ("tidied",)
    assert trial.jobs["first"].steps[1].lines == ("greeting hello: 'world' #1",)


def test_outputs_reach_the_jobs_that_need_them(trial: Run) -> None:
    assert trial.jobs["first"].outputs == {"word": "hello: 'world' #1", "nothing": ""}
    assert trial.jobs["second"].step("read").lines[-1] == "hello: 'world' #1"


def test_the_last_job_sees_the_results_of_all_it_needs(trial: Run) -> None:
    told, needs = trial.jobs["verdict"].step("results").lines
    assert told == "failure true"
    assert {name: each["result"] for name, each in json.loads(needs).items()} == {
        "first": "success",
        "second": "failure",
        "dependent": "skipped",
        "unwanted": "skipped",
    }


def test_what_a_failing_step_announces_last_is_seen(trial: Run) -> None:
    assert trial.messages("error", "second")[0] == "100% broken"
    warning = next(each for each in trial.annotations if each.level == "warning")
    assert (warning.job, warning.step, warning.message) == ("second", "break", "careful")
    assert warning.properties == {"file": "a.py", "line": "3"}


def test_summaries_are_kept_for_each_job(trial: Run) -> None:
    assert trial.summaries == {"first": "# First\n", "second": "# Second\n"}


def test_artifacts_go_from_job_to_job_and_stay_to_be_read(trial: Run) -> None:
    assert trial.jobs["second"].step("read").lines[:2] == ("one", "two")
    assert trial.artifact_names == {"papers"}
    assert (trial.artifact("papers") / "deep/two.txt").read_text(encoding="utf-8") == "two\n"


def test_a_secret_arrives_unharmed_and_is_masked(trial: Run) -> None:
    lines = trial.jobs["first"].step("tell").lines
    assert lines[0] == "secret ***"
    assert lines[1] == f"{len(SECRET)} characters, a hash of 64, a token of {len('canary-token')}"
    assert SECRET not in trial.log


def test_the_address_of_the_api_is_the_one_given(trial: Run) -> None:
    given = "http://127.0.0.1:9/api"
    assert f"api {given} {given}" in trial.jobs["first"].step("tell").lines


def test_the_commit_is_the_one_that_was_pushed(trial: Run, folder: Path) -> None:
    ref, _, rest = trial.jobs["first"].step("tell").lines[3].partition(" head ")
    pushed, _, sha = rest.partition(" sha ")
    assert ref == "ref refs/heads/integration"
    assert sha == f"{pushed} by somebody"
    assert projects.run_git(folder, "branch", "--contains", pushed, "integration")


ECHO = """
      - run: |
          echo "$GITHUB_EVENT_NAME $GITHUB_REF head=$GITHUB_HEAD_REF base=$GITHUB_BASE_REF"
          echo "fork=${{ github.event.pull_request.head.repo.fork }} flag=${{ inputs.flag }}"
          echo "${{ inputs.flag && 'set' || 'unset' }}"
"""


def test_a_pull_request_has_its_refs(folder: Path) -> None:
    commit = projects.commit(folder, {f".github/workflows/{WORKFLOW}": jobs(ECHO)})
    event = projects.pull_request_event(commit, commit, 12, fork=True, head_ref="feature/x")
    done = run_workflow(folder, WORKFLOW, "pull_request", event)
    assert done.jobs["only"].steps[0].lines[:2] == (
        "pull_request refs/pull/12/merge head=feature/x base=integration",
        "fork=true flag=",
    )


def test_a_manual_run_has_its_inputs(folder: Path) -> None:
    text = jobs(ECHO).replace(
        "on: [push, pull_request, workflow_dispatch]",
        "on: {workflow_dispatch: {inputs: {flag: {type: boolean, default: true}}}}",
    )
    projects.commit(folder, {f".github/workflows/{WORKFLOW}": text})
    event = projects.dispatch_event({"flag": False}, "refs/heads/feature/x")
    done = run_workflow(folder, WORKFLOW, "workflow_dispatch", event)
    assert done.jobs["only"].steps[0].lines == (
        "workflow_dispatch refs/heads/feature/x head= base=",
        "fork= flag=false",
        "unset",
    )


def test_a_timed_out_run_leaves_no_process_behind(run: Callable[..., Run], folder: Path) -> None:
    # Nobody else sleeps for so long; it is a daemon, which a mere kill of act would not reach.
    sleeper = ["sleep", "86399.25"]
    text = jobs(
        f"""
      - run: |
          setsid --fork {" ".join(sleeper)} < /dev/null > /dev/null 2>&1
          echo "up and waiting"
          sleep 3000
"""
    )
    with pytest.raises(ActTimeout, match="up and waiting"):
        run(text, timeout_s=5)
    left = [each.info["cmdline"] for each in psutil.process_iter(["cmdline"])]
    assert sleeper not in left


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("uses: octo/unheard-of@v1", "octo/unheard-of has no stand-in"),
        ("uses: octo/unheard-of/below@v1", "octo/unheard-of/below has no stand-in"),
        ("uses: docker://alpine:3", "names no action"),
        ("uses: ./.github/actions/absent", "not an action of this repository"),
        (f"{{uses: {UPLOAD}, with: {{name: a, paths: b}}}}", "knows no input paths"),
        (f"{{uses: {UPLOAD}, with: {{name: a}}}}", "needs the input path"),
        ("{uses: ./.github/actions/greet, with: {words: a}}", "knows no input words"),
        (f"{{uses: {CHECKOUT}, with: {{ref: main}}}}", "cloned from GitHub"),
        (f"{{uses: {CHECKOUT}, with: {{depth: 0}}}}", "knows no input depth"),
    ],
)
def test_a_step_that_cannot_run_as_on_github_is_refused(
    run: Callable[..., Run], step: str, complaint: str
) -> None:
    with pytest.raises(UnfitWorkflow, match=complaint):
        run(jobs(f"      - {step}\n"))


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ("runs-on: windows-latest", "act would skip"),
        ("{runs-on: ubuntu-latest, container: alpine}", "needs containers"),
        ("uses: ./.github/workflows/other.yml", "calls a workflow"),
    ],
)
def test_a_job_that_act_would_pass_over_is_refused(
    run: Callable[..., Run], job: str, complaint: str
) -> None:
    with pytest.raises(UnfitWorkflow, match=complaint):
        run(f"{HEAD}jobs:\n  only:\n    {job}\n")


def test_a_workflow_that_act_does_not_accept_fails_with_its_words(run: Callable[..., Run]) -> None:
    with pytest.raises(ActFailure, match="nonsense"):
        run(jobs("      - run: echo hello\n        nonsense: true\n"))
