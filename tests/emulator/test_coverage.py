"""The page of what is emulated: complete, and true of the tests that it names."""

import re

from .coverage import ABSENT, LACKING, PAGE, Operation, callers, operations

ROW = re.compile(r"\| `(?P<method>\w+)` \| (?P<test>.+) \|")


def rows() -> dict[Operation, str]:
    """What the page says of every operation that it lists."""
    found, group = {}, ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = line.strip("# `")
        elif match := ROW.fullmatch(line):
            found[Operation(group, match["method"])] = match["test"]
    return found


def test_the_page_lists_every_operation_of_the_sdk() -> None:
    listed = {each for each in operations() if each.group not in ABSENT}
    assert set(rows()) == listed, "make docs"


def test_every_test_that_the_page_names_calls_the_operation() -> None:
    found = callers()
    named = {each: test.strip("`") for each, test in rows().items() if test.startswith("`tests/")}
    assert len(named) > 60
    assert [each for each, test in named.items() if test not in found.get(each, [])] == []


def test_reasons_are_given_only_for_operations_that_there_are() -> None:
    known = operations()
    assert set(ABSENT) <= {each.group for each in known}
    assert set(LACKING) <= set(known)


def test_no_group_is_called_absent_that_a_test_calls() -> None:
    assert not {each.group for each in operations() if each in callers()} & set(ABSENT)
