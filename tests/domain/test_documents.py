"""The files of the contract: schemas and parsers agree, broken content is refused by its path."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taxiops.domain.cleanup_plan import parse_cleanup_plan
from taxiops.domain.evidence import digest_of_json, sealed
from taxiops.domain.fields import parse_text
from taxiops.domain.gate import Policy, decide, parse_comparison
from taxiops.domain.outcome_files import (
    parse_cleanup_report,
    parse_endpoint_report,
    parse_promotion,
    parse_verdict,
)
from taxiops.domain.state_file import parse_state
from taxiops.errors import EvidenceError, TaxiopsError, UsageError

from .conftest import DOCUMENTS, paths_in

SCHEMAS = Path(__file__).parents[2] / "taxiops" / "schemas"
PARSERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "comparison": parse_comparison,
    "verdict": parse_verdict,
    "promotion": parse_promotion,
    "deployment_state": parse_state,
    "endpoint_report": parse_endpoint_report,
    "cleanup_report": parse_cleanup_report,
    "cleanup_plan": parse_cleanup_plan,
}
Example = tuple[str, dict[str, Any]]


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {name: validator(name) for name in PARSERS}


def is_parsed(name: str, document: dict[str, Any]) -> bool:
    try:
        PARSERS[name](document)
    except TaxiopsError:
        return False
    return True


def parent_of(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def test_there_is_a_schema_for_every_file() -> None:
    schemas = {path.name.removesuffix(".schema.json") for path in SCHEMAS.iterdir()}
    assert schemas - {"commands"} == set(PARSERS)


def test_schema_and_parser_accept_the_right_document(example: Example) -> None:
    name, document = example
    VALIDATORS[name].validate(document)
    PARSERS[name](document)


def test_what_is_parsed_is_written_again_unchanged() -> None:
    for name, parse in (
        ("verdict", parse_verdict),
        ("promotion", parse_promotion),
        ("deployment_state", parse_state),
        ("cleanup_plan", parse_cleanup_plan),
    ):
        assert parse(DOCUMENTS[name]).document() == DOCUMENTS[name]


def test_schema_and_parser_agree_on_every_missing_field(example: Example) -> None:
    name, document = example
    for path in paths_in(document):
        broken = copy.deepcopy(document)
        del parent_of(broken, path)[path[-1]]
        is_slot = "traffic" in str(path[0]) and len(path) > 1
        if isinstance(path[-1], str) and not is_slot:
            assert is_parsed(name, broken) == VALIDATORS[name].is_valid(broken), path


@pytest.mark.parametrize("value", [None, {"a": 1}, [7], -1, "\u00fc" * 20_001, 1e400, float("nan")])
def test_schema_and_parser_refuse_the_wrong_kind_of_value(example: Example, value: object) -> None:
    name, document = example
    for path in paths_in(document):
        broken = copy.deepcopy(document)
        parent_of(broken, path)[path[-1]] = value
        if not VALIDATORS[name].is_valid(broken):
            assert not is_parsed(name, broken), path


@pytest.mark.parametrize("version", [None, 0, 2, "1", 1.5, [], True])
def test_an_unknown_schema_version_is_refused(example: Example, version: object) -> None:
    name, document = example
    with pytest.raises(TaxiopsError, match="schema_version"):
        PARSERS[name]({**document, "schema_version": version})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_mutation_makes_a_parser_fail_in_another_way(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    document = copy.deepcopy(DOCUMENTS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths_in(document)))
        parent_of(document, path)[path[-1]] = data.draw(JSON)
    accepted = is_parsed(name, document)
    if not VALIDATORS[name].is_valid(document):
        assert not accepted


@settings(max_examples=300)
@given(st.data())
def test_a_mutated_comparison_is_refused_or_says_what_its_numbers_say(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS["comparison"])
    path = data.draw(st.sampled_from(paths_in(document)))
    parent_of(document, path)[path[-1]] = data.draw(JSON)
    try:
        verdict = decide(parse_comparison(document), Policy())
    except TaxiopsError:
        return
    assert document["improved"] is verdict.passed


@given(JSON)
def test_anything_that_is_no_such_document_is_refused(value: object) -> None:
    for name in PARSERS:
        assert not is_parsed(name, value if isinstance(value, dict) else {"schema_version": value})


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda content: content.decode("latin-1")))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    try:
        parse_text(text, "x.json")
    except UsageError:
        return
    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1', "no complete JSON"),
        ("", "no complete JSON"),
        ("[]", "no JSON object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"improved": false, "improved": true}', "'improved' stands there twice"),
        ("[" * 100_000, "no complete JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "no complete JSON"),
    ],
)
def test_a_text_that_is_no_document_is_refused(text: str, why: str) -> None:
    with pytest.raises(EvidenceError, match=why):
        parse_text(text, "comparison.json", EvidenceError)


def test_a_pass_without_grounds_is_refused() -> None:
    verdict = {**DOCUMENTS["verdict"], "verdict": "not_improved"}
    with pytest.raises(EvidenceError, match="passed: is true, but the verdict is not_improved"):
        parse_verdict(verdict)
    overridden = {**verdict, "overridden_by": "me", "override_reason": "a holiday"}
    assert parse_verdict(overridden).is_overridden
    with pytest.raises(EvidenceError, match="author and its reason"):
        parse_verdict({**overridden, "override_reason": " "})
    with pytest.raises(EvidenceError, match="passed: is false"):
        parse_verdict({**DOCUMENTS["verdict"], "passed": False})


def test_a_promotion_whose_tags_do_not_verify_is_refused() -> None:
    document = copy.deepcopy(DOCUMENTS["promotion"])
    document["tags"]["branch"] = "other"
    with pytest.raises(EvidenceError, match=r"promotion\.json: tags: Tag taxiops_sealed"):
        parse_promotion(document)
    foreign = sealed({**DOCUMENTS["promotion"]["tags"], "model_sha256": digest_of_json("other")})
    with pytest.raises(EvidenceError, match=r"tags\.model_sha256"):
        parse_promotion({**document, "tags": foreign})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"traffic": {"blue": 70, "green": 40}}, "traffic"),
        ({"traffic": {"Blue": 100}}, "traffic"),
        ({"prior_traffic": {"blue": 70, "green": 30}}, "slot"),
        ({"first_deployment": True}, "prior_traffic"),
        ({"slot": "Green"}, "slot"),
        ({"events": [{"at": "now", "event": "planned", "detail": ""}]}, r"events\[0\]\.at"),
        ({"model": {**DOCUMENTS["deployment_state"]["model"], "sha256": "x"}}, r"model\.sha256"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError, match=rf"deployment_state\.json: {field}"):
        parse_state({**DOCUMENTS["deployment_state"], **change})


def test_an_endpoint_report_must_say_what_its_checks_say() -> None:
    report = DOCUMENTS["endpoint_report"]
    with pytest.raises(UsageError, match="passed: is not what the checks say"):
        parse_endpoint_report({**report, "passed": True})
    with pytest.raises(UsageError, match="checks: is empty"):
        parse_endpoint_report({**report, "checks": []})


def test_a_dry_run_deletes_nothing() -> None:
    report = DOCUMENTS["cleanup_report"]
    deleted = [{"version": "1", "action": "deleted", "reason": "old"}]
    with pytest.raises(UsageError, match=r"versions\[0\]\.action"):
        parse_cleanup_report({**report, "versions": deleted})
    assert parse_cleanup_report({**report, "dry_run": False, "versions": deleted}).versions


def test_messages_fit_on_a_line_and_on_any_terminal() -> None:
    hostile = "\x1b[31m\u202e" + "x" * 500
    with pytest.raises(UsageError) as caught:
        parse_state({**DOCUMENTS["deployment_state"], "phase": hostile})
    assert caught.value.what.isascii()
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 300
