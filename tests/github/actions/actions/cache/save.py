"""Saves the paths under the key when the key itself was not found, at the end of a good job."""

import shutil
from pathlib import PurePosixPath

import stand_in


def main() -> None:
    key = stand_in.read_state("key")
    if not key:
        stand_in.say("Cache hit occurred on the primary key, not saving cache.")
        return
    target = stand_in.store("caches", key.replace("/", "%2F"))
    scratch = stand_in.scratch(target)
    scratch.mkdir(parents=True)
    for path in stand_in.read_lines("path"):
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            stand_in.fail(f"the stand-in saves only what is in the workspace: {path}")
        source = stand_in.workspace() / path
        if source.is_dir():
            shutil.copytree(source, scratch / path, symlinks=True)
        elif source.exists():
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, scratch / path)
    if not any(scratch.iterdir()):
        stand_in.say("::warning::Path Validation Error: nothing to cache at the paths given")
        scratch.rmdir()
        return
    try:
        scratch.rename(target)
    except OSError:
        stand_in.say("Another job saved the key first.")
        shutil.rmtree(scratch)


main()
