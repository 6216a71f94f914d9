"""What request bodies must look like, as data, and the check of it; knows no resource.

A shape is a type, a tuple of types, `[shape]` for a list, `Each(shape)` for an object with any
keys, or a mapping of known keys to shapes. Unknown keys and null are let through, as Azure does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.emulator.api.wire import bad_request

Shape = Any
CODE = "InvalidRequestContent"
WORDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


@dataclass(frozen=True)
class Each:
    """An object whose every value has the same shape."""

    shape: Shape
    may_be_null: bool = False


# Tags and properties: clients send numbers too.
TEXTS = Each((str, int, float, bool), may_be_null=True)


def check_shape(value: object, shape: Shape, where: str = "") -> None:
    """Raises AzureError 400 that names the place, such as `properties.tags.a`."""
    if value is None:
        return
    if isinstance(shape, type | tuple):
        require(value, shape if isinstance(shape, tuple) else (shape,), where)
    elif isinstance(shape, list):
        require(value, (list,), where)
        check_members({str(n): each for n, each in enumerate(value)}, Each(shape[0]), where)  # type: ignore[arg-type, var-annotated]
    else:
        require(value, (dict,), where)
        check_members(value, shape, where)  # type: ignore[arg-type]


def check_members(value: Mapping[str, object], shape: Shape, where: str) -> None:
    for key, each in value.items():
        place = f"{where}.{key}".lstrip(".")
        if not isinstance(shape, Each):
            check_shape(each, shape.get(key, object), place)
        elif each is not None:
            check_shape(each, shape.shape, place)
        elif not shape.may_be_null:
            raise bad_request(f"{place} must not be null.", CODE)


def require(value: object, kinds: tuple[type, ...], where: str) -> None:
    is_flag = isinstance(value, bool)
    if isinstance(value, kinds) and (not is_flag or bool in kinds or object in kinds):
        return
    expected = " or ".join(WORDS[kind] for kind in kinds)
    raise bad_request(f"{where or 'The body'} must be {expected}.", CODE)
