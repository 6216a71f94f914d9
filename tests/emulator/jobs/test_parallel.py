"""Parallel steps: an entry script over mini-batches of files and of tables."""

from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator.state.assets.assets import Key
from taxiops.emulator.state.jobs import parallel_program as program
from taxiops.emulator.state.jobs.graph import BadGraph, Step
from taxiops.emulator.state.jobs.parallel import as_command, bytes_or_count

from .parts import SCOPE, Parts, await_status

FILES = """
import argparse, os
from pathlib import Path
from azureml_user.parallel_run import EntryScript

def init():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    global out
    out = Path(parser.parse_known_args()[0].out)
    EntryScript().logger.info("begun")

def run(mini_batch):
    with (out / "tries.txt").open("a") as tries:
        tries.write(f"{len(mini_batch)}\\n")
    if any("bad" in name for name in mini_batch):
        raise ValueError("a bad file")
    return [Path(name).name for name in mini_batch]

def shutdown():
    (out / "end.txt").write_text(os.environ["COLOUR"])
"""
TABLE = """
def run(table, context):
    table = table.assign(index=context.minibatch_index, seen=len(table))
    return table.groupby(["shop", "index", "seen"], as_index=False)["sold"].sum()
"""
MLTABLE = """
paths: [{pattern: ./*.csv}]
transformations: [{read_delimited: {delimiter: ;, encoding: utf8}}, {keep_columns: [shop, sold]}]
"""
STORE = "azureml://datastores/workspaceblobstore/paths"
Json = dict[str, Any]


def run(parts: Parts, name: str, script: str, data: dict[str, str], **node: Any) -> Json:
    """Run a pipeline of one parallel step over data that is bound in the mode `direct`."""
    parts.put_blob(f"{name}/code/entry.py", script.encode())
    parts.assets.create(Key("code", SCOPE, name, "1"), {"codeUri": f"{STORE}/{name}/code"})
    for path, text in data.items():
        parts.put_blob(f"{name}/data/{path}", text.encode())
    spec = {
        "type": "parallel",
        "inputs": {"data": {"type": "mltable"}},
        "outputs": {"rows": {"type": "uri_file"}, "out": {"type": "uri_folder"}},
        "input_data": "${{inputs.data}}",
        "task": {
            "code": f"{SCOPE}/codes/{name}/versions/1",
            "entry_script": "entry.py",
            "program_arguments": "--out\n${{outputs.out}} --else 1",
            "append_row_to": "${{outputs.rows}}",
        },
    }
    bound = {"job_input_type": "mltable", "uri": f"{STORE}/{name}/data", "mode": "Direct"}
    node |= {"type": "parallel", "componentId": parts.put_component(name, spec)}
    inputs = {"limit": {"jobInputType": "literal", "value": "1"}}
    jobs = {"step": {"inputs": {"data": bound}, **node}}
    parts.jobs.create(SCOPE, name, {"jobType": "Pipeline", "inputs": inputs, "jobs": jobs})
    document = await_status(parts.jobs, name, "Completed", "Failed", "Canceled")
    (child,) = parts.jobs.children(SCOPE, name)
    return {**document, "child": child["name"]}


def test_files_come_in_mini_batches_and_what_is_returned_is_appended(parts: Parts) -> None:
    data = {f"{name}.txt": "" for name in "abcde"} | {"deep/bad.txt": ""}
    more: Json = {"mini_batch_size": "2", "retry_settings": {"max_retries": 1}}
    more["environment_variables"] = {"COLOUR": "blue"}
    limit = "${{parent.inputs.limit}}"
    ended = run(parts, "files", FILES, data, mini_batch_error_threshold=limit, **more)
    assert ended["status"] == "Completed", ended["error"]
    out = parts.output(ended["child"], "out")
    assert parts.output(ended["child"], "rows").read_text().split() == [
        *("a.txt", "b.txt"),
        *("c.txt", "d.txt"),
    ]
    assert (out / "tries.txt").read_text().split() == ["2"] * 4, "the last one is tried twice"
    assert (out / "end.txt").read_text() == "blue"
    ended = run(parts, "strict", FILES, data, error_threshold=1, **more)
    assert "2 failures, and error_threshold is 1" in ended["error"]


def test_a_table_comes_in_frames_by_partition(parts: Parts) -> None:
    table = "shop;sold;note\n" + "".join(f"{shop};{n};x\n" for n in (1, 2) for shop in "ba")
    data = {"MLTable": MLTABLE, "1.csv": table, "2.csv": table}
    ended = run(parts, "table", TABLE, data, partition_keys='["shop"]')
    assert ended["status"] == "Completed", ended["error"]
    assert parts.output(ended["child"], "rows").read_text() == "a 0 4 6\nb 1 4 6\n"


def test_mini_batches_of_rows_are_slices_and_an_mltable_of_files_is_its_files(
    tmp_path: Path,
) -> None:
    settings = {"partition_keys": [], "mini_batch_size": 12}
    (tmp_path / "rows.csv").write_text("n\n" + "10\n" * 20)
    (tmp_path / "MLTable").write_text(
        "paths: [{file: rows.csv}]\ntransformations: [read_delimited]"
    )
    batches = list(program.split(tmp_path, settings))
    assert [each.items for each in batches] == [3, 3, 3, 3, 3, 3, 2]
    assert list(batches[0].content["n"]) == [10, 10, 10]
    (tmp_path / "MLTable").write_text("paths: [{folder: .}]")
    ((batch),) = program.split(tmp_path, settings)
    assert batch.content == [str(tmp_path / "rows.csv")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("paths: [{file: none.csv}]", "there is no such file"),
        ("paths: [{file: 'https://a.example/x.csv'}]", "only paths below its folder"),
        ("paths: [{folder: .}]\ntransformations: [{take: 3}]", "'take'"),
        ("paths: [{folder: .}]\ntransformations: [read_delimited, {filter: x}]", "'filter'"),
    ],
)
def test_what_an_mltable_asks_for_and_we_lack_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n")
    (tmp_path / "MLTable").write_text(text)
    with pytest.raises(program.Refused, match=told):
        list(program.split(tmp_path, {"partition_keys": [], "mini_batch_size": 0}))


def test_a_parallel_step_that_cannot_be_one_is_refused() -> None:
    sizes = {"10": 10, "10kb": 10240, "2MB": 2 << 20, None: 0, 7: 7}
    assert {given: bytes_or_count(given) for given in sizes} == sizes
    task = {"entry_script": "a.py"}
    for spec, told in (
        ({"input_data": "${{inputs.a}}", "task": {}}, "entry_script"),
        ({"input_data": "data", "task": task}, "input_data"),
        ({"input_data": "${{inputs.a}}", "task": {**task, "type": "model"}}, "'model'"),
        ({"input_data": "${{inputs.a}}", "task": task, "mini_batch_size": "few"}, "'few'"),
    ):
        with pytest.raises(BadGraph, match=told):
            as_command(Step("s", spec, {}, {}))
