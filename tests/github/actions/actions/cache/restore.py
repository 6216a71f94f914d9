"""Brings back what was saved under the key, or under the newest key that begins as allowed.

An entry is a folder named by its key that holds the paths relative to the workspace, so that a test
can fill one beforehand: caches/<key>/<path>.
"""

import os
import shutil
from pathlib import Path

import stand_in


def main() -> None:
    stand_in.refuse_unless_default({"enableCrossOsArchive": "false", "upload-chunk-size": ""})
    key, paths = stand_in.read_input("key"), stand_in.read_lines("path")
    beginnings = stand_in.read_lines("restore-keys")
    for each in (key, *beginnings):
        if not each or len(each) > 512 or "," in each:
            stand_in.fail(f"not a key of a cache: {each!r}")
    look_only = stand_in.is_true("lookup-only")
    outer = os.environ.get("ACT_STAND_IN_VENV")
    if actor := os.environ.get("ACT_STAND_IN_TAXIOPS"):
        # Only the order of the commands is asked for: a program that plays them all.
        program = stand_in.workspace() / ".venv" / "bin" / "taxiops"
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(actor, program)
        program.chmod(0o755)
        told(key, key)
        return
    if paths == [".venv"] and outer and not entry(key).exists():
        if not look_only:
            from environment import make_environment

            make_environment(stand_in.workspace(), Path(outer))
        told(key, key)
        return
    found = find(key, beginnings)
    if found is None:
        if stand_in.is_true("fail-on-cache-miss"):
            stand_in.fail(f"Failed to restore cache entry. Input key: {key}")
        stand_in.say(f"Cache not found for input keys: {', '.join([key, *beginnings])}")
        if not look_only:
            stand_in.save_state("key", key)
        return
    if not look_only:
        restore(found, paths)
        if found != entry(key):
            stand_in.save_state("key", key)
    told(key, found.name)


def told(key: str, found: str) -> None:
    stand_in.say(f"Cache restored from key: {found}")
    stand_in.set_output("cache-hit", str(found == entry(key).name or found == key).lower())


def entry(key: str) -> Path:
    return stand_in.store("caches", key.replace("/", "%2F"))


def find(key: str, beginnings: list[str]) -> Path | None:
    if entry(key).is_dir():
        return entry(key)
    for beginning in beginnings:
        prefix = entry(beginning).name
        known = [path for path in entry("_").parent.glob("*") if path.name.startswith(prefix)]
        if known:
            return max(known, key=lambda path: path.stat().st_mtime_ns)
    return None


def restore(found: Path, paths: list[str]) -> None:
    for path in paths:
        source, target = found / path, stand_in.workspace() / path
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


main()
