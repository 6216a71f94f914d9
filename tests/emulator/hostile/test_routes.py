"""Hostile requests to every route: a 4xx answer, and nothing changes; never a 500."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxiops.emulator.api.app import MOST_ARM_BYTES, ROUTES
from taxiops.emulator.api.wire import Route

from .bodies import BODIES, COMMAND, WORKSPACE
from .conftest import BLOB_PORT, InProcess, Reply, address, names

# Instead of any value in a body. No shell can do harm with the texts.
WRONG: tuple[Any, ...] = (None, True, -1.5, "../climb\0", [None], {"a": None})
CLIMBING = ("..", ".", "../../../etc/passwd", "..\\..\\climb", "nul\0", "a/b", "line\nbreak")
ODD = ("%2e%2e%2fclimb", "%00", "é", "x" * 5000, " ", "{kind}", "'; DROP TABLE documents; --")
TEXT = st.one_of(st.sampled_from([*CLIMBING, *ODD, "9" * 5000, "-1"]), st.text(max_size=8))
JSON = st.recursive(
    st.sampled_from(WRONG),
    lambda inner: st.dictionaries(st.sampled_from(["properties", "tags"]), inner),
)
QUERIES = ("$skip", "$top", "$orderBy", "listViewType", "hash", "isDefault", "api-version")
HEADERS = ("content-type", "x-emulator-key", "secret", "x-ms-client-request-id", "if-match")
BLOB_QUERIES = ("blockid", "prefix", "delimiter", "restype", "marker", "maxresults", "se")
BLOB_HEADERS = (
    "range",
    "x-ms-range",
    "x-ms-lease-id",
    "x-ms-lease-action",
    "x-ms-lease-duration",
    "x-ms-lease-break-period",
    "x-ms-proposed-lease-id",
    "x-ms-meta-a",
    "x-ms-meta-b!#",
    "if-none-match",
)
# Kinds of assets share their handlers; a name is checked the same way wherever it stands.
OTHER_KINDS = re.compile(r"/(data|environments|components|codes)(/|$)")
DISTINCT = [route for route in ROUTES if not OTHER_KINDS.search(route.template)]
WRITES = ("POST", "PUT", "PATCH")


def label(route: Route) -> str:
    return f"{route.operation} {route.template.count('/')}"


def variants(body: Any) -> Iterator[Any]:
    """The body with each of its values replaced by each wrong one, or left out."""
    for path in places(body):
        for wrong in WRONG:
            yield replaced(body, path, wrong)
        yield replaced(body, path, ...)


def places(body: Any) -> Iterator[tuple[Any, ...]]:
    pairs = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in pairs:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *rest) for rest in places(value))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place; ... takes it out."""
    changed = copy.deepcopy(body)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


def check_refusal(reply: Reply, where: object) -> None:
    """Below 500 and with a body that says what was wrong."""
    assert reply.status < 500 or reply.status == 501, (where, reply)
    if reply.status >= 400:
        document = json.loads(reply.body)
        # MLflow's own routes name it otherwise.
        assert document.get("error") or document.get("error_code"), (where, reply)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.method in WRITES], ids=label)
def test_a_body_of_the_wrong_shape_is_refused_or_can_be_read_back(
    inside: InProcess, route: Route
) -> None:
    whole = BODIES.get(route.operation, {"properties": {"tags": {}}})
    path = address(route, {})
    if route.operation == "PUT jobs":
        path = address(route, {"name": "other"})
    inside.send(route.method, path, json.dumps(whole).encode())
    bodies = [*variants(whole)]
    if route.operation == "PUT jobs":
        bodies += variants(COMMAND)
    inside.settle()
    before = inside.mark()
    for number, body in enumerate(bodies):
        if route.operation == "PUT jobs":
            path = address(route, {"name": f"job-{number}"})
        reply = inside.send(route.method, path, json.dumps(body).encode())
        check_refusal(reply, body)
        if reply.status >= 400:
            assert inside.mark() == before, (body, reply)
            continue
        inside.settle()
        assert inside.send("GET", path).status < 500 or not path, body
        before = inside.mark()


@pytest.mark.parametrize("route", DISTINCT, ids=label)
def test_no_name_in_a_path_climbs_or_breaks(inside: InProcess, route: Route) -> None:
    body = json.dumps(BODIES.get(route.operation, {})).encode()
    for name in parameters(route)[-2:]:
        for climbing in CLIMBING:
            inside.settle()
            before = inside.mark()
            reply = inside.send(route.method, address(route, {name: climbing}), body)
            check_refusal(reply, climbing)
            assert reply.status >= 400, (name, climbing, reply)
            assert inside.mark() == before
        for odd in ODD:
            check_refusal(inside.send(route.method, address(route, {name: odd}), body), odd)
            raw = address(route, {name: odd}, is_quoted=False).replace("?", "")
            check_refusal(inside.send(route.method, raw, body), odd)
    assert names(inside.folder) == ["state"]


