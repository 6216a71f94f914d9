"""What an identity must be allowed to do on each resource, and whether it is; asks nobody."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SERVICE = "Microsoft.MachineLearningServices"
ENDPOINTS = (
    "workspaces/onlineEndpoints/read",
    "workspaces/onlineEndpoints/write",
    "workspaces/onlineEndpoints/listKeys/action",
    "workspaces/onlineEndpoints/deployments/read",
    "workspaces/onlineEndpoints/deployments/write",
    "workspaces/onlineEndpoints/deployments/delete",
    "workspaces/datastores/listSecrets/action",
)
TRAINING = (
    "workspaces/read",
    "workspaces/computes/read",
    "workspaces/jobs/read",
    "workspaces/jobs/write",
    "workspaces/components/versions/write",
    "workspaces/environments/versions/write",
    "workspaces/codes/versions/write",
    "workspaces/models/versions/write",
)
READING = ("registries/read", "registries/assets/read")
# The least built-in roles, as docs/explanation/security.md lists them.
WORKSPACE_ROLE, REGISTRY_ROLE = "AzureML Data Scientist", "AzureML Registry User"


@dataclass(frozen=True)
class Grant:
    """What one role assignment allows: actions with wildcards, less those it excepts."""

    actions: tuple[str, ...]
    not_actions: tuple[str, ...]


def parse_grants(document: Mapping[str, Any]) -> list[Grant]:
    """The grants in an answer of the permissions API; a damaged one grants nothing."""
    rows = document.get("value")
    return [
        Grant(texts(row.get("actions")), texts(row.get("notActions")))
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, Mapping)
    ]


def texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def actions_on_workspace(environment: str) -> tuple[str, ...]:
    """What a release does in the workspace of `dev` or `prod`."""
    return (*TRAINING, *ENDPOINTS) if environment == "dev" else ("workspaces/read", *ENDPOINTS)


def actions_on_registry(environment: str) -> tuple[str, ...]:
    """What a release does in the registry: Dev promotes into it, Prod pulls from it."""
    return (*READING, "registries/assets/write") if environment == "dev" else READING


def missing_actions(grants: Sequence[Grant], wanted: Iterable[str]) -> list[str]:
    """The actions that no grant allows.

    Grants add up; what one excepts, another may still allow (learn.microsoft.com/azure/
    role-based-access-control/role-definitions, "NotActions").
    """
    return [each for each in wanted if not any(allows(grant, each) for grant in grants)]


def allows(grant: Grant, action: str) -> bool:
    name = f"{SERVICE}/{action}".lower()

    def matches(patterns: Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns)

    return matches(grant.actions) and not matches(grant.not_actions)
