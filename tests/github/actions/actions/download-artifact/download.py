"""Copies artifacts of this run out of the store."""

import os
import shlex
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import stand_in


def main() -> None:
    stand_in.refuse_unless_default(
        {
            "artifact-ids": "",
            "github-token": "",
            "repository": "",
            "run-id": "",
            "skip-decompress": "false",
            "digest-mismatch": "error",
        }
    )
    name, pattern = stand_in.read_input("name"), stand_in.read_input("pattern")
    folder = stand_in.workspace() / Path(stand_in.read_input("path")).expanduser()
    kept = stand_in.store("artifacts", os.environ["GITHUB_RUN_ID"])
    if name:
        if not (kept / name).is_dir() or Path(name).name != name:
            stand_in.fail(f"Unable to download artifact(s): Artifact not found for name: {name}")
        copy(kept / name, folder)
    else:
        for source in sorted(kept.glob("[!.]*")):
            if fnmatchcase(source.name, pattern or "*"):
                merged = stand_in.is_true("merge-multiple")
                copy(source, folder if merged else folder / source.name)
    stand_in.set_output("download-path", str(folder))
    run_hook()


def run_hook() -> None:
    """What a test wants to happen in the midst of a job."""
    if os.environ.get("ACT_STAND_IN_HOOK_JOB") == os.environ["GITHUB_JOB"]:
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run(shlex.split(os.environ["ACT_STAND_IN_HOOK"]), check=True, env=environ)


def copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
    stand_in.say(f"Downloaded {source.name} to {target}")


main()
