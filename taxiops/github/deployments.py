"""Deployments and their statuses as GitHub shows them on a commit; deploys nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.github.api import Client
from taxiops.github.reading import pick, text_or_empty

# GitHub's limit for the description of a status.
LONGEST_DESCRIPTION = 140
MAKER = "taxiops"


@dataclass(frozen=True)
class Status:
    """What a deployment is said to be."""

    state: str
    description: str
    log_url: str


def find_deployment(client: Client, environment: str, commit: str, run_id: str) -> int | None:
    """The newest deployment that this run made for the commit."""
    doing = f"Reading the deployments to {environment}"
    for item in client.pages("deployments", doing, environment=environment, sha=commit):
        payload = payload_of(item.get("payload"))
        if payload.get("made_by") == MAKER and payload.get("run_id") == run_id:
            return pick(item, int, "id")
    return None


def payload_of(payload: object) -> Mapping[str, Any]:
    """The payload, which GitHub gives back as an object or as text, just as it was sent."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return {}
    return payload if isinstance(payload, Mapping) else {}


def create_deployment(client: Client, environment: str, commit: str, run_id: str) -> int:
    """A deployment of the commit as it is: nothing merged into it, no checks waited for."""
    body = {
        "ref": commit,
        "environment": environment,
        "auto_merge": False,
        "required_contexts": [],
        "payload": {"made_by": MAKER, "run_id": run_id},
        "description": "Rolled out by taxiops",
    }
    answer = client.write("POST", "deployments", body, f"Creating a deployment to {environment}")
    return pick(answer.document, int, "id")


def read_status(client: Client, deployment: int) -> Status | None:
    """The latest status of the deployment."""
    doing = f"Reading the statuses of deployment {deployment}"
    items = client.pages(f"deployments/{deployment}/statuses", doing)
    latest = max(items, key=lambda item: pick(item, int, "id"), default=None)
    if latest is None:
        return None
    return Status(*(text_or_empty(latest, name) for name in ("state", "description", "log_url")))


def write_status(client: Client, deployment: int, environment: str, status: Status) -> None:
    """Add the status; a success makes earlier deployments to the environment inactive."""
    body = {
        "state": status.state,
        "description": status.description,
        "environment": environment,
        "auto_inactive": True,
    }
    if status.log_url:
        body["log_url"] = status.log_url
    path = f"deployments/{deployment}/statuses"
    client.write("POST", path, body, f"Calling deployment {deployment} {status.state}")
