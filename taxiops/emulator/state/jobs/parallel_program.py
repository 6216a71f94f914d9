"""Runs the entry script of a parallel job over its mini-batches; imports nothing of taxiops.

`python parallel_program.py SETTINGS DATA TARGET [ARGUMENTS OF THE ENTRY SCRIPT]`, in the folder of
the entry script's code. SETTINGS: a JSON object (parallel.py makes it). TARGET: the file that
returned rows are appended to, or empty. What init(), run() and shutdown() are given and may return:
learn.microsoft.com, "How to use parallel job in pipeline". One process takes one mini-batch after
the other.
"""

import importlib.util
import inspect
import json
import logging
import signal
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FILES_A_BATCH = 1
BYTES_A_BATCH = 1 << 20
ROWS_FILE = "parallel_run_step.txt"
SPECIFICATION = "MLTable"
# Scripts find the helpers of Azure's own agent below this name.
AGENT = "azureml_user"


class Refused(Exception):
    """Data or settings that cannot be used; the text says why."""


@dataclass(frozen=True)
class MiniBatch:
    """What one call of run() is given. items: how many files or rows; key: of its partition."""

    content: Any
    items: int
    key: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The second argument of run(), for scripts that take one; the names are Azure's."""

    minibatch_index: str
    partition_key_value: dict[str, Any]


class EntryScript:
    """What `from azureml_user.parallel_run import EntryScript` gives."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("EntryScript")
        self.working_dir = str(Path.cwd())
        self.output_dir = self.log_dir = str(Path("logs").absolute())


def main(arguments: list[str]) -> None:
    asked, data, target, *script_arguments = arguments
    settings = json.loads(asked)
    logging.basicConfig(level=settings["logging_level"], stream=sys.stdout)
    sys.argv = [settings["entry_script"], *script_arguments]
    sys.path[0] = str(Path.cwd())
    script = load(Path(settings["entry_script"]))
    batches = list(split(Path(data), settings))
    getattr(script, "init", lambda: None)()
    rows = Rows(Path(target) if target else None)
    tally = Tally(settings["error_threshold"], settings["mini_batch_error_threshold"])
    for number, batch in enumerate(batches):
        tally.count(batch, attempt(script.run, number, batch, settings, rows))
    getattr(script, "shutdown", lambda: None)()
    sys.stdout.write(f"{len(batches)} mini-batches, {tally.failed_batches} failed.\n")


def load(path: Path) -> types.ModuleType:
    """The entry script as a module, with the agent's helpers importable."""
    agent, helpers = types.ModuleType(AGENT), types.ModuleType(f"{AGENT}.parallel_run")
    helpers.EntryScript = EntryScript  # type: ignore[attr-defined]
    agent.parallel_run = helpers  # type: ignore[attr-defined]
    sys.modules.update({AGENT: agent, helpers.__name__: helpers})
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise Refused(f"The entry script {path} is not a Python file of the code.")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, "run", None)):
        raise Refused(f"The entry script {path} has no function run(mini_batch).")
    return module


class Tally:
    """Counts failures, and ends the program when there are more than the thresholds allow.

    -1 allows any number. items: files or rows; a run() that returns fewer elements than it was
    given has failed for the rest.
    """

    def __init__(self, most_items: int, most_batches: int) -> None:
        self._most_items, self._most_batches = most_items, most_batches
        self._failed_items = self.failed_batches = 0

    def count(self, batch: MiniBatch, returned: int | None) -> None:
        """returned: how many elements; None when the batch failed."""
        self.failed_batches += returned is None
        self._failed_items += max(0, batch.items - (returned or 0))
        for failed, most, name in (
            (self._failed_items, self._most_items, "error_threshold"),
            (self.failed_batches, self._most_batches, "mini_batch_error_threshold"),
        ):
            if 0 <= most < failed:
                sys.exit(f"The job fails: {failed} failures, and {name} is {most}.")


class Rows:
    """Where the elements that run() returns go, a line each; nowhere when nobody asked."""

    def __init__(self, target: Path | None) -> None:
        self._file = target / ROWS_FILE if target and target.is_dir() else target
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text("")

    def add(self, returned: Sized) -> None:
        if self._file is None:
            return
        with self._file.open("a", encoding="utf-8") as stream:
            if hasattr(returned, "to_csv"):
                returned.to_csv(stream, sep=" ", header=False, index=False)
            elif isinstance(returned, Iterable):
                stream.writelines(f"{element}\n" for element in returned)


def attempt(
    run: Callable[..., Any], number: int, batch: MiniBatch, settings: dict[str, Any], rows: Rows
) -> int | None:
    """How many elements run() returned; None when it failed as often as it may be tried."""
    given = [batch.content, Context(str(number), batch.key)][: wanted(run)]
    for _ in range(settings["max_retries"] + 1):
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, settings["timeout_s"])
        try:
            returned = run(*given)
            if not isinstance(returned, Sized) or isinstance(returned, str | bytes | dict):
                raise TypeError(f"run() must return a list or a DataFrame, not {type(returned)}.")
            rows.add(returned)
            return len(returned)
        except Exception:
            logging.exception("The mini-batch %s failed.", number)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def late(*_: object) -> None:
    raise TimeoutError("run() took longer than retry_settings.timeout.")


