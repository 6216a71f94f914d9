"""The reference page on --json, made of the schema in the package; see reference.py."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

Schema = Mapping[str, Any]

TEXT = """\
With `--json` a command prints one document on stdout and nothing else. Fields may be added; none is
renamed or removed under `schema_version` 1. The JSON Schema of all of them is in the package,
`taxiops/schemas/commands.schema.json`; the files that commands write have schemas beside it.

A command that fails before it has a result prints this instead:
"""


def json_page(note: str) -> str:
    """The fields of every command's document, inner ones with a dot, items of a list with [ ]."""
    text = resources.files("taxiops").joinpath("schemas", "commands.schema.json").read_text("utf-8")
    schema = json.loads(text)
    parts = [
        f"{note}\n# Documents of `--json`\n",
        TEXT,
        fields_list(schema, schema["$defs"]["error"]),
    ]
    for command, document in schema["properties"].items():
        parts.append(f"## taxiops {command}\n")
        parts.append(fields_list(schema, document))
    return "\n".join(parts)


def fields_list(schema: Schema, document: Schema) -> str:
    lines = [
        f"- `{path}`: {kind_of(found)}{' (not always)' * is_optional}{told(found)}"
        for path, found, is_optional in fields_of(schema, document)
    ]
    return "\n".join(lines) + "\n"


def fields_of(
    schema: Schema, document: Schema, path: str = ""
) -> Iterator[tuple[str, Schema, bool]]:
    """Path, schema and whether it may be missing, of every field; depth first."""
    document = resolved(schema, document)
    for name, field in document.get("properties", {}).items():
        found, place = resolved(schema, field), f"{path}{name}"
        yield place, found, name not in document.get("required", ())
        yield from fields_of(schema, found, f"{place}.")
        if "items" in found:
            yield from fields_of(schema, found["items"], f"{place}[].")


def resolved(schema: Schema, found: Schema) -> Schema:
    while "$ref" in found:
        found = schema["$defs"][found["$ref"].rpartition("/")[2]]
    return found


def kind_of(found: Schema) -> str:
    """In words: a type, or the values there are."""
    if "enum" in found:
        return ", ".join(f"`{value}`" for value in found["enum"])
    if "const" in found:
        return f"`{found['const']}`"
    kind = found.get("type", "any value")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def told(found: Schema) -> str:
    return f"; {found['description']}" if "description" in found else ""
