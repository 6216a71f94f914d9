"""Permissions: what roles allow, with wildcards and exceptions, adds up as in Azure."""

import pytest

from taxiops.domain.permissions import (
    SERVICE,
    Grant,
    actions_on_registry,
    actions_on_workspace,
    missing_actions,
    parse_grants,
)

# The built-in roles that docs/explanation/security.md names, as Azure publishes them.
WORKSPACES = f"{SERVICE}/workspaces"
SCIENTIST = Grant(
    (
        f"{WORKSPACES}/read",
        *(f"{WORKSPACES}/*/{verb}" for verb in ("read", "action", "write", "delete")),
    ),
    tuple(f"{WORKSPACES}/{what}" for what in ("delete", "write", "computes/*/write")),
)
REGISTRY_USER = Grant((f"{SERVICE}/registries/read", f"{SERVICE}/registries/assets/*"), ())
READER = Grant(("*/read",), ())


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_the_least_roles_of_the_security_page_suffice(env: str) -> None:
    assert missing_actions([SCIENTIST], actions_on_workspace(env)) == []
    assert missing_actions([REGISTRY_USER], actions_on_registry(env)) == []


def test_prod_needs_less_than_dev() -> None:
    assert set(actions_on_workspace("prod")) < set(actions_on_workspace("dev"))
    assert missing_actions([READER], actions_on_registry("prod")) == []
    assert missing_actions([READER], actions_on_registry("dev")) == ["registries/assets/write"]


def test_a_reader_is_told_what_is_missing() -> None:
    missing = missing_actions([READER], actions_on_workspace("prod"))
    assert "workspaces/onlineEndpoints/write" in missing
    assert "workspaces/onlineEndpoints/read" not in missing


def test_what_one_role_excepts_another_may_allow() -> None:
    narrow = Grant(("*",), (f"{SERVICE}/workspaces/jobs/write".upper(),))
    assert missing_actions([narrow], ["workspaces/jobs/write"]) == ["workspaces/jobs/write"]
    assert missing_actions([narrow, SCIENTIST], ["workspaces/jobs/write"]) == []


@pytest.mark.parametrize("document", [{}, {"value": None}, {"value": [7, {}, {"actions": "*"}]}])
def test_a_damaged_answer_allows_nothing(document: dict[str, object]) -> None:
    assert missing_actions(parse_grants(document), ["workspaces/read"]) == ["workspaces/read"]