def wanted(run: Callable[..., Any]) -> int:
    """How many of (mini-batch, context) a run() takes."""
    return min(2, len(inspect.signature(run).parameters))


def split(data: Path, settings: dict[str, Any]) -> Iterator[MiniBatch]:
    """The mini-batches of a file, of a folder, or of what an MLTable there says. Raises Refused."""
    specification = data / SPECIFICATION
    if not specification.is_file():
        files = sorted(each for each in data.rglob("*") if each.is_file()) or [data]
        yield from batches_of_files(files, settings)
        return
    import yaml

    described = yaml.safe_load(specification.read_text(encoding="utf-8")) or {}
    files = listed(data, described.get("paths") or [])
    steps = [step_of(each) for each in described.get("transformations") or []]
    if any(name.startswith("read_") for name, _ in steps):
        yield from batches_of_rows(read_table(files, steps), files, settings)
    elif steps:
        raise Refused(f"The transformation {steps[0][0]!r} of an MLTable of files is not emulated.")
    else:
        yield from batches_of_files(files, settings)


def batches_of_files(files: list[Path], settings: dict[str, Any]) -> Iterator[MiniBatch]:
    if settings["partition_keys"]:
        raise Refused("partition_keys are emulated for tables only, not for files.")
    size = settings["mini_batch_size"] or FILES_A_BATCH
    for start in range(0, len(files), size):
        names = [str(each) for each in files[start : start + size]]
        yield MiniBatch(names, len(names))


def batches_of_rows(
    table: "pd.DataFrame", files: list[Path], settings: dict[str, Any]
) -> Iterator[MiniBatch]:
    """By partition, or in slices whose part of the files' bytes is a mini-batch's size."""
    if keys := settings["partition_keys"]:
        for values, part in table.groupby(keys, sort=True):
            yield MiniBatch(part, len(part), dict(zip(keys, values, strict=True)))
        return
    size = settings["mini_batch_size"] or BYTES_A_BATCH
    total = sum(each.stat().st_size for each in files)
    rows = max(1, len(table) * size // max(1, total))
    for start in range(0, len(table), rows):
        part = table.iloc[start : start + rows]
        yield MiniBatch(part, len(part))


def listed(folder: Path, paths: list[dict[str, str]]) -> list[Path]:
    """The files that `paths` of an MLTable name, by `file`, `folder` or `pattern`."""
    found: list[Path] = []
    for entry in paths:
        ((how, text),) = entry.items()
        if "://" in text:
            raise Refused(f"The MLTable names {text!r}; only paths below its folder are emulated.")
        pattern = {"file": text, "folder": f"{text}/**/*", "pattern": text}[how]
        matched = sorted(each for each in folder.glob(pattern) if each.is_file())
        if not matched:
            raise Refused(f"The MLTable names {text!r}, and there is no such file.")
        found += [each for each in matched if each.name != SPECIFICATION]
    return found


def step_of(transformation: str | dict[str, Any]) -> tuple[str, Any]:
    """A transformation's name and what it is given."""
    if isinstance(transformation, str):
        return transformation, {}
    ((name, given),) = transformation.items()
    return str(name), given


def read_table(files: list[Path], steps: list[tuple[str, Any]]) -> "pd.DataFrame":
    """One DataFrame of all files, as the MLTable says. Raises Refused."""
    import pandas as pd

    table = pd.DataFrame()
    for name, given in steps:
        if name in READERS:
            frames = [READERS[name](file, given or {}) for file in files]
            table = pd.concat(frames, ignore_index=True)
        elif name in CHANGES:
            table = CHANGES[name](table, given)
        else:
            raise Refused(f"The transformation {name!r} of an MLTable is not emulated.")
    return table


def read_delimited(file: Path, given: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(
        file,
        sep=given.get("delimiter", ","),
        header=None if given.get("header") == "no_header" else 0,
        encoding={"iso88591": "latin-1"}.get(str(given.get("encoding")), "utf-8"),
        skipinitialspace=True,
    )


def read_parquet(file: Path, _: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_parquet(file)


def read_json_lines(file: Path, _: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_json(file, lines=True)


READERS: dict[str, Callable[[Path, dict[str, Any]], "pd.DataFrame"]] = {
    "read_delimited": read_delimited,
    "read_parquet": read_parquet,
    "read_json_lines": read_json_lines,
}
CHANGES: dict[str, Callable[["pd.DataFrame", Any], "pd.DataFrame"]] = {
    "keep_columns": lambda table, names: table[[names] if isinstance(names, str) else names],
    "drop_columns": lambda table, names: table.drop(columns=names),
    "take": lambda table, count: table.head(int(count)),
    "skip": lambda table, count: table.iloc[int(count) :],
}


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refusal:
        sys.exit(str(refusal))
