"""`python -m taxiops.emulator`: one JSON document on standard output; exit 1 on failure."""

import argparse
import json
import sys
from pathlib import Path

from taxiops.emulator import archive, server, serving

ACTIONS = ("start", "stop", "status", "reset", "run", "fault", "export", "import")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m taxiops.emulator")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--seed", type=json.loads, default=None, help="workspaces and registries")
    parser.add_argument("--add", type=json.loads, default=None, help="a fault to switch on")
    parser.add_argument("--clear", action="store_true", help="switch all faults off")
    parser.add_argument("--owner-pid", type=int, default=None, help="end with this process")
    parser.add_argument(
        "--environments",
        choices=("current", "isolated"),
        default=None,
        help="what steps run in: our own Python, or one built for each conda specification",
    )
    parser.add_argument("--idle-minutes", type=float, default=server.IDLE_MINUTES)
    parser.add_argument("--file", type=Path, default=None, help="what to export to or import from")
    options = parser.parse_args()
    life = (options.owner_pid, options.environments, options.idle_minutes)
    if options.action == "run":
        return serving.run(options.state, *life)
    try:
        if options.action == "start":
            document = server.start(options.state, options.seed, *life)
        elif options.action == "export":
            document = archive.export_state(options.state, options.file)
        elif options.action == "import":
            document = archive.import_state(options.state, options.file)
        elif options.action == "fault":
            document = server.fault(options.state, options.add, is_clearing=options.clear)
        else:
            document = getattr(server, options.action)(options.state)
    except server.EmulatorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
