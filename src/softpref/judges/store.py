"""Every answer of every judge, on disk before it is used: one SQLite file beside the output.

A killed process loses nothing that was added. After a power cut the file is whole, and lacks at most the last second.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from softpref.data.files import is_alive, is_full, writing
from softpref.errors import InputError, StorageError
from softpref.judges.base import Answer, Question

# A claim outlives its run by this at most, in seconds; that of a dead process on this machine is void at once.
LEASE = 900.0
SYNC_SECONDS = 1.0
# Of the tables below; a file of an unknown version is refused rather than misread.
VERSION = 2
# Version 1 had no digest; its answers are read, and cannot be checked.
READABLE = (1, VERSION)
# Seconds that a writer waits for another one.
PATIENCE = 60.0

logger = logging.getLogger(__name__)

_ROOM = "make room, and run the command again"
# How SQLite's messages begin (their codes have names from Python 3.11 on): what is wrong, what to do.
_REASONS = {
    "database or disk is full": ("the disk is full", _ROOM),
    "attempt to write a readonly database": ("it is read-only", "make it and its folder writable, and run the command again"),
    "database is locked": ("another program holds it", "wait for its end, and run the command again"),
    "database table is locked": ("another program holds it", "wait for its end, and run the command again"),
    "unable to open database file": ("it, or its folder, cannot be opened", "see to its permissions, and run the command again"),
    "database disk image is malformed": (
        "a part of it is damaged",
        "restore a copy, or save what is readable with: sqlite3 FILE .recover",
    ),
    "disk I/O error": ("the disk reports a fault", "check the disk, and run the command again"),
}
_NO_STORE = "file is not a database"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    judge TEXT NOT NULL, question TEXT NOT NULL, asked TEXT NOT NULL,
    first_logp REAL, second_logp REAL, mass REAL, raw TEXT NOT NULL, usage TEXT NOT NULL, time REAL NOT NULL, digest TEXT,
    PRIMARY KEY (judge, question)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    judge TEXT NOT NULL, question TEXT NOT NULL, reason TEXT NOT NULL, raw TEXT NOT NULL, time REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS failures_by_question ON failures (judge, question);
CREATE TABLE IF NOT EXISTS claims (
    judge TEXT NOT NULL, question TEXT NOT NULL, owner TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (judge, question)
) WITHOUT ROWID;
"""

# One statement, so that of two runs exactly one gets the question, and none gets one that is answered.
_CLAIM = """
INSERT INTO claims SELECT ?1, ?2, ?3, ?4
WHERE NOT EXISTS (SELECT 1 FROM answers WHERE judge = ?1 AND question = ?2)
AND NOT EXISTS (SELECT 1 FROM failures WHERE judge = ?1 AND question = ?2 AND time >= ?6)
ON CONFLICT (judge, question) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE claims.until < ?5
"""


