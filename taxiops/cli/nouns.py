"""The commands of the program by name, imported when used, so that help and errors are quick."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer._click import Command

# Name -> module here, and the line in `taxiops --help`; in the order a release meets them.
NOUNS = {
    "demo": ("demo", "See the whole story in three acts, on this machine."),
    "release": ("release", "Do the whole chain below, through Dev and Prod."),
    "test": ("testing", "Test the code, or a deployment."),
    "compare": ("compare", "Train a candidate and compare it with the baseline."),
    "gate": ("gate", "Decide from the comparison whether it may go on."),
    "promote": ("promote", "Put the compared model into the registry."),
    "deploy": ("deploy", "Deploy a promoted model to a slot, as a canary."),
    "traffic": ("traffic", "Show, promote or roll back the traffic."),
    "status": ("status", "Show what serves in Dev and Prod, and what to type next."),
    "doctor": ("doctor", "Show what would keep the next release from running."),
    "explain": ("explain", "Say what an error's code means and what to do."),
    "history": ("history", "Show what served when, and who put it there."),
    "trace": ("trace", "Show the chain behind a version, every digest checked."),
    "cleanup": ("cleanup", "Delete model versions and slots nobody needs."),
    "github": ("github_commands", "Comment, deployment, merge and release on GitHub."),
    "config": ("config", "Show the effective configuration."),
    "emulator": ("emulator", "Control the embedded Azure ML."),
    "pipeline-step": ("pipeline_step", "Do one step of a rollout inside an Azure ML job."),
}


class Nouns(MutableMapping[str, "Command"]):
    """A group's commands; looking one up imports its module."""

    def __init__(self) -> None:
        self.loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> "Command":
        if name not in self.loaded:
            from typer.main import get_command

            module, _ = NOUNS[name]
            loaded = get_command(import_module(f"taxiops.cli.{module}").app)
            loaded.name = name
            self.loaded[name] = loaded
        return self.loaded[name]

    def __setitem__(self, name: str, command: "Command") -> None:
        self.loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NOUNS)

    def __len__(self) -> int:
        return len(NOUNS)
