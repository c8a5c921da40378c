"""Every answer of every judge, on disk before it is used: one SQLite file beside the output."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from softpref.judges.base import Answer, Question

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    judge TEXT NOT NULL, question TEXT NOT NULL, asked TEXT NOT NULL,
    first_logp REAL, second_logp REAL, mass REAL, raw TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (judge, question)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    judge TEXT NOT NULL, question TEXT NOT NULL, reason TEXT NOT NULL, raw TEXT NOT NULL, time REAL NOT NULL
);
"""


class JudgementStore:
    """Answers by judge identity and question. A judge never sees another's answers; failures are kept apart from answers.

    Args:
        path: the SQLite file; it is made when it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=60)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    def add(self, judge: str, answer: Answer) -> None:
        """Write one answer, or one failure. It is on disk when this returns."""
        key, now = answer.question.key, time.time()
        if answer.failure is not None:
            self._db.execute(
                "INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (judge, key, answer.failure, answer.raw, now)
            )
            return
        question = answer.question
        asked = json.dumps([question.prompt, question.first, question.second, dict(question.meta)], default=str)
        self._db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (judge, key, asked, answer.first_logp, answer.second_logp, answer.mass, answer.raw, now),
        )

    def answers(self, judge: str, questions: Mapping[str, Question]) -> dict[str, Answer]:
        """The answers that this judge has given to these questions (by ``Question.key``)."""
        rows = self._db.execute(
            "SELECT question, first_logp, second_logp, mass, raw FROM answers WHERE judge = ?", (judge,)
        )
        return {
            key: Answer(questions[key], first, second, mass, raw)
            for key, first, second, mass, raw in rows
            if key in questions
        }

    def count_failures(self, judge: str) -> int:
        """How many questions to this judge have failed, over all runs."""
        found = self._db.execute("SELECT COUNT(*) FROM failures WHERE judge = ?", (judge,)).fetchone()
        return int(found[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> JudgementStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
