"""What the shell offers for slots, versions and other names; asks no cloud and never fails."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from taxiops.config import Settings

# A name, or a name and a word on it.
Offer = str | tuple[str, str]
Completer = Callable[[typer.Context, str], list[Offer]]


def completing(offers: "Callable[[Settings], Iterator[Offer]]") -> Completer:
    """A completion for Typer; whatever goes wrong offers nothing, for a prompt has no room."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        try:
            pairs = (
                each if isinstance(each, tuple) else (each, "") for each in offers(settings_of(ctx))
            )
            found: dict[str, str] = {}
            for name, word in pairs:
                found.setdefault(name, word)
        except Exception:
            return []
        return [
            (name, word) if word else name
            for name, word in found.items()
            if name.startswith(incomplete)
        ]

    return complete


def settings_of(ctx: typer.Context) -> "Settings":
    """The settings, with what is typed already."""
    from taxiops.config import load_settings

    typed = {name: ctx.params.get(name) for name in ("cloud", "env")}
    return load_settings(typed, os.environ, Path.cwd(), ctx.params.get("config"))


@completing
def slots(settings: "Settings") -> Iterator[Offer]:
    """Those seen lately and those of the state file, then the usual two."""
    from taxiops.workflows.known_names import recall, slots_kind

    yield from recall(settings).get(slots_kind(settings.env), {})
    state = document(settings.output / "deploy" / settings.env / "deployment_state.json")
    for shares in (state.get("traffic"), state.get("prior_traffic")):
        yield from shares if isinstance(shares, dict) else ()
    yield from ("blue", "green")


@completing
def versions(settings: "Settings") -> Iterator[Offer]:
    """Those seen lately in the registry, with their commits, the newest first."""
    from taxiops.workflows.known_names import VERSIONS, recall

    yield from recall(settings).get(VERSIONS, {}).items()
    promoted = document(settings.output / "promote" / "promotion.json").get("version")
    if isinstance(promoted, str):
        yield promoted, "promoted here"


@completing
def commits(settings: "Settings") -> Iterator[Offer]:
    from taxiops.workflows.known_names import VERSIONS, recall

    for version, commit in recall(settings).get(VERSIONS, {}).items():
        if commit:
            yield commit[:40], f"version {version}"


@completing
def deployments(settings: "Settings") -> Iterator[Offer]:
    """ENV/SLOT of both environments."""
    from taxiops.workflows.known_names import recall, slots_kind

    known = recall(settings)
    for each in ("dev", "prod"):
        for slot in (*known.get(slots_kind(each), {}), "blue", "green"):
            yield f"{each}/{slot}"


@completing
def jobs(settings: "Settings") -> Iterator[Offer]:
    """The job of the last report and of the last release here."""
    report = document(settings.output / "compare" / "metrics" / "comparison.json")
    compared, released = report.get("job"), document(settings.output / "release.json").get("job")
    named = compared.get("name") if isinstance(compared, dict) else None
    yield from (name for name in (named, released) if isinstance(name, str) and name)


@completing
def registries(settings: "Settings") -> Iterator[Offer]:
    yield settings.registry


@completing
def workspaces(settings: "Settings") -> Iterator[Offer]:
    yield settings.dev.workspace, "dev"
    yield settings.prod.workspace, "prod"


@completing
def models(settings: "Settings") -> Iterator[Offer]:
    yield settings.model_name


@completing
def hazards(settings: "Settings") -> Iterator[Offer]:  # noqa: ARG001 - one shape for all
    """What `emulator fault add` can inflict."""
    from taxiops.emulator.state.faults import KINDS

    yield from KINDS


def document(path: Path) -> dict[str, object]:
    """The JSON object of a file; empty for one that is not there or is anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
