"""GitHub's REST API on loopback, as far as taxiops uses it, with a memory; tests nothing.

Strict: a route, query, field or header that GitHub does not know of becomes a problem. Shapes and
messages as docs.github.com/rest (version 2022-11-28) has them. Run as a program, it serves until
it is stopped and keeps its state in a file.
"""

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

BOT = "github-actions[bot]"
TOKEN = "ghs_canary0123456789"
LONGEST_COMMENT = 65_536
RULES = "Repository rule violations found\n\nChanges must be made through a pull request."

# An answer: status, JSON (None for no body), headers.
Reply = tuple[int, Any, Mapping[str, str]]


@dataclass
class Fault:
    """What to answer instead, to the next `times` requests that match."""

    method: str
    path: str
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass(frozen=True)
class Recorded:
    """One request, and the token it came with."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    token: str


class Refused(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.reply: Reply = (status, {"message": message, **more}, {})


class FakeGitHub:
    """One repository. Everything public may be set before and looked at after.

    tokens: token -> login. graph: commit -> its parents. annotated: tag object -> commit.
    protected: branches that only the tokens in `bypass` may move. conflicts: commits that cannot
    be merged. git: a folder whose commits are known too, those yet to come as well.
    """

    def __init__(
        self,
        repository: str = "octo/taxi",
        graph: Mapping[str, tuple[str, ...]] | None = None,
        branches: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.repository = repository
        self.tokens = dict(tokens or {TOKEN: BOT})
        self.graph = dict(graph or {})
        self.branches = dict(branches or {})
        self.tags: dict[str, str] = {}
        self.annotated: dict[str, str] = {}
        self.protected: set[str] = set()
        self.bypass: set[str] = set()
        self.conflicts: set[str] = set()
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.deployments: list[dict[str, Any]] = []
        self.statuses: dict[int, list[dict[str, Any]]] = {}
        self.releases: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.requests: list[Recorded] = []
        self.problems: list[str] = []
        self.git: Path | None = None
        self.state_file: Path | None = None
        self.lock = threading.Lock()
        self.last_id = 1000
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "FakeGitHub":
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def environment(self, token: str = TOKEN) -> dict[str, str]:
        """What a runner gives a step."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_TOKEN": token,
        }

    def writes(self) -> list[Recorded]:
        return [request for request in self.requests if request.method != "GET"]

    def add_comment(self, number: int, login: str, body: str) -> dict[str, Any]:
        number_of = self.next_id()
        comment = {
            "id": number_of,
            "html_url": f"https://github.com/{self.repository}/pull/{number}#c-{number_of}",
            "user": {"login": login},
            "body": body,
        }
        self.comments.setdefault(number, []).append(comment)
        return comment

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def ancestors(self, commit: str) -> set[str]:
        """The commit and all before it."""
        seen: set[str] = set()
        waiting = [commit]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting.extend(self.graph.get(current, ()))
        return seen

    def state(self) -> dict[str, Any]:
        """What stands there now, as JSON."""
        names = ("branches", "tags", "comments", "deployments", "statuses", "releases", "problems")
        asked = [{"method": r.method, "path": r.path, "body": r.body} for r in self.requests]
        return {**{name: getattr(self, name) for name in names}, "requests": asked}

    def answer(self, request: Recorded, headers: Mapping[str, str]) -> Reply:
        with self.lock:
            self.requests.append(request)
            if self.git is not None:
                self.graph.update(graph_of(self.git))
            try:
                reply = self.faulty(request) or self.routed(request, headers)
            except Refused as refused:
                reply = refused.reply
            if self.state_file is not None:
                draft = self.state_file.with_suffix(".draft")
                draft.write_text(json.dumps(self.state()), encoding="utf-8")
                draft.replace(self.state_file)
            return reply

    def faulty(self, request: Recorded) -> Reply | None:
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.path):
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                return fault.status, fault.body, fault.headers
        return None

    def routed(self, request: Recorded, headers: Mapping[str, str]) -> Reply:
        wanted = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
        for name, value in wanted.items():
            if headers.get(name) != value:
                self.problems.append(f"{request.method} {request.path}: {name} is missing")
        if not headers.get("user-agent", "").startswith("taxiops/"):
            self.problems.append(f"{request.method} {request.path}: no User-Agent of ours")
        if request.token not in self.tokens:
            raise Refused(401, "Bad credentials")
        path = request.path.removeprefix(f"/repos/{self.repository}")
        for method, pattern, queries, fields, act in ROUTES:
            match = re.fullmatch(pattern, path)
            if match is None or method != request.method:
                continue
            unknown = (set(request.query) - queries) | (set(request.body or {}) - fields)
            if unknown:
                self.problems.append(f"{method} {path}: unknown {sorted(unknown)}")
            return act(self, request, *match.groups())
        self.problems.append(f"no route {request.method} {request.path}")
        raise Refused(404, "Not Found")


