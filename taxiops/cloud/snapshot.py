"""A lean copy of the project for the SDK to upload from; reads .amlignore, decides nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from taxiops.errors import UsageError

if TYPE_CHECKING:
    import pathspec

IGNORE_FILE = ".amlignore"


@contextmanager
def code_snapshot(root: Path, folders: Iterable[str] = ()) -> Iterator[Path]:
    """A folder with the files of `root` that .amlignore lets through, and whole `folders` of it.

    The SDK reads every file name below a code root, ignored or not, several times an upload: beside
    a virtual environment that takes half a minute. In the copy .amlignore holds too, so that what
    is uploaded is the same. Raises UsageError when there is no .amlignore: without one, all that
    lies there, tokens in .git included, would be uploaded.
    """
    import pathspec

    ignore = root / IGNORE_FILE
    if not ignore.is_file():
        raise UsageError(
            f"{ignore}: not there.",
            why="Without it the upload would take everything in the folder along.",
            hint="Run taxiops inside a clone of the repository.",
            code="amlignore-missing",
        )
    lines = ignore.read_text(encoding="utf-8").splitlines()
    rules = pathspec.GitIgnoreSpec.from_lines(lines)
    with tempfile.TemporaryDirectory(prefix="taxiops-code-") as scratch:
        target = Path(scratch).resolve()
        shutil.copyfile(ignore, target / IGNORE_FILE)
        for name in kept_files(root, rules):
            copy(root, target, name)
        for folder in folders:
            for path in (root / folder).rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    copy(root, target, path.relative_to(root).as_posix())
        yield target


def kept_files(root: Path, rules: "pathspec.GitIgnoreSpec") -> Iterator[str]:
    """Relative paths that no rule ignores; an ignored folder is not looked into, as git does."""
    for place, folders, files in os.walk(root):
        below = Path(place).relative_to(root)
        folders[:] = [
            name for name in folders if not rules.match_file((below / name).as_posix() + "/")
        ]
        for name in files:
            relative = (below / name).as_posix()
            if not rules.match_file(relative):
                yield relative


def copy(root: Path, target: Path, name: str) -> None:
    """A link is copied as the file it leads to only when that is inside of the project."""
    source = (root / name).resolve()
    if not source.is_relative_to(root.resolve()):
        return
    destination = target / name
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)
