"""Pipelines under the control plane: failures, reuse, outputs and their places, children."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .parts import SCOPE, Parts, await_status

OUT = {"out": {"type": "uri_folder"}}
Json = dict[str, Any]


def run(parts: Parts, name: str, nodes: Json, *, status: str = "Completed", **more: Any) -> Json:
    properties = {"jobType": "Pipeline", "jobs": nodes, **more}
    parts.jobs.create(SCOPE, name, properties)
    document = await_status(parts.jobs, name, "Completed", "Failed", "Canceled")
    assert document["status"] == status, document["error"]
    return document


def children(parts: Parts, name: str) -> dict[str, Json]:
    return {each["step"]: each for each in parts.jobs.children(SCOPE, name)}


def node(parts: Parts, name: str, command: str, *, inputs: Json | None = None, **spec: Any) -> Json:
    """A node of a component that takes what it is bound to."""
    inputs = inputs or {}
    declared = {key: {"type": "uri_folder"} for key in inputs}
    spec = {"command": command, "inputs": declared, "outputs": OUT, **spec}
    bound = {key: {"job_input_type": "literal", "value": value} for key, value in inputs.items()}
    return {"componentId": parts.put_component(name, spec), "inputs": bound, "outputs": {}}


def test_steps_that_do_not_depend_on_a_failed_one_run_unless_the_settings_forbid(
    parts: Parts,
) -> None:
    nodes = {
        "bad": node(parts, "bad", "exit 3"),
        "after": node(parts, "after", "true", inputs={"x": "${{parent.jobs.bad.outputs.out}}"}),
        "free": node(parts, "free", "true"),
        "freer": node(parts, "freer", "true", inputs={"x": "${{parent.jobs.free.outputs.out}}"}),
    }
    error = run(parts, "continues", nodes, status="Failed")["error"]
    assert "Failed nodes: /bad." in error
    assert "status code 3" in error
    statuses = {step: each["status"] for step, each in children(parts, "continues").items()}
    assert statuses == {
        "bad": "Failed",
        "after": "Canceled",
        "free": "Completed",
        "freer": "Completed",
    }
    nodes["free"] = node(parts, "slow", "sleep 600")
    settings = {"continue_on_step_failure": "False"}
    run(parts, "stops", nodes, status="Failed", settings=settings)
    assert children(parts, "stops")["free"]["status"] == "Canceled"
    assert children(parts, "stops")["freer"]["status"] == "Canceled"


def test_an_identical_deterministic_step_is_reused_and_says_so(parts: Parts) -> None:
    make = node(parts, "make", "date +%N > ${{outputs.out}}/when")
    read = node(
        parts,
        "read",
        "cat ${{inputs.x}}/when > ${{outputs.out}}/copy",
        inputs={"x": "${{parent.jobs.make.outputs.out}}"},
        is_deterministic=False,
    )
    nodes = {"make": make, "read": read}
    run(parts, "first", nodes)
    run(parts, "second", nodes)
    first, second = children(parts, "first"), children(parts, "second")
    shown = second["make"]["properties"]["properties"]
    assert shown["azureml.isreused"] == "true"
    assert shown["azureml.reusedrunid"] == first["make"]["name"]
    assert shown["azureml.reusedpipelinerunid"] == "first"
    assert second["make"]["output_locations"] == first["make"]["output_locations"]
    assert second["read"]["properties"]["properties"]["azureml.isreused"] == "false"

    def copied(pipeline: str) -> str:
        child = children(parts, pipeline)["read"]["name"]
        return (parts.output(child, "out") / "copy").read_text()

    assert copied("second") == copied("first")
    run(parts, "forced", nodes, settings={"force_rerun": True})
    assert copied("forced") != copied("first")
    parts.jobs.delete(SCOPE, "forced")
    run(parts, "last", nodes)
    assert children(parts, "last")["make"]["properties"]["properties"]["azureml.isreused"] == (
        "false"
    )


def test_outputs_go_where_they_are_asked_and_become_assets(parts: Parts) -> None:
    store = "azureml://datastores/${{default_datastore}}/paths"
    place = f"{store}/kept/${{{{parent.name}}}}/${{{{name}}}}/${{{{output_name}}}}.txt"
    spec = {
        "command": "echo one > ${{outputs.file}}; echo two > ${{outputs.model}}/weights; "
        "echo ${{outputs.address}}",
        "outputs": {
            "file": {"type": "uri_file"},
            "model": {"type": "mlflow_model"},
            "address": {"type": "uri_folder"},
        },
    }
    bound = {
        "file": {"job_output_type": "uri_file", "uri": place},
        "model": {"type": "literal", "value": "${{parent.outputs.trained}}"},
        "address": {"job_output_type": "uri_folder", "mode": "Direct"},
    }
    nodes = {"only": {"componentId": parts.put_component("places", spec), "outputs": bound}}
    trained = {"jobOutputType": "uri_folder", "assetName": "trained", "description": "by a job"}
    for name in ("places", "places-again"):
        document = run(parts, name, nodes, outputs={"trained": trained})
    child = children(parts, "places")["only"]
    shown = child["properties"]["outputs"]
    assert shown["file"]["uri"].endswith(
        f"workspaceblobstore/paths/kept/places/{child['name']}/file.txt"
    )
    assert parts.output(child["name"], "file").read_text() == "one\n"
    log = parts.jobs.logs(SCOPE, child["name"])["user_logs/std_log.txt"].read_text()
    assert log.strip() == shown["address"]["uri"]
    assert document["properties"]["outputs"]["trained"]["jobOutputType"] == "mlflow_model"
    models = parts.assets.versions("model", SCOPE, "trained")
    assert [each["version"] for each in models] == ["1", "2"]
    assert models[0]["properties"]["modelType"] == "mlflow_model"
    weights = parts.assets.resolve("azureml:trained:1", SCOPE, "model") / "weights"
    assert weights.read_text() == "two\n"
    taken = {"trained": {**trained, "assetVersion": "2"}}
    error = run(parts, "taken", nodes, status="Failed", outputs=taken)["error"]
    assert "version 2 already" in error
    bound["file"]["uri"] = "https://example.org/elsewhere"
    error = run(parts, "elsewhere", nodes, status="Failed", outputs={"trained": trained})["error"]
    assert "only paths of datastores" in error


def test_a_child_is_shown_as_the_job_it_is(parts: Parts) -> None:
    spec = {
        "command": 'test "$SAID" = \'hello 3\' && test "$AZUREML_ROOT_RUN_ID" = shown',
        "environment": "azureml:/subscriptions/s/environments/e/versions/1",
        "inputs": {
            "data": {"type": "uri_folder"},
            "count": {"type": "integer", "default": 3},
            "absent": {"type": "string", "optional": True},
        },
        "environment_variables": {"SAID": "hello ${{inputs.count}}"},
    }
    path = "azureml://datastores/workspaceblobstore/paths/data"
    parts.put_blob("data/a.txt", b"a")
    nodes = {
        "only": {
            "componentId": parts.put_component("shown", spec),
            "computeId": "/computes/cpu",
            "inputs": {"data": {"job_input_type": "literal", "value": "${{parent.inputs.in}}"}},
            "limits": {"timeout": 60},
        }
    }
    given = {"in": {"jobInputType": "uri_folder", "uri": path}}
    run(parts, "shown", nodes, inputs=given, experimentName="exp")
    properties = children(parts, "shown")["only"]["properties"]
    assert properties["inputs"] == {
        "data": {"jobInputType": "uri_folder", "uri": path, "mode": "ReadOnlyMount"},
        "count": {"jobInputType": "literal", "value": "3"},
    }
    assert properties["environmentId"] == "/subscriptions/s/environments/e/versions/1"
    assert properties["experimentName"] == "exp"
    assert properties["computeId"] == "/computes/cpu"
    assert properties["limits"]["timeout"] == "PT60S"


def test_what_a_job_leaves_in_outputs_and_logs_are_its_artifacts(parts: Parts) -> None:
    command = "echo a > outputs/a.txt; mkdir logs/deep; echo b > logs/deep/b.txt; echo said"
    parts.jobs.create(SCOPE, "leaves", {"jobType": "Command", "command": command})
    await_status(parts.jobs, "leaves", "Completed")
    left = parts.assets.resolve("azureml://jobs/leaves/outputs/artifacts/paths/outputs", SCOPE)
    assert (left / "a.txt").read_text() == "a\n"
    assert (left.parent / "logs/deep/b.txt").read_text() == "b\n"
    assert (left.parent / "user_logs/std_log.txt").read_text() == "said\n"


def test_a_pipeline_job_may_be_a_component(parts: Parts) -> None:
    """Whose steps, defaults and outputs are the job's: `component:` in place of `jobs:`."""
    say = node(parts, "say", "echo ${{inputs.a}} ${{inputs.b}} > ${{outputs.out}}/said")
    say["inputs"] = {
        key: {"job_input_type": "literal", "value": f"${{{{parent.inputs.{key}}}}}"} for key in "ab"
    }
    say["outputs"] = {"out": {"value": "${{parent.outputs.made}}"}}
    spec = {
        "type": "pipeline",
        "inputs": {"a": {"type": "integer", "default": 1}, "b": {"type": "integer", "default": 2}},
        "outputs": {"made": {"type": "uri_folder"}},
        "jobs": {"say": say},
    }
    component = parts.put_component("whole", spec)
    inputs = {"b": {"jobInputType": "literal", "value": "3"}}
    run(parts, "of-a-component", {}, componentId=component, inputs=inputs)
    assert (parts.output("of-a-component", "made") / "said").read_text() == "1 3\n"