def parameters(route: Route) -> list[str]:
    """Names of the path's parameters that stand for one part of it."""
    found = [part.partition("}")[0] for part in route.template.split("{")[1:]]
    return [name for name in found if ":" not in name]


@pytest.mark.parametrize("route", [r for r in DISTINCT if r.method != "GET"], ids=label)
def test_a_body_that_is_no_json_object_changes_nothing(inside: InProcess, route: Route) -> None:
    deep = b'{"properties":' + b"[" * 50_000
    for body in (b"{", b"\xff\xfe", b"[]", b"1", b'"x"', b'{"a": NaN}', b'{"a": "\\ud800"}', deep):
        inside.settle()
        before = inside.mark()
        reply = inside.send(route.method, address(route, {"name": "fresh"}), body)
        check_refusal(reply, body[:20])
        assert reply.status < 300 or inside.mark() == before


@settings(max_examples=150)
@given(st.data())
def test_whatever_is_sent_no_route_fails(inside: InProcess, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(ROUTES), label="route")
    method = data.draw(st.sampled_from([route.method, "HEAD", "OPTIONS", "TRACE", "BREW"]))
    values = {name: data.draw(TEXT, label=name) for name in parameters(route)}
    query = data.draw(st.dictionaries(st.sampled_from(QUERIES), TEXT), label="query")
    headers = data.draw(st.dictionaries(st.sampled_from(HEADERS), TEXT), label="headers")
    body = data.draw(st.one_of(st.binary(max_size=40), JSON.map(encoded)), label="body")
    kept = {name: value for name, value in values.items() if data.draw(st.booleans())}
    path = f"{address(route, kept)}?{urlencode(query, errors='replace')}"
    reply = inside.send(method, path, body, headers)
    assert reply.status < 500 or reply.status == 501, reply


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer a.b.c", "Basic eDp5", "Bearer \x80\xff"])
def test_without_a_good_token_or_key_nothing_is_told_or_done(
    inside: InProcess, header: str
) -> None:
    inside.settle()
    before = inside.mark()
    for route in ROUTES:
        body = json.dumps(BODIES.get(route.operation, {})).encode()
        refused = {"authorization": header, "x-emulator-key": header}
        reply = inside.send(route.method, address(route, {}), body, refused)
        is_open = route.is_anonymous and route.method == "GET" and "faults" not in route.template
        assert reply.status in ({200, 401, 404} if is_open else {400, 401, 403}), (route, reply)
    assert inside.mark() == before


def test_a_body_larger_than_the_limit_is_413(inside: InProcess) -> None:
    path = f"{WORKSPACE}/models/large/versions/1"
    before = inside.mark()
    assert inside.send("PUT", path, b" " * (MOST_ARM_BYTES + 1)).status == 413
    assert inside.mark() == before


@settings(max_examples=150)
@given(st.data())
def test_whatever_is_sent_the_blob_service_does_not_fail(
    inside: InProcess, data: st.DataObject
) -> None:
    container = inside.emulator.store.get("workspace", WORKSPACE.lower(), "")["container"]  # type: ignore[index]
    name = data.draw(st.one_of(st.sampled_from([*CLIMBING, *ODD, "folder/blob"]), TEXT))
    where = data.draw(st.sampled_from([container, "..", "absent-container", "a", "%2e%2e"]))
    comp = data.draw(st.sampled_from(["", "list", "block", "blocklist", "lease", "metadata", "x"]))
    sas = inside.emulator.blobs.sas(container, "rwdlc")
    extra = data.draw(st.dictionaries(st.sampled_from(BLOB_QUERIES), TEXT))
    query = f"{sas}&comp={comp}&{urlencode(extra, errors='replace')}"
    headers = data.draw(st.dictionaries(st.sampled_from(BLOB_HEADERS), TEXT))
    method = data.draw(st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]))
    path = f"/{where}/{quote(name, safe='/', errors='replace')}?{query}"
    reply = inside.send(method, path, data.draw(st.binary(max_size=30)), headers, BLOB_PORT)
    assert reply.status < 500 or reply.status == 501, reply
    listing = inside.send("GET", f"/{container}?{sas}&restype=container&comp=list", port=BLOB_PORT)
    ElementTree.fromstring(listing.body)
    assert names(inside.folder) == ["state"]


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()
