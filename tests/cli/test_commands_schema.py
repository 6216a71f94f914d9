"""Every command's --json has its fields in the package's schema, whatever the command."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pytest_mock import MockerFixture

from taxiops.cli.reference import leaves

from .outcomes import COMMANDS, Outcome, played

SCHEMA = Path(__file__).parents[2] / "taxiops" / "schemas" / "commands.schema.json"
COMMAND_SCHEMAS = json.loads(SCHEMA.read_text(encoding="utf-8"))
# What it prints is what the program it runs prints.
WITHOUT_DOCUMENT = {"emulator exec"}


def schema_of(command: str) -> dict[str, Any]:
    """The schema of one command's document; `error` is that of a failure."""
    defs = COMMAND_SCHEMAS["$defs"]
    found = COMMAND_SCHEMAS["properties"].get(command) or defs[command]
    while "$ref" in found:
        found = defs[found["$ref"].rpartition("/")[2]]
    return {**found, "$defs": defs}


def test_the_schema_and_the_outcomes_here_are_those_of_every_command() -> None:
    jsonschema.Draft202012Validator.check_schema(COMMAND_SCHEMAS)
    found = {context.command_path.removeprefix("taxiops ") for _, context in leaves()}
    commands = found - WITHOUT_DOCUMENT
    assert set(COMMAND_SCHEMAS["properties"]) == commands, (
        "describe the command's --json in taxiops/schemas/commands.schema.json"
    )
    assert {each.command for each in COMMANDS} == commands, "give it an outcome in outcomes.py"


@pytest.mark.parametrize("outcome", COMMANDS, ids=lambda each: each.line)
def test_the_document_has_the_fields_of_the_schema_in_their_order(
    outcome: Outcome, typed, mocker: MockerFixture
) -> None:
    result = played(outcome, typed, mocker, "--json")
    document = json.loads(result.stdout)
    schema = schema_of(outcome.command)
    jsonschema.validate(document, schema)
    known = list(schema["properties"])
    assert [name for name in known if name in document] == list(document)


def test_a_failure_has_a_document_of_its_own(typed) -> None:
    for line in ("gate missing.json", "deploy --traffic-percent 101", "explain nothing", "nope"):
        result = typed(*line.split(), "--json")
        assert result.exit_code
        jsonschema.validate(json.loads(result.stdout), schema_of("error"))
