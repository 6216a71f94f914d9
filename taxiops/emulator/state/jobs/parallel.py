"""A parallel step as the command that runs its entry script over mini-batches; pure.

The fields: learn.microsoft.com, "CLI (v2) parallel job YAML schema".
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from taxiops.emulator.state.jobs.graph import PLACEHOLDER, BadGraph, Step

Json = dict[str, Any]
PROGRAM = Path(__file__).with_name("parallel_program.py")
SIZE = re.compile(r"(\d+)\s*([kmg]?)b?", re.IGNORECASE)
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
ANY_NUMBER = -1
DEFAULT_RETRIES, DEFAULT_TIMEOUT_S = 2, 60.0
LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


def as_command(step: Step) -> Step:
    """The step as a command's. Raises BadGraph for one that lacks what it needs."""
    given = {**step.spec, **{key: each for key, each in step.node.items() if each is not None}}
    task = {**(step.spec.get("task") or {}), **(given.get("task") or {})}
    kind = str(task.get("type") or "run_function")
    if kind not in {"run_function", "function"}:
        raise BadGraph(f"The parallel step {step.name!r} has a task of the kind {kind!r}.")
    source = PLACEHOLDER.fullmatch(str(given.get("input_data") or "").strip())
    if source is None or not task.get("entry_script"):
        raise BadGraph(f"The parallel step {step.name!r} needs input_data and an entry_script.")
    words = [
        "python",
        shlex.quote(str(PROGRAM)),
        shlex.quote(json.dumps(settings_of(given, task))),
        quoted(source[0]),
        quoted(str(task.get("append_row_to") or "")),
        *str(task.get("program_arguments") or "").split(),
    ]
    spec = {
        **step.spec,
        "type": "command",
        "command": " ".join(words),
        "code": task.get("code"),
        "environment": task.get("environment"),
    }
    return replace(step, spec=spec, inputs=mounted(step.inputs, source[2]))


def quoted(placeholder: str) -> str:
    """A path that is filled in later, as one word of the shell's."""
    return f'"{placeholder}"'


def mounted(inputs: Mapping[str, Any], source: str) -> Json:
    """The inputs with the data to split as a path of this machine, also in the mode `direct`."""
    return {
        key: {k: v for k, v in each.items() if k != "mode"} if key == source else each
        for key, each in inputs.items()
    }


def settings_of(given: Mapping[str, Any], task: Mapping[str, Any]) -> Json:
    """What parallel_program.py reads."""
    keys = given.get("partition_keys") or []
    retries = given.get("retry_settings") or {}
    level = str(given.get("logging_level") or "INFO").upper()
    return {
        "entry_script": str(task["entry_script"]),
        "mini_batch_size": bytes_or_count(given.get("mini_batch_size")),
        "partition_keys": json.loads(keys) if isinstance(keys, str) else list(keys),
        "error_threshold": whole(given.get("error_threshold"), ANY_NUMBER),
        "mini_batch_error_threshold": whole(given.get("mini_batch_error_threshold"), ANY_NUMBER),
        "max_retries": whole(retries.get("max_retries"), DEFAULT_RETRIES),
        "timeout_s": float(retries.get("timeout") or DEFAULT_TIMEOUT_S),
        "logging_level": level if level in LEVELS else "INFO",
    }


def whole(value: object, otherwise: int) -> int:
    return otherwise if value is None else int(str(value))


def bytes_or_count(size: object) -> int:
    """`10`, `"10"` or `"10kb"`; 0 when nothing is said. Raises BadGraph."""
    match = SIZE.fullmatch(str(size or 0).strip())
    if match is None:
        raise BadGraph(f"The mini_batch_size {size!r} is no number of files and no size.")
    return int(match[1]) * UNITS[match[2].lower()]
