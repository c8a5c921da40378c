"""``softpref shape``: what it writes and prints, and one message for what is wrong."""

import json

import pytest

from softpref.cli.histogram import histogram_lines
from softpref.cli.main import main

ROWS = [
    {"prompt": f"q{i}", "response_1": "a", "response_2": "b", "soft_label": p, "meta": {"gold": i % 2}}
    for i, p in enumerate([0.9, 0.3, 0.75, 0.55, 0.1, 0.5])
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def shape(capsys, data, *arguments, code=0):
    output = data.with_name("out.jsonl")
    assert main(["shape", "--data", str(data), "--output", str(output), *arguments]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if code:
        return err
    return out, [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_skewed(capsys, data):
    """Oriented: .9 .7 .75 .55 .9 .5. Mean |2p − 1| of .7 .75 .55 .5: (.4 + .5 + .1 + 0)/4 = 0.25."""
    out, rows = shape(capsys, data, "--skewed", "0.8")
    assert [(row["prompt"], row["soft_label"]) for row in rows] == [
        ("q1", 0.3),
        ("q2", 0.75),
        ("q3", 0.55),
        ("q5", 0.5),
    ]
    assert rows[0]["label_source"] == {
        "method": "given",
        "shaped": [{"shape": "skewed", "below": 0.8, "seed": 0, "soft_label_before": 0.3}],
    }
    assert "before: 6 pairs, mean |2p − 1| = 0.433, 1 ties" in out
    assert "after: 4 pairs, mean |2p − 1| = 0.250, 1 ties" in out
    assert out.count("  [0.90, 0.95)       2 ") == 1
    assert "[0.45, 0.50)" not in out
    assert f"shaped pairs: {data.with_name('out.jsonl')}" in out


def test_noise_is_shown_from_the_side_preferred_before(capsys, data):
    out, rows = shape(capsys, data, "--noise", "soft_flip", "--rate", "1", "--seed", "4")
    assert [row["soft_label"] for row in rows] == pytest.approx([0.1, 0.7, 0.25, 0.45, 0.9, 0.5])
    assert rows[0]["label_source"]["shaped"][0] == {
        "shape": "noise",
        "kind": "soft_flip",
        "rate": 1.0,
        "seed": 4,
        "soft_label_before": 0.9,
    }
    assert "5 labels now prefer the other one" in out
    assert "[0.10, 0.15)       2 " in out


@pytest.mark.parametrize("flag", [["--stairs"], ["--stairs", "true"]])
def test_stairs_of_ones_own(capsys, data, flag):
    """Over [0.5, 1): .5 .55 .7 in the lower half, .75 .9 .9 in the upper; heights 1:3 leave 1 and 3."""
    _, rows = shape(capsys, data, *flag, "--steps", "[1,3]", "--stairs_range", "[0.5,1]", "--seed", "2")
    assert sum(0.25 < row["soft_label"] < 0.75 for row in rows) == 1
    assert len(rows) == 4


def test_a_bare_stairs_may_stand_last(capsys, data):
    assert "no pair has p in [0.65, 0.7), [0.8, 0.85), [0.85, 0.9); give other or fewer bins" in shape(
        capsys, data, "--stairs", code=2
    )


def test_balance(capsys, data):
    assert len(shape(capsys, data, "--balance", "2")[1]) == 6
    assert "no pair has p in [0.6, 0.7)" in shape(capsys, data, "--balance", "5", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no shape given; give exactly one of skewed, stairs, balance, noise"),
        (["--skewed", "0.8", "--balance", "2"], "skewed and balance given; give exactly one"),
        (["--skewed", "0.8", "--rate", "0.2"], "rate has no effect without noise"),
        (["--skewed", "0.8", "--steps", "[1]"], "steps has no effect without stairs"),
        (["--balance", "2", "--stairs_range", "[0.6,0.8]"], "stairs_range has no effect without stairs"),
        (["--noise", "soft_flip"], "noise needs a rate"),
        (["--noise", "flip", "--rate", "0.1"], "noise is 'flip'"),
        (["--skewed", "0.3"], "skewed is 0.3; it must lie in (0.5, 1]"),
        (["--tilt", "0.8"], "unknown option 'tilt'; see softpref shape --help"),
        (["--skewed", "0.51"], "is left"),
        (["--skewed", "0.8", "--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["--skewed", "0.8", "--output", "out.csv"], "give a .jsonl file"),
    ],
)
def test_one_message(capsys, data, arguments, message):
    if arguments == ["--skewed", "0.51"]:
        data.write_text(json.dumps(ROWS[0]) + "\n")
    err = shape(capsys, data, *arguments, code=2)
    assert err.startswith("softpref shape: ")
    assert message in err


def test_the_data_are_not_written_over(capsys, data):
    before = data.read_bytes()
    err = shape(capsys, data, "--skewed", "0.8", "--output", str(data), code=2)
    assert "which would be overwritten; give another file" in err
    assert data.read_bytes() == before


def test_identical_sides_are_counted(capsys, data):
    data.write_text(data.read_text() + json.dumps({**ROWS[0], "response_2": "a"}) + "\n")
    out, _ = shape(capsys, data, "--skewed", "0.8", "--reading.identical", "drop")
    assert "dropped: 1 pairs with two identical sides" in out


def test_histogram_lines_by_hand():
    """The fullest bin has 40 blocks; empty lower bins are left out, all are there when one is filled."""
    assert histogram_lines([0, 0, 1, 4]) == ["  [0.50, 0.75)       1 " + "█" * 10, "  [0.75, 1.00]       4 " + "█" * 40]
    assert len(histogram_lines([1, 0, 1, 4])) == 4
    assert histogram_lines([0, 0]) == ["  [0.50, 1.00]       0"]
