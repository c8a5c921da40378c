"""``scripts/held_out_votes.py`` by hand."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "held_out_votes.py"


def test_every_vote_is_held_out_once_and_the_others_make_the_label(tmp_path):
    """Two for 1, one tie: without one of the two the mean of 1 and ½ is ¾ (twice), without the tie it is 1.

    alpha of this pair and one of three votes for 2, values 1, 1, ½ | 0, 0, 0: observed disagreement 4/2 of 6 votes, expected
    (36 − 4 − 1 − 9)/5; alpha = 1 − (2)/(22/5) = 0.545. A row with identical sides is left out.
    """
    rows = [
        {"prompt": "q", "response_1": "a", "response_2": "b", "meta": {"votes": [2, 1, 0]}},
        {"prompt": "q", "response_1": "c", "response_2": "d", "meta": {"votes": [0, 0, 3]}},
        {"prompt": "q", "response_1": "e", "response_2": "e", "meta": {"votes": [0, 3, 0]}},
    ]
    data, output = tmp_path / "votes.jsonl", tmp_path / "held.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--data", data, "--output", output], check=True, capture_output=True, text=True
    )
    held = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    found = [(row["response_1"], row["soft_label"], row["meta"]["held_out"]) for row in held]
    assert found == [("a", 0.75, 1.0), ("a", 0.75, 1.0), ("a", 1.0, 0.5), *[("c", 0.0, 0.0)] * 3]
    assert done.stdout.strip() == "2 pairs, 6 votes; unanimous 50.0%; Krippendorff's alpha 0.545"
