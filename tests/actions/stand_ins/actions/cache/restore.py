"""Makes .venv: the packages of the tests' own environment, and taxiops from this checkout."""

import os
import sys
import venv
from pathlib import Path

if os.environ["CACHED"] != ".venv" or not os.environ["KEY"]:
    sys.exit("::error::this cache knows only .venv, under a key")
here = Path.cwd()
venv.EnvBuilder(symlinks=True, with_pip=False, clear=True).create(here / ".venv")
packages = next((here / ".venv" / "lib").glob("python*")) / "site-packages"
# The checkout first. A folder named here brings no .pth file of its own along, so that the
# installation that the tests run with stays out of it.
(packages / "cached.pth").write_text(f"{here}\n{os.environ['STAND_IN_PACKAGES']}\n")
program = here / ".venv" / "bin" / "taxiops"
program.write_text(
    f"#!{here}/.venv/bin/python\nfrom taxiops.cli.app import main\n\nmain()\n", encoding="utf-8"
)
program.chmod(0o755)
