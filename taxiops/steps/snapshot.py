"""The code that jobs and deployments run, copied into a small folder of its own; runs nothing.

The SDK walks the whole code folder several times a submission before it looks at .amlignore; in a
clone with a virtual environment that takes seconds. This folder holds exactly what .amlignore lets
through, so uploading it instead gives the same snapshot at once.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FILES = ("__init__.py", "errors.py")
ROOMS = ("domain", "steps")


def snapshot_files() -> list[Path]:
    """Every file of the snapshot, relative to the folder that holds the package, sorted."""
    root = PACKAGE.parent
    found = [PACKAGE / name for name in FILES]
    for room in ROOMS:
        found += (PACKAGE / room).rglob("*.py")
    return sorted(path.relative_to(root) for path in found)


def write_snapshot(parent: Path) -> Path:
    """A folder below `parent`, named by its content, that holds the snapshot; made once.

    Safe against several processes at a time: the folder appears whole or not at all.
    """
    files = snapshot_files()
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256((PACKAGE.parent / path).read_bytes()).hexdigest()
        digest.update(f"{path.as_posix()} {content}\n".encode())
    target = parent / digest.hexdigest()[:16]
    if not target.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent) as draft:
            whole = Path(draft) / "whole"
            for path in files:
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(PACKAGE.parent / path, whole / path)
            move_unless_there(whole, target)
    return target


def move_unless_there(whole: Path, target: Path) -> None:
    try:
        whole.rename(target)
    except OSError:
        # Another process was faster with the same content.
        if not target.is_dir():
            raise
