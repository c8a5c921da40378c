"""Do the votes of some people tell what one more would say? Rows for ``softpref calibrate``, and how far people agree.

    python scripts/held_out_votes.py --data pandalm_testset.jsonl --output held_out.jsonl

Every vote of every pair is held out in turn: ``soft_label`` is the mean of the others, ``meta.held_out`` what was held out
(1 for the first response, 0 for the second, ½ for a tie). Votes are read from ``meta.votes``: [for 1, ties, for 2].
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.agreement import krippendorff_alpha

VALUES = (1.0, 0.5, 0.0)


def main() -> None:
    """Write the rows and print Krippendorff's alpha of the people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.data.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["response_1"] != row["response_2"]]
    with options.output.open("w", encoding="utf-8") as file:
        for row in rows:
            file.writelines(json.dumps(held, ensure_ascii=False) + "\n" for held in held_out(row))
    votes = np.array([row["meta"]["votes"] for row in rows])
    alpha = krippendorff_alpha(votes)
    unanimous = np.mean(votes.max(1) == votes.sum(1))
    print(f"{len(rows)} pairs, {votes.sum():.0f} votes; unanimous {unanimous:.1%}; Krippendorff's alpha {alpha:.3f}")


def held_out(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for every vote, the same vote of several people as often as it was given."""
    votes = np.array(row["meta"]["votes"], dtype=float)
    for place, count in enumerate(votes):
        rest = votes - np.eye(len(VALUES))[place]
        for _ in range(int(count)):
            label = float(rest @ VALUES / rest.sum())
            yield {
                **{key: row[key] for key in ("prompt", "response_1", "response_2")},
                "soft_label": label,
                "meta": {"held_out": VALUES[place]},
            }


if __name__ == "__main__":
    main()