def test_the_artifacts_of_a_step_are_an_output_for_the_next_one(parts: Parts) -> None:
    """Of that name, as in Microsoft's own example; nobody has to declare a place."""
    first = node(parts, "first", "echo a > outputs/a.txt", outputs={})
    first["outputs"] = {"artifacts": None}
    taken = {"x": "${{parent.jobs.first.outputs.artifacts}}"}
    then = node(parts, "then", "cat ${{inputs.x}}/outputs/a.txt", inputs=taken)
    run(parts, "hands-on", {"first": first, "then": then})
    log = parts.jobs.logs(SCOPE, children(parts, "hands-on")["then"]["name"])
    assert log["user_logs/std_log.txt"].read_text() == "a\n"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A public web server with one file."""
    (tmp_path / "data.csv").write_text("a,b\n")
    handler = partial(QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_inputs_on_the_web_are_fetched_or_told_apart(parts: Parts, web: str) -> None:
    def given(path: str, kind: str = "uri_file") -> Json:
        return {
            "jobType": "Command",
            "command": "cat ${{inputs.data}}; basename ${{inputs.data}}",
            "inputs": {"data": {"jobInputType": kind, "uri": f"{web}/{path}"}},
        }

    # An input whose type nobody said is a folder to the SDK, also when its address is a file's.
    for name, kind in (("fetches", "uri_file"), ("unsaid", "uri_folder")):
        parts.jobs.create(SCOPE, name, given("data.csv", kind))
        await_status(parts.jobs, name, "Completed")
        log = parts.jobs.logs(SCOPE, name)["user_logs/std_log.txt"].read_text()
        assert log == "a,b\ndata.csv\n"
    parts.jobs.create(SCOPE, "misses", given("absent.csv"))
    error = await_status(parts.jobs, "misses", "Failed")["error"]
    assert error.startswith(f"{web}/absent.csv could not be fetched")
    assert "upload the data as a data asset" in error
