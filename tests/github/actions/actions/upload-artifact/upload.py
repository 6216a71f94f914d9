"""Copies what the patterns name into the store, below their common folder."""

import glob
import os
import shutil
from pathlib import Path

import stand_in

FORBIDDEN = set('":<>|*?\r\n\\/')
MAGIC = set("*?[")


def main() -> None:
    stand_in.refuse_unless_default({"archive": "true"})
    name, when_none = stand_in.read_input("name"), stand_in.read_input("if-no-files-found")
    if not name or set(name) & FORBIDDEN:
        stand_in.fail(f"The artifact name is not valid: {name!r}")
    if when_none not in {"warn", "error", "ignore"}:
        stand_in.fail(f"Unrecognized if-no-files-found input: {when_none!r}")
    check_number("retention-days", 0, 90)
    check_number("compression-level", 0, 9)
    patterns = stand_in.read_lines("path")
    roots = search_roots([line for line in patterns if not line.startswith("!")])
    files = find(patterns)
    if not files:
        text = f"No files were found with the provided path: {' '.join(patterns)}."
        if when_none == "error":
            stand_in.fail(text)
        stand_in.say(("::warning::" if when_none == "warn" else "") + text)
        return
    keep(name, common_root(roots, files), files)


def check_number(name: str, low: int, high: int) -> None:
    text = stand_in.read_input(name)
    if text and not (text.isdecimal() and low <= int(text) <= high):
        stand_in.fail(f"Invalid {name}: {text!r}")


def absolute(pattern: str) -> Path:
    return stand_in.workspace() / Path(pattern).expanduser()


def search_roots(patterns: list[str]) -> list[Path]:
    """Where each pattern begins to be one, without those inside another."""
    roots = set()
    for pattern in patterns:
        parts = absolute(pattern).parts
        magic = (index for index, part in enumerate(parts) if set(part) & MAGIC)
        roots.add(Path(*parts[: next(magic, len(parts))]))
    return sorted(root for root in roots if not roots & set(root.parents))


def find(patterns: list[str]) -> list[Path]:
    """Files in the order of the patterns; a folder stands for all that is in it."""
    with_hidden = stand_in.is_true("include-hidden-files")
    found: dict[Path, None] = {}
    for line in patterns:
        pattern = str(absolute(line.removeprefix("!").strip()))
        root = search_roots([pattern])[0]
        # Path.glob takes no absolute pattern.
        matches = glob.glob(pattern, recursive=True, include_hidden=True)  # noqa: PTH207
        for match in sorted(matches):
            for file in files_of(Path(match)):
                if line.startswith("!"):
                    found.pop(file, None)
                elif with_hidden or not is_hidden(file, root):
                    found[file] = None
    return list(found)


def files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    walked = os.walk(path, followlinks=True)
    return sorted(Path(folder, name) for folder, _, names in walked for name in names)


def is_hidden(file: Path, root: Path) -> bool:
    """The folder that the search begins in counts, those above it do not."""
    return any(part.startswith(".") for part in file.relative_to(root.parent).parts)


def common_root(roots: list[Path], files: list[Path]) -> Path:
    if len(roots) > 1:
        return Path(os.path.commonpath(roots))
    return roots[0].parent if files == roots else roots[0]


def keep(name: str, root: Path, files: list[Path]) -> None:
    target = stand_in.store("artifacts", os.environ["GITHUB_RUN_ID"], name)
    overwrite = stand_in.is_true("overwrite")
    if target.exists() and not overwrite:
        stand_in.fail("(409) Conflict: an artifact with this name already exists: " + name)
    scratch = stand_in.scratch(target)
    for file in files:
        place = scratch / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    if target.exists():
        shutil.rmtree(target)
    scratch.rename(target)
    stand_in.say(f"Artifact {name} has been successfully uploaded: {len(files)} files")
    stand_in.set_output("artifact-id", str(1 + sorted(target.parent.iterdir()).index(target)))


main()
