"""Fetch UKPConvArg1 and rebuild ``ukpconvarg1.jsonl``: real votes on pairs of arguments, for ``softpref real``.

    python scripts/fetch_ukp.py FOLDER

Needs a network and the standard library, nothing else. The XML of Habernal and Gurevych (ACL 2016; CC-BY 4.0) comes from
UKPLab/acl2016-convincing-arguments at a fixed commit. Kept: 22 sides of 11 debates (five debates on sensitive subjects are
left out), pairs whose two arguments have 60 words at most; worker ids, reasons and authors are not taken over. What was
rebuilt is checked by count and by SHA-256 over its content; if it differs, nothing is written and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

SOURCE = "https://raw.githubusercontent.com/UKPLab/acl2016-convincing-arguments/ca9d24e/data/UKPConvArg1-full-XML"
OUTPUT = "ukpconvarg1.jsonl"
MAX_WORDS = 60
ATTEMPTS = 3
ANSWERS = ("a1", "equal", "a2")

SIDES = (
    "ban-plastic-water-bottles_no-bad-for-the-economy",
    "ban-plastic-water-bottles_yes-emergencies-only",
    "firefox-vs-internet-explorer_it-has-a-cute-logo-oh-and-extensions-err-add-ons",
    "firefox-vs-internet-explorer_there-s-more-browsers-than-the-ie-firefox-is-an-animal",
    "human-growth-and-development-should-parents-use-spanking-as-an-option-to-discipline-_no",
    "human-growth-and-development-should-parents-use-spanking-as-an-option-to-discipline-_yes",
    "if-your-spouse-committed-murder-and-he-or-she-confided-in-you-would-you-turn-them-in-_no",
    "if-your-spouse-committed-murder-and-he-or-she-confided-in-you-would-you-turn-them-in-_yes",
    "india-has-the-potential-to-lead-the-world-_no-against",
    "india-has-the-potential-to-lead-the-world-_yes-for",
    "is-it-better-to-have-a-lousy-father-or-to-be-fatherless-_fatherless",
    "is-it-better-to-have-a-lousy-father-or-to-be-fatherless-_lousy-father",
    "is-the-school-uniform-a-good-or-bad-idea-_bad",
    "is-the-school-uniform-a-good-or-bad-idea-_good",
    "personal-pursuit-or-advancing-the-common-good-_advancing-the-comnong-good",
    "personal-pursuit-or-advancing-the-common-good-_personal-pursuit",
    "should-physical-education-be-mandatory-in-schools-_no-",
    "should-physical-education-be-mandatory-in-schools-_yes-",
    "tv-is-better-than-books_books",
    "tv-is-better-than-books_tv",
    "william-farquhar-ought-to-be-honoured-as-the-rightful-founder-of-singapore_no-it-is-raffles-",
    "william-farquhar-ought-to-be-honoured-as-the-rightful-founder-of-singapore_yes-of-course-",
)

EXPECTED_PAIRS = 5912
EXPECTED_DIGEST = "cbbb8c4048d0e9f4fe0be4b7e5054580f7a97499456d16404294cf911d6426e4"


def pairs_of(xml: bytes, side: str) -> Iterator[dict[str, Any]]:
    """The pairs of one side's file, as rows; longer ones and those that nobody voted on are left out."""
    # the file's content is checked by its digest below, so the parser meets no stranger's XML that would be used
    root = ET.fromstring(xml)  # noqa: S314
    for pair in root.iter("annotatedArgumentPair"):
        first, second = (_text(pair, f"{argument}/text") for argument in ("arg1", "arg2"))
        answers = [value.text for value in pair.iterfind("mTurkAssignments/mTurkAssignment/value")]
        votes = [answers.count(answer) for answer in ANSWERS]
        if max(len(first.split()), len(second.split())) > MAX_WORDS or not sum(votes):
            continue
        yield {
            "prompt": f"Debate: {_text(pair, 'debateMetaData/title')}\nSide: {_text(pair, 'arg1/stance')}\n"
            "Give a convincing argument.",
            "response_1": first,
            "response_2": second,
            "soft_label": (votes[0] + votes[1] / 2) / sum(votes),
            "source": "UKPConvArg1",
            "meta": {
                "votes": votes,
                "mace_gold": pair.findtext("goldLabel"),
                "pair_id": _text(pair, "id"),
                "group": side,
            },
        }


def _text(node: ET.Element, path: str) -> str:
    """What stands at a path, with every run of white space as one space."""
    found = node.findtext(path)
    if found is None:
        raise SystemExit(f"a pair has no <{path}>: the source is not what this script knows")
    return " ".join(found.split())


def digest(rows: Iterable[dict[str, Any]]) -> str:
    """SHA-256 over what is learned from, whatever the order of rows and the format of the file."""
    lines = sorted(
        json.dumps(
            [row["meta"]["group"], row["meta"]["pair_id"], row["meta"]["votes"]]
            + [row[name] for name in ("prompt", "response_1", "response_2")]
        )
        for row in rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fault_of(rows: list[dict[str, Any]]) -> str | None:
    """What is wrong with the rebuilt rows; None when they are the ones that the figures were made with."""
    if len(rows) != EXPECTED_PAIRS:
        return f"{len(rows)} pairs were rebuilt, not {EXPECTED_PAIRS}"
    found = digest(rows)
    if found != EXPECTED_DIGEST:
        return f"the content's SHA-256 is {found}, not {EXPECTED_DIGEST}"
    return None


def download(url: str) -> bytes:
    """The bytes at a URL, tried a few times."""
    for attempt in range(ATTEMPTS):
        time.sleep(2 * attempt)
        content, error = _try(url)
        if content is not None:
            return content
    raise SystemExit(f"{url}: {error}; is there a network?")


def _try(url: str) -> tuple[bytes | None, OSError | None]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read(), None
    except OSError as error:  # what urllib raises, timeouts among it
        return None, error


def main() -> int:
    """Fetch, rebuild, check, write."""
    parser = argparse.ArgumentParser(description="Fetch UKPConvArg1 and rebuild ukpconvarg1.jsonl.")
    parser.add_argument("folder", type=Path, help="where to write it; then set SOFTPREF_DATA to this folder")
    folder: Path = parser.parse_args().folder
    rows = []
    for number, side in enumerate(SIDES, start=1):
        sys.stderr.write(f"{number} of {len(SIDES)}: {side}\n")
        rows.extend(pairs_of(download(f"{SOURCE}/{side}.xml"), side))
    if fault := fault_of(rows):
        sys.stderr.write(f"{fault}: nothing was written\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{OUTPUT}.part"
    beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    beside.replace(folder / OUTPUT)
    sys.stderr.write(f"{len(rows)} pairs in {folder / OUTPUT}, as expected; now: export SOFTPREF_DATA={folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