class JudgementStore:
    """Answers by judge identity and question. A judge never sees another's answers; failures are kept apart from answers.

    Args:
        path: the SQLite file; it is made when it is not there. Several runs may use it at once.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            _make_private(self.path)
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=PATIENCE)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        self._opened = time.time()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._synced = time.monotonic()
        with self._errors():
            self._release_the_dead()

    def claim(self, judge: str, question: Question) -> bool:
        """Whether to ask now: nobody has an answer, nobody is asking, and it has not failed since this store was opened.

        A claim ends with ``add``. An answer that has changed on disk since it was written is no answer, and is asked again.
        """
        if self._insert_claim(judge, question):
            return True
        return self._discard_if_damaged(judge, question) and self._insert_claim(judge, question)

    def _insert_claim(self, judge: str, question: Question) -> bool:
        now = time.time()
        with self._errors():
            done = self._db.execute(_CLAIM, (judge, question.key, self._owner, now + LEASE, now, self._opened))
        return done.rowcount == 1

    def _discard_if_damaged(self, judge: str, question: Question) -> bool:
        row = self._row(judge, question)
        if row is None or _is_whole(judge, question.key, row):
            return False
        logger.warning("%s: an answer of judge %s has changed on disk: it is asked again", self.path, judge)
        with self._errors():
            self._db.execute("DELETE FROM answers WHERE judge = ? AND question = ?", (judge, question.key))
        return True

    def _row(self, judge: str, question: Question) -> tuple[Any, ...] | None:
        with self._errors():
            row: tuple[Any, ...] | None = self._db.execute(
                "SELECT asked, first_logp, second_logp, mass, raw, usage, digest FROM answers WHERE judge = ? AND question = ?",
                (judge, question.key),
            ).fetchone()
        return row

    def is_asked_elsewhere(self, judge: str, question: Question) -> bool:
        """Whether another run has claimed this question and not yet answered it."""
        with self._errors():
            row = self._db.execute(
                "SELECT 1 FROM claims WHERE judge = ? AND question = ? AND owner != ?", (judge, question.key, self._owner)
            ).fetchone()
        return row is not None

    def add(self, judge: str, answer: Answer) -> None:
        """Write one answer, or one failure. Raises StorageError where the disk refuses; every earlier answer is kept."""
        with self._errors(), self._transaction():
            self._insert(judge, answer)
            self._db.execute("DELETE FROM claims WHERE judge = ? AND question = ?", (judge, answer.question.key))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            with writing(self.path, "the answers in it are kept"):
                self._sync()

    def _insert(self, judge: str, answer: Answer) -> None:
        key, now, question = answer.question.key, time.time(), answer.question
        if answer.failure is not None:
            self._db.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (judge, key, answer.failure, answer.raw, now))
            return
        asked = json.dumps([question.prompt, question.first, question.second, dict(question.meta)], default=str)
        content = (asked, *_numbers(answer), answer.raw, json.dumps(dict(answer.usage)))
        self._db.execute(
            "INSERT OR REPLACE INTO answers "
            "(judge, question, asked, first_logp, second_logp, mass, raw, usage, time, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (judge, key, *content, now, _digest(judge, key, content)),
        )

    def answer(self, judge: str, question: Question) -> Answer | None:
        """The answer that this judge has given to this question; None, with a warning, where it has changed on disk."""
        row = self._row(judge, question)
        if row is None:
            return None
        if not _is_whole(judge, question.key, row):
            logger.warning(
                "%s: an answer of judge %s has changed on disk: run the command again to ask it anew", self.path, judge
            )
            return None
        _, first_logp, second_logp, mass, raw, usage, _ = row
        return Answer(question, first_logp, second_logp, mass, raw, usage=json.loads(usage))

    def failure(self, judge: str, question: Question) -> tuple[str, str] | None:
        """Why this question failed the last time, and what the judge had said."""
        with self._errors():
            row = self._db.execute(
                "SELECT reason, raw FROM failures WHERE judge = ? AND question = ? ORDER BY time DESC LIMIT 1",
                (judge, question.key),
            ).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def release(self) -> None:
        """Give back this run's claims: what it took and did not ask, others may.

        On a full disk they stay, and are void when this process ends.
        """
        with suppress(sqlite3.Error):
            self._db.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))

    def judges(self) -> dict[str, int]:
        """How many answers each judge identity has in this file."""
        with self._errors():
            return dict(self._db.execute("SELECT judge, COUNT(*) FROM answers GROUP BY judge"))

    def close(self) -> None:
        """Give back this run's claims and close the file."""
        self.release()
        with suppress(OSError):
            self._sync()
        with suppress(sqlite3.Error):
            self._db.close()

    def _prepare(self) -> None:
        """The tables of this version, all or none of them."""
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        with self._transaction():
            version = self._version()
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            if version == 1:
                self._db.execute("ALTER TABLE answers ADD COLUMN digest TEXT")
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _version(self) -> int | None:
        """None for a new file. Raises InputError for a file of another program or an unknown version."""
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return None
        if "answers" not in tables:
            raise InputError(f"{self.path}: is a database of another program, no judgement store; give another output")
        if version not in READABLE:
            raise InputError(f"{self.path}: was written by another version of softpref ({version}); give another output")
        return int(version)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # an error that has rolled back already leaves nothing to roll back
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite refuses, as one message. Only a file that is no database at all may be moved away."""
        try:
            yield
        except sqlite3.Error as error:
            if str(error).startswith(_NO_STORE):
                raise InputError(f"{self.path}: is no judgement store; move it away, or give another output") from error
            reason = next((told for text, told in _REASONS.items() if str(error).startswith(text)), None)
            if reason is None:
                raise
            what, mend = self._circumstances() or reason
            kept = ". The answers in it are kept" if self.path.is_file() else ""
            raise StorageError(f"{self.path}: {what} ({error}); {mend}{kept}") from error

    def _circumstances(self) -> tuple[str, str] | None:
        """What the disk itself shows, where SQLite only says that it failed."""
        if self.path.is_dir():
            return "it is a folder", "give the name of a file"
        if is_full(self.path):
            return _REASONS["database or disk is full"]
        if not os.access(self.path.parent, os.W_OK):
            return _REASONS["attempt to write a readonly database"]
        return None

    def _sync(self) -> None:
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists():
            handle = os.open(log, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        self._synced = time.monotonic()

    def _release_the_dead(self) -> None:
        for (owner,) in self._db.execute("SELECT DISTINCT owner FROM claims").fetchall():
            host, pid, _ = owner.rsplit(":", 2)
            if host == socket.gethostname() and not is_alive(int(pid)):
                self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))

    def __enter__(self) -> JudgementStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _numbers(answer: Answer) -> tuple[float | None, ...]:
    """As SQLite gives them back: nan as nothing, and no −0."""
    given = (answer.first_logp, answer.second_logp, answer.mass)
    return tuple(None if n is None or math.isnan(n) else float(n) + 0.0 for n in given)


def _digest(judge: str, question: str, content: tuple[Any, ...]) -> str:
    """Half of the SHA-256 over everything that an answer says, and of whom and what."""
    return hashlib.sha256(json.dumps([judge, question, *content]).encode()).hexdigest()[:32]


def _is_whole(judge: str, question: str, row: tuple[Any, ...]) -> bool:
    *content, digest = row
    return digest is None or digest == _digest(judge, question, tuple(content))


def _make_private(path: Path) -> None:
    """A new store is its owner's alone: it holds prompts and replies. SQLite gives the files beside it the same mode."""
    if str(path) != ":memory:":
        with suppress(OSError):  # what is wrong with the place, SQLite says
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
