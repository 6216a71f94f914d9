"""`taxiops github deployment`: this run's deployment on a commit and what became of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from taxiops.errors import UsageError
from taxiops.github import deployments
from taxiops.github.address import LOOPBACK, read_address
from taxiops.github.api import Client
from taxiops.github.deployments import LONGEST_DESCRIPTION, Status
from taxiops.github.names import check_commit, check_environment
from taxiops.workflows.documents import SCHEMA_VERSION, Progress

LONGEST_URL = 2000


@dataclass(frozen=True)
class DeploymentWish:
    """What to say of which deployment. commit, log_url empty: as the runner's variables say."""

    environment: str
    state: str
    commit: str = ""
    description: str = ""
    log_url: str = ""


@dataclass(frozen=True)
class DeploymentResult:
    """created: the deployment is new. changed: a status was added."""

    repository: str
    environment: str
    commit: str
    deployment_id: int
    state: str
    created: bool
    changed: bool
    next_command: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "repository": self.repository,
            "environment": self.environment,
            "commit": self.commit,
            "deployment_id": self.deployment_id,
            "state": self.state,
            "created": self.created,
            "changed": self.changed,
        }


def record_deployment(wish: DeploymentWish, progress: Progress) -> DeploymentResult:
    """Give this run's deployment the status, creating it first if need be.

    Raises UsageError for malformed names, NotAuthorised, NotFound.
    """
    environ = os.environ
    environment = check_environment(wish.environment)
    commit = check_commit(wish.commit or environ.get("GITHUB_SHA", ""), "--ref")
    status = Status(wish.state, one_line(wish.description), log_url_of(wish.log_url, environ))
    run_id = environ.get("GITHUB_RUN_ID", "")
    client = Client(read_address(environ), "deployments: write")
    progress(f"looking for the deployment of {commit[:10]} to {environment}")
    found = deployments.find_deployment(client, environment, commit, run_id)
    number = found or deployments.create_deployment(client, environment, commit, run_id)
    changed = found is None or deployments.read_status(client, number) != status
    if changed:
        progress(f"deployment {number}: {status.state}")
        deployments.write_status(client, number, environment, status)
    repository = client.address.repository
    created = found is None
    return DeploymentResult(repository, environment, commit, number, wish.state, created, changed)


def one_line(text: str) -> str:
    """The text without line breaks and control characters, as long as GitHub takes."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(plain.split())
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[: LONGEST_DESCRIPTION - 1]}…"


def log_url_of(url: str, environ: Mapping[str, str]) -> str:
    """Where the log stands: as given, else the page of this run; raises UsageError."""
    parts = [environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if not url and not all(parts):
        return ""
    full = url or f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}"
    try:
        split = urlsplit(full)
        host = split.hostname
    except ValueError:
        split, host = urlsplit(""), None
    encrypted = split.scheme == "https" or (split.scheme == "http" and host in LOOPBACK)
    printable = full.isascii() and full.isprintable() and " " not in full
    if not (host and encrypted and printable and len(full) <= LONGEST_URL):
        raise UsageError(
            "The URL of the log must be an https URL.",
            hint="Correct --log-url, or leave it out on a GitHub runner.",
            code="log-url",
        )
    return full
