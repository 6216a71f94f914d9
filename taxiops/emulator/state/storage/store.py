"""Durable documents of the emulator, in one SQLite file; knows no resource and no HTTP."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    sequence INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, scope, name, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_by_sequence ON documents (kind, scope, sequence);
CREATE INDEX IF NOT EXISTS versions_by_sequence ON documents (kind, scope, name, sequence);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
CHUNK = 200


class AlreadyExists(Exception):
    """A document of that key exists."""


class Store:
    """JSON documents keyed by (kind, scope, name, version), listed in order of creation.

    kind: "job", "model", "endpoint" ...; scope: the lower-cased ARM id of the workspace or
    registry; version: "" for kinds without versions. Names are compared case-sensitively.
    Every call is atomic; `transaction()` makes several calls one. Thread-safe.
    Write-ahead logging keeps the file whole under `kill -9`.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All calls inside happen together or not at all; nestable; serialises writers."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if outermost:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if outermost:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def next_sequence(self, counter: str = "documents") -> int:
        """A number greater than every one given before under this name, restarts included."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO counters VALUES (?, 1) "
                "ON CONFLICT (name) DO UPDATE SET value = value + 1",
                (counter,),
            )
            row = self._connection.execute("SELECT value FROM counters WHERE name = ?", (counter,))
            return int(row.fetchone()[0])

    def get(self, kind: str, scope: str, name: str, version: str = "") -> Json | None:
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM documents WHERE kind=? AND scope=? AND name=? AND version=?",
                (kind, scope, name, version),
            ).fetchone()
        return json.loads(row[0]) if row else None

    def create(self, kind: str, scope: str, name: str, body: Json, version: str = "") -> None:
        """Raises AlreadyExists."""
        with self.transaction():
            if self.get(kind, scope, name, version) is not None:
                raise AlreadyExists(f"{kind} {name} {version}".strip())
            self.put(kind, scope, name, body, version)

    def put(self, kind: str, scope: str, name: str, body: Json, version: str = "") -> None:
        """Create or replace; a replaced document keeps its place in the order of creation."""
        with self.transaction():
            self._connection.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (kind, scope, name, version) DO UPDATE SET body = excluded.body",
                (kind, scope, name, version, self.next_sequence(), json.dumps(body)),
            )

    def delete(self, kind: str, scope: str, name: str, version: str = "") -> bool:
        """True if there was something to delete."""
        with self.transaction():
            cursor = self._connection.execute(
                "DELETE FROM documents WHERE kind=? AND scope=? AND name=? AND version=?",
                (kind, scope, name, version),
            )
            return cursor.rowcount > 0

    def all(self, kind: str, scope: str | None = None, name: str | None = None) -> list[Json]:
        """Documents of a kind, oldest first; of one scope and one name where given."""
        return [json.loads(body) for *_, body in self._rows(kind, scope, name)]

    def scan(
        self,
        kind: str,
        scope: str,
        name: str,
        *,
        newest_first: bool = False,
        after: int | None = None,
    ) -> Iterator[tuple[int, Json]]:
        """(place in the order of creation, document) of each version of a name, read in chunks.

        after: go on behind this place, so that a list can be given in pages.
        """
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        query = (
            "SELECT sequence, body FROM documents WHERE kind=? AND scope=? AND name=? "
            f"AND sequence {sign} ? ORDER BY sequence {order} LIMIT {CHUNK}"
        )
        place = after if after is not None else (2**62 if newest_first else 0)
        while True:
            with self._lock:
                rows = self._connection.execute(query, (kind, scope, name, place)).fetchall()
            for sequence, body in rows:
                yield sequence, json.loads(body)
                place = sequence
            if len(rows) < CHUNK:
                return

    def names(self, kind: str, scope: str, after: str = "") -> list[str]:
        """The next names behind `after`, at most CHUNK of them, in their order."""
        query = (
            "SELECT DISTINCT name FROM documents WHERE kind=? AND scope=? AND name > ? "
            f"ORDER BY name LIMIT {CHUNK}"
        )
        with self._lock:
            return [row[0] for row in self._connection.execute(query, (kind, scope, after))]

    def keys(self, kind: str, scope: str | None = None) -> list[tuple[str, str, str]]:
        """(scope, name, version) of every document of a kind, oldest first."""
        return [(s, n, v) for s, n, v, _ in self._rows(kind, scope, None)]

    def _rows(
        self, kind: str, scope: str | None, name: str | None
    ) -> list[tuple[str, str, str, str]]:
        where, values = "kind = ?", [kind]
        if scope is not None:
            where, values = where + " AND scope = ?", [*values, scope]
        if name is not None:
            where, values = where + " AND name = ?", [*values, name]
        query = f"SELECT scope, name, version, body FROM documents WHERE {where} ORDER BY sequence"
        with self._lock:
            return self._connection.execute(query, values).fetchall()
