"""Every error code: what errors.toml says of it, and where the source has it; raises none."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taxiops.errors import TaxiopsError

PACKAGE = Path(__file__).parents[1]
TEXTS = Path(__file__).with_name("errors.toml")


@dataclass(frozen=True)
class Explanation:
    """What a code means and what to do about it."""

    code: str
    means: str
    do: str


def explanations() -> dict[str, Explanation]:
    """Code -> explanation, in the order of the file."""
    with TEXTS.open("rb") as file:
        document = tomllib.load(file)
    return {code: Explanation(code, **texts) for code, texts in document.items()}


def codes_in_source() -> dict[str, set[str]]:
    """Code -> names of the classes that it is raised as, where the source tells them.

    A code that is made at run time stands for all that begin like it, with an asterisk.
    """
    kinds: list[type[TaxiopsError]] = [TaxiopsError, *TaxiopsError.__subclasses__()]
    found = {kind.default_code: {kind.__name__} for kind in kinds}
    for path in sorted(PACKAGE.rglob("*.py")):
        # The emulator's errors are Azure's own.
        if PACKAGE / "emulator" in path.parents:
            continue
        for code, name in codes_of(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(code, set()).update([name] if name else [])
    return found


def codes_of(module: ast.Module) -> Iterator[tuple[str, str]]:
    constants = {
        target.id: node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        # A kind of Azure's errors and a finding of the doctor's have theirs in a fixed place.
        place = {"Kind": 1, "Finding": 3}.get(name, len(node.args))
        values += node.args[place : place + 1]
        first = node.args[0] if node.args else None
        is_class = name == "Kind" and isinstance(first, ast.Name)
        kind = first.id if is_class and isinstance(first, ast.Name) else name
        for value in values:
            code = text_of(constants.get(value.id, value) if isinstance(value, ast.Name) else value)
            if code:
                yield code, kind


def text_of(value: ast.expr) -> str:
    """The code, or how it begins and an asterisk; empty for what is no text."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    if isinstance(value, ast.JoinedStr) and isinstance(value.values[0], ast.Constant):
        return f"{ast.literal_eval(value.values[0])}*"
    return ""
