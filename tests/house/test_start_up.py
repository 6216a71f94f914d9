"""What must not be imported: commands that need no cloud or data stay quick."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("azure", "opentelemetry", "pandas", "sklearn", "numpy", "matplotlib", "pyarrow")
# rich is for terminals; these must not need it elsewhere.
SCRIPT = """
import json, sys
from taxiops.cli.app import main
sys.argv = ["taxiops", *json.loads(sys.argv[1])]
try:
    main()
finally:
    names = {name.split(".")[0] for name in sys.modules}
    print("\\nLOADED " + json.dumps(sorted(names)), file=sys.stderr)
"""


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """Top-level packages in sys.modules after the command line."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(json.loads(done.stderr.rpartition("LOADED ")[2]))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        ["traffic", "--help"],
        ["compare", "--help"],
        ["--nothing"],
        ["nothing"],
        ["deploy", "--traffic-percent", "101"],
        ["deploy", "--model-version", "1", "--commit", "abc"],
        ["compare", "--set", "rows"],
        ["cleanup", "deployment"],
        ["config", "show"],
        ["config", "show", "--json"],
        ["gate"],
        ["gate", "missing.json"],
        ["explain", "slot-untested"],
    ],
    ids=" ".join,
)
def test_a_command_without_cloud_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    modules = loaded(arguments, tmp_path)
    assert not modules & set(HEAVY)
    assert "rich" not in modules


def test_help_imports_no_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom taxiops.cli.app import main\nsys.argv[1:] = ['--help']\n"
            "try:\n    main()\nfinally:\n"
            "    print([n for n in sys.modules if n.startswith('taxiops.')], file=sys.stderr)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "taxiops.cli.compare" not in done.stderr
    assert "taxiops.config" not in done.stderr
