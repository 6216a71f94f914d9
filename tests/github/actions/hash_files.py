"""hashFiles() of an expression, which act has node work out: patterns in, one hash out.

The hash is of the files' hashes, as GitHub's own program makes it; files come in order of name.
"""

import glob
import hashlib
import os
import sys
from pathlib import Path


def find(patterns: list[str]) -> list[Path]:
    """Files in the working directory; a pattern that begins with ! takes files away again."""
    found: set[Path] = set()
    for line in patterns:
        matches = glob.glob(line.removeprefix("!"), recursive=True, include_hidden=True)  # noqa: PTH207
        paths = {Path(match) for match in matches}
        files = {path for path in paths if path.is_file()}
        files |= {each for path in paths for each in path.rglob("*") if each.is_file()}
        found = found - files if line.startswith("!") else found | files
    return sorted(path for path in found if not path.is_absolute() and ".." not in path.parts)


def main() -> None:
    patterns = [line.strip() for line in os.environ["patterns"].splitlines() if line.strip()]  # noqa: SIM112
    whole = hashlib.sha256()
    files = find(patterns)
    for path in files:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    sys.stderr.write(f"__OUTPUT__{whole.hexdigest() if files else ''}__OUTPUT__\n")


main()
