"""The page of what is emulated: fresh, and true of the tests that it names."""

from .coverage import ABSENT, LACKING, PAGE, callers, operations, page


def test_the_coverage_page_is_what_the_tests_call_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs"


def test_reasons_are_given_only_for_what_no_test_calls() -> None:
    known, found = operations(), callers()
    groups = {each.group for each in known}
    assert set(ABSENT) <= groups
    assert set(LACKING) <= set(known) - set(found)
    assert not {each.group for each in known if each in found} & set(ABSENT)
