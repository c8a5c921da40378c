"""Every answer of every judge, on disk before it is used: one SQLite file beside the output.

A killed process loses nothing that was added. After a power cut the file is whole, and lacks at most the last second.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
import uuid
from pathlib import Path

from softpref.errors import InputError
from softpref.judges.base import Answer, Question

# A claim outlives its run by this at most, in seconds; that of a dead process on this machine is void at once.
LEASE = 900.0
SYNC_SECONDS = 1.0
# Of the tables below; a file of another version is refused rather than misread.
VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    judge TEXT NOT NULL, question TEXT NOT NULL, asked TEXT NOT NULL,
    first_logp REAL, second_logp REAL, mass REAL, raw TEXT NOT NULL, usage TEXT NOT NULL, time REAL NOT NULL,
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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._check_version()
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path}: is no judgement store ({error}); move it away, or give another output") from error
        self._opened = time.time()
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._synced = time.monotonic()
        self._release_the_dead()

    def claim(self, judge: str, question: Question) -> bool:
        """Whether to ask now: nobody has an answer, nobody is asking, and it has not failed since this store was opened.

        A claim ends with ``add``.
        """
        now = time.time()
        done = self._db.execute(_CLAIM, (judge, question.key, self._owner, now + LEASE, now, self._opened))
        return done.rowcount == 1

    def is_asked_elsewhere(self, judge: str, question: Question) -> bool:
        """Whether another run has claimed this question and not yet answered it."""
        row = self._db.execute(
            "SELECT 1 FROM claims WHERE judge = ? AND question = ? AND owner != ?", (judge, question.key, self._owner)
        ).fetchone()
        return row is not None

    def add(self, judge: str, answer: Answer) -> None:
        """Write one answer, or one failure."""
        key, now, question = answer.question.key, time.time(), answer.question
        self._db.execute("BEGIN IMMEDIATE")
        if answer.failure is not None:
            row = (judge, key, answer.failure, answer.raw, now)
            self._db.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", row)
        else:
            asked = json.dumps([question.prompt, question.first, question.second, dict(question.meta)], default=str)
            numbers = (answer.first_logp, answer.second_logp, answer.mass)
            self._db.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (judge, key, asked, *numbers, answer.raw, json.dumps(dict(answer.usage)), now),
            )
        self._db.execute("DELETE FROM claims WHERE judge = ? AND question = ?", (judge, key))
        self._db.execute("COMMIT")
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def answer(self, judge: str, question: Question) -> Answer | None:
        """The answer that this judge has given to this question."""
        row = self._db.execute(
            "SELECT first_logp, second_logp, mass, raw, usage FROM answers WHERE judge = ? AND question = ?",
            (judge, question.key),
        ).fetchone()
        if row is None:
            return None
        first_logp, second_logp, mass, raw, usage = row
        return Answer(question, first_logp, second_logp, mass, raw, usage=json.loads(usage))

    def failure(self, judge: str, question: Question) -> tuple[str, str] | None:
        """Why this question failed the last time, and what the judge had said."""
        row = self._db.execute(
            "SELECT reason, raw FROM failures WHERE judge = ? AND question = ? ORDER BY time DESC LIMIT 1",
            (judge, question.key),
        ).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def release(self) -> None:
        """Give back this run's claims: what it took and did not ask, others may."""
        self._db.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))

    def judges(self) -> dict[str, int]:
        """How many answers each judge identity has in this file."""
        return dict(self._db.execute("SELECT judge, COUNT(*) FROM answers GROUP BY judge"))

    def close(self) -> None:
        """Give back this run's claims and close the file."""
        self.release()
        self._sync()
        self._db.close()

    def _check_version(self) -> None:
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        tables = self._db.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        if tables and version != VERSION:
            raise InputError(f"{self.path}: was written by another version of softpref ({version}); give another output")
        self._db.execute(f"PRAGMA user_version = {VERSION}")

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
            if host == socket.gethostname() and not _alive(int(pid)):
                self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))

    def __enter__(self) -> JudgementStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
