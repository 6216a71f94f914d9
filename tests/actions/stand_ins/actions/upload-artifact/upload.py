"""Copies what the paths name below their common folder, as the real action lays artifacts out."""

import json
import os
import shutil
import sys
from pathlib import Path

inputs = json.loads(os.environ["INPUTS"])
name = inputs["name"]
if not name or set(name) & set('":<>|*?\r\n\\/'):
    sys.exit(f"::error::an artifact cannot be called {name!r}")
named = [Path(line.strip()).absolute() for line in inputs["path"].splitlines() if line.strip()]
files = [
    file
    for path in named
    for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
    if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
]
target = Path(os.environ["STAND_IN_STORE"]) / name
if not files:
    words = {"warn": "::warning", "error": "::error", "ignore": "::debug"}
    word = words[inputs["if-no-files-found"]]
    sys.stdout.write(f"{word}::no files were found for artifact {name}\n")
    sys.exit(inputs["if-no-files-found"] == "error")
if target.exists():
    if inputs["overwrite"] != "true":
        sys.exit(f"::error::an artifact called {name} exists already")
    shutil.rmtree(target)
folders = [str(path if path.is_dir() else path.parent) for path in named if path.exists()]
root = Path(os.path.commonpath(folders))
for file in files:
    place = target / file.relative_to(root)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)
sys.stdout.write(f"kept {len(files)} files as {name}\n")
