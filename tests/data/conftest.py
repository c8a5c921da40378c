"""Files of a few rows, written on the spot."""

import csv
import json

import pytest

ROW = {"prompt": "make tea", "chosen": "boil the water", "rejected": "wait"}


@pytest.fixture
def row():
    """A valid unlabelled row with these fields changed; None takes one out."""

    def make(**changes):
        return {name: value for name, value in {**ROW, **changes}.items() if value is not None}

    return make


@pytest.fixture
def jsonl(tmp_path):
    """Write rows (or, as they stand, raw lines) to a JSONL file."""

    def write(*rows, name="pairs.jsonl"):
        lines = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in rows]
        path = tmp_path / name
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


@pytest.fixture
def table(tmp_path):
    """Write a header and rows of cells to a CSV file."""

    def write(header, *rows, name="pairs.csv"):
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write
