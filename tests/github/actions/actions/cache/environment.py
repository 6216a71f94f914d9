"""Makes .venv as if restored: the packages the tests run with, and taxiops from the checkout."""

import sysconfig
import venv
from pathlib import Path

import stand_in

PROGRAM = """#!{python}
import sys

from taxiops.cli.app import main

sys.exit(main())
"""


def make_environment(checkout: Path, outer: Path) -> None:
    """A virtual environment in the checkout that sees the packages of another one.

    Python handles .pth files only in folders that it takes for site-packages, and a folder that a
    .pth file names is not one. So an editable taxiops of the outer one, being a .pth file, has no
    say here; and the checkout's line comes first in case it is there as a whole package.
    """
    folder = checkout / ".venv"
    venv.EnvBuilder(symlinks=True, with_pip=False, clear=True).create(folder)
    lines = [
        str(checkout),
        *dict.fromkeys(packages(outer, name) for name in ("purelib", "platlib")),
    ]
    own = Path(packages(folder, "purelib"))
    (own / "cached.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = folder / "bin" / "taxiops"
    program.write_text(PROGRAM.format(python=folder / "bin" / "python"), encoding="utf-8")
    program.chmod(0o755)
    if not Path(lines[1]).is_dir():
        stand_in.fail(f"{outer} is not a virtual environment of this Python")


def packages(folder: Path, scheme: str) -> str:
    place = {"base": str(folder), "platbase": str(folder)}
    return sysconfig.get_path(scheme, "venv", place)
