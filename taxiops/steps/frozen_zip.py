"""Rewrites a skops file so that equal models give equal bytes; knows nothing of models."""

import io
import json
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

SCHEMA = "schema.json"
FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def frozen(data: bytes) -> bytes:
    """The same archive with memory addresses, file order and timestamps taken out.

    skops numbers nodes by their address in memory and names array files after it; here every node
    gets its position in the schema and every file the position of its first mention.
    """
    with ZipFile(io.BytesIO(data)) as source:
        schema = json.loads(source.read(SCHEMA))
        names: dict[str, str] = {}
        renumber(schema, names, [0])
        contents = {new: source.read(old) for old, new in names.items()}
    contents[SCHEMA] = json.dumps(schema, separators=(",", ":")).encode()
    target = io.BytesIO()
    with ZipFile(target, "w", ZIP_STORED) as archive:
        for name in sorted(contents):
            info = ZipInfo(name, FIRST_DAY)
            # Without these the host system shows in the bytes.
            info.create_system, info.external_attr = 3, 0o600 << 16
            archive.writestr(info, contents[name])
    return target.getvalue()


def renumber(node: Any, names: dict[str, str], last: list[int]) -> None:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        if "__id__" in node:
            last[0] += 1
            node["__id__"] = last[0]
        if isinstance(node.get("file"), str):
            node["file"] = names.setdefault(node["file"], f"{len(names)}.npy")
        for value in node.values():
            renumber(value, names, last)
    elif isinstance(node, list):
        for value in node:
            renumber(value, names, last)