def handler_of(fake: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            request = Recorded(
                self.command,
                unquote(parts.path),
                dict(parse_qsl(parts.query)),
                json.loads(data) if data else None,
                (self.headers.get("Authorization") or "").removeprefix("Bearer "),
            )
            status, document, headers = fake.answer(
                request, {k.lower(): v for k, v in self.headers.items()}
            )
            if status == 0:
                # The server dies before it answers.
                self.close_connection = True
                return
            body = document.encode() if isinstance(document, str) else as_json(document)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the requests are recorded."""

    return Handler


def as_json(document: Any) -> bytes:
    return b"" if document is None else json.dumps(document).encode()


def page_of(fake: FakeGitHub, request: Recorded, items: list[Any]) -> Reply:
    size, page = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
    shown = items[(page - 1) * size : page * size]
    headers = {}
    if page * size < len(items):
        query = "&".join(f"{k}={v}" for k, v in {**request.query, "page": page + 1}.items())
        last = -(-len(items) // size)
        base = f"{fake.url}{request.path}"
        headers["Link"] = f'<{base}?{query}>; rel="next", <{base}?page={last}>; rel="last"'
    return 200, shown, headers


def show_user(fake: FakeGitHub, request: Recorded) -> Reply:
    login = fake.tokens[request.token]
    if login.endswith("[bot]"):
        raise Refused(403, "Resource not accessible by integration")
    return 200, {"login": login}, {}


def list_comments(fake: FakeGitHub, request: Recorded, number: str) -> Reply:
    return page_of(fake, request, fake.comments.get(int(number), []))


def check_body(body: str) -> str:
    if len(body) > LONGEST_COMMENT:
        error = {"resource": "IssueComment", "code": "unprocessable", "field": "data"}
        text = "Body is too long (maximum is 65536 characters)"
        raise Refused(422, "Validation Failed", errors=[{**error, "message": text}])
    return body.strip().replace("\n", "\r\n")


def post_comment(fake: FakeGitHub, request: Recorded, number: str) -> Reply:
    body = check_body(request.body["body"])
    return 201, fake.add_comment(int(number), fake.tokens[request.token], body), {}


def patch_comment(fake: FakeGitHub, request: Recorded, number: str) -> Reply:
    for comment in (each for group in fake.comments.values() for each in group):
        if comment["id"] == int(number):
            comment["body"] = check_body(request.body["body"])
            return 200, comment, {}
    raise Refused(404, "Not Found")


def list_deployments(fake: FakeGitHub, request: Recorded) -> Reply:
    names = ("sha", "environment")
    wanted = {name: request.query[name] for name in names if name in request.query}
    found = [d for d in fake.deployments if all(d[k] == v for k, v in wanted.items())]
    return page_of(fake, request, found[::-1])


def post_deployment(fake: FakeGitHub, request: Recorded) -> Reply:
    body = request.body
    if body["ref"] not in fake.graph:
        raise Refused(422, f"No ref found for: {body['ref']}")
    if body.get("auto_merge", True) or body.get("required_contexts") != []:
        raise Refused(409, "Conflict: Commit status checks failed for HEAD.")
    deployment = {
        "id": fake.next_id(),
        "sha": body["ref"],
        "environment": body["environment"],
        "payload": body.get("payload", {}),
    }
    fake.deployments.append(deployment)
    return 201, deployment, {}


def list_statuses(fake: FakeGitHub, request: Recorded, number: str) -> Reply:
    return page_of(fake, request, fake.statuses.get(int(number), [])[::-1])


def post_status(fake: FakeGitHub, request: Recorded, number: str) -> Reply:
    body = request.body
    known = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}
    if body["state"] not in known or len(body.get("description", "")) > 140:
        raise Refused(422, "Validation Failed")
    status = {"id": fake.next_id(), "description": "", "log_url": "", **body}
    fake.statuses.setdefault(int(number), []).append(status)
    return 201, status, {}


def show_branch(fake: FakeGitHub, request: Recorded, name: str) -> Reply:
    return show_ref(f"refs/heads/{name}", fake.branches.get(name), "commit")


def show_tag(fake: FakeGitHub, request: Recorded, name: str) -> Reply:
    sha = fake.tags.get(name)
    return show_ref(f"refs/tags/{name}", sha, "tag" if sha in fake.annotated else "commit")


def show_ref(ref: str, sha: str | None, kind: str) -> Reply:
    if sha is None:
        raise Refused(404, "Not Found")
    return 200, {"ref": ref, "object": {"sha": sha, "type": kind}}, {}


def show_tag_object(fake: FakeGitHub, request: Recorded, sha: str) -> Reply:
    return 200, {"sha": sha, "object": {"sha": fake.annotated[sha], "type": "commit"}}, {}


def show_comparison(fake: FakeGitHub, request: Recorded, base: str, head: str) -> Reply:
    if base not in fake.graph or head not in fake.graph:
        raise Refused(404, "Not Found")
    status = "diverged"
    if base == head:
        status = "identical"
    elif base in fake.ancestors(head):
        status = "ahead"
    elif head in fake.ancestors(base):
        status = "behind"
    return 200, {"status": status, "commits": [], "files": []}, {}


def check_rules(fake: FakeGitHub, request: Recorded, branch: str, status: int) -> None:
    if branch in fake.protected and request.token not in fake.bypass:
        raise Refused(status, RULES)


def patch_branch(fake: FakeGitHub, request: Recorded, name: str) -> Reply:
    sha = request.body["sha"]
    if name not in fake.branches:
        raise Refused(422, "Reference does not exist")
    if sha not in fake.graph:
        raise Refused(422, "Object does not exist")
    check_rules(fake, request, name, 422)
    if fake.branches[name] not in fake.ancestors(sha) and not request.body.get("force"):
        raise Refused(422, "Update is not a fast forward")
    fake.branches[name] = sha
    return show_branch(fake, request, name)


def post_merge(fake: FakeGitHub, request: Recorded) -> Reply:
    base, head = request.body["base"], request.body["head"]
    head = fake.branches.get(head, head)
    if base not in fake.branches:
        raise Refused(404, "Base does not exist")
    if head not in fake.graph:
        raise Refused(404, "Head does not exist")
    if head in fake.ancestors(fake.branches[base]):
        return 204, None, {}
    check_rules(fake, request, base, 409)
    if head in fake.conflicts:
        raise Refused(409, "Merge conflict")
    parents = (fake.branches[base], head)
    sha = hashlib.sha1("".join(parents).encode(), usedforsecurity=False).hexdigest()
    fake.graph[sha] = parents
    fake.branches[base] = sha
    return 201, {"sha": sha, "commit": {"message": request.body["commit_message"]}}, {}


def show_release(fake: FakeGitHub, request: Recorded, tag: str) -> Reply:
    for release in fake.releases:
        if release["tag_name"] == tag:
            return 200, release, {}
    raise Refused(404, "Not Found")


def post_release(fake: FakeGitHub, request: Recorded) -> Reply:
    body = request.body
    if any(release["tag_name"] == body["tag_name"] for release in fake.releases):
        error = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
        raise Refused(422, "Validation Failed", errors=[error])
    if body["target_commitish"] not in fake.graph:
        error = {"resource": "Release", "code": "invalid", "field": "target_commitish"}
        raise Refused(422, "Validation Failed", errors=[error])
    fake.tags.setdefault(body["tag_name"], body["target_commitish"])
    url = f"https://github.com/{fake.repository}/releases/tag/{body['tag_name']}"
    release = {"id": fake.next_id(), "html_url": url, **body}
    fake.releases.append(release)
    return 201, release, {}


def patch_release(fake: FakeGitHub, request: Recorded, number: str) -> Reply:
    for release in fake.releases:
        if release["id"] == int(number):
            release.update(request.body)
            return 200, release, {}
    raise Refused(404, "Not Found")


PAGING = {"page", "per_page"}
DEPLOYMENT = {
    *("ref", "task", "auto_merge", "required_contexts", "payload", "environment"),
    *("description", "transient_environment", "production_environment"),
}
STATUS = {"state", "log_url", "description", "environment", "environment_url", "auto_inactive"}
RELEASE = {
    *("tag_name", "target_commitish", "name", "body", "draft", "prerelease"),
    *("make_latest", "generate_release_notes"),
}
Act = Callable[..., Reply]
# Method, path below the repository, known queries, known fields, what it does.
ROUTES: tuple[tuple[str, str, set[str], set[str], Act], ...] = (
    ("GET", r"/user", set(), set(), show_user),
    ("GET", r"/issues/(\d+)/comments", PAGING | {"since"}, set(), list_comments),
    ("POST", r"/issues/(\d+)/comments", set(), {"body"}, post_comment),
    ("PATCH", r"/issues/comments/(\d+)", set(), {"body"}, patch_comment),
    (
        "GET",
        r"/deployments",
        PAGING | {"sha", "ref", "task", "environment"},
        set(),
        list_deployments,
    ),
    ("POST", r"/deployments", set(), DEPLOYMENT, post_deployment),
    ("GET", r"/deployments/(\d+)/statuses", PAGING, set(), list_statuses),
    ("POST", r"/deployments/(\d+)/statuses", set(), STATUS, post_status),
    ("GET", r"/git/ref/heads/(.+)", set(), set(), show_branch),
    ("GET", r"/git/ref/tags/(.+)", set(), set(), show_tag),
    ("GET", r"/git/tags/([0-9a-f]{40})", set(), set(), show_tag_object),
    ("PATCH", r"/git/refs/heads/(.+)", set(), {"sha", "force"}, patch_branch),
    ("GET", r"/compare/(.+?)\.\.\.(.+)", PAGING, set(), show_comparison),
    ("POST", r"/merges", set(), {"base", "head", "commit_message"}, post_merge),
    ("GET", r"/releases/tags/(.+)", set(), set(), show_release),
    ("POST", r"/releases", set(), RELEASE, post_release),
    ("PATCH", r"/releases/(\d+)", set(), RELEASE, patch_release),
)


@dataclass(frozen=True)
class Typed:
    """What a command line left behind. outputs: what it appended to GITHUB_OUTPUT."""

    exit_code: int
    stdout: str
    stderr: str
    outputs: Mapping[str, str]
    summary: str

    @property
    def everything(self) -> str:
        return "\n".join((self.stdout, self.stderr, self.summary, *self.outputs.values()))

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.stdout))


def run_taxiops(fake: FakeGitHub, folder: Path, *arguments: str, **variables: str) -> Typed:
    """Type `taxiops github ...` in the folder, as a step of a workflow would."""
    output, summary = folder / "github_output", folder / "github_summary"
    for path in (output, summary):
        path.write_text("", encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        **fake.environment(),
        **variables,
    }
    program = str(Path(sys.executable).with_name("taxiops"))
    done = subprocess.run(
        [program, "github", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = output.read_text(encoding="utf-8").splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    text = summary.read_text(encoding="utf-8")
    return Typed(done.returncode, done.stdout, done.stderr, outputs, text)


def graph_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """Every commit of a Git repository with its parents."""
    command = ["git", "rev-list", "--parents", "--all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {commit: tuple(parents) for commit, *parents in lines}


def main() -> None:
    """Serve until SIGTERM. The URL is written last, so that whoever waits for it can ask."""
    parser = argparse.ArgumentParser(description="GitHub's REST API on loopback, for tests.")
    parser.add_argument("--url-file", type=Path, required=True)
    parser.add_argument("--state-file", type=Path, help="written after every request")
    parser.add_argument("--repository", default="octo/taxi")
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--git", type=Path, help="folder whose commits GitHub shall know")
    parser.add_argument("--branch", action="append", default=[], metavar="NAME=SHA")
    parser.add_argument("--protected", action="append", default=[], metavar="BRANCH")
    wanted = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    branches = dict(each.split("=", 1) for each in wanted.branch)
    with FakeGitHub(wanted.repository, {}, branches, {wanted.token: BOT}) as fake:
        fake.git = wanted.git
        fake.protected = set(wanted.protected)
        fake.state_file = wanted.state_file
        draft = wanted.url_file.with_suffix(".draft")
        draft.write_text(fake.url, encoding="utf-8")
        draft.replace(wanted.url_file)
        stopped.wait()


if __name__ == "__main__":
    main()
