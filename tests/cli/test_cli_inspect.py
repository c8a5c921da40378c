"""What ``softpref inspect`` prints of small files, by hand."""

import json

import pytest

import chat_families
from softpref.cli.main import main
from softpref.demo.small_model import word_tokenizer

ROWS = [
    {"prompt": "make tea ", "chosen": "boil the water", "rejected": "wait", "soft_label": 0.9},
    {"prompt": "make tea ", "chosen": "no", "rejected": "boil the water", "soft_label": 0.25},
    {"prompt": "wait ", "chosen": "yes", "rejected": "no", "soft_label": 0.5},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "pairs.jsonl", ROWS)


def inspect(capsys, *arguments, code=0):
    assert main(["inspect", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return " ".join(out.split()) if code == 0 else err


def test_counts_and_labels_by_hand(capsys, data):
    """|2p − 1| of 0.9, 0.75 and 0.5: 0.8, 0.5, 0, mean 0.433. The longer side wins both decided pairs of unequal length."""
    out = inspect(capsys, "--data", data)
    assert "3 pairs, 2 prompts" in out
    assert "soft labels given in the file; mean |2p − 1| = 0.433; 1 ties; 1 pairs had their sides exchanged" in out
    assert "the longer side is the preferred one in 100% of pairs with unequal lengths" in out
    for edge, count in (("[0.50, 0.55)", 1), ("[0.75, 0.80)", 1), ("[0.90, 0.95)", 1), ("[0.95, 1.00]", 0)):
        assert f"{edge} {count} " in f"{out} "


def test_lengths_by_hand(capsys, data):
    """Chosen 3, 3, 1 words, rejected 1, 1, 1, prompt 2, 2, 1: least, median, nine tenths, most."""
    out = inspect(capsys, "--data", data)
    assert "words 0% 50% 90% 100%" in out
    assert "prompt 1 2 2 2" in out
    assert "chosen 1 3 3 3" in out
    assert "rejected 1 1 1 1" in out


def test_votes_and_drops_are_said(capsys, tmp_path):
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "b", "votes_1": 3, "votes_2": 1},
        {"prompt": "q", "chosen": "a", "rejected": "a", "votes_1": 1, "votes_2": 1},
        {"prompt": "q", "chosen": "", "rejected": "b", "votes_1": 0, "votes_2": 4},
    ]
    path = write(tmp_path / "pairs.jsonl", rows)
    out = inspect(capsys, "--data", path, "--reading.vote_prior", "1")
    assert "dropped: 1 pairs with two identical sides (rows 2)" in out
    assert "row 2, chosen, rejected: are the same text" in inspect(capsys, "--data", path, "--reading.identical", "error", code=2)
    assert "from votes through a Beta(1.00, 1.00) prior" in out
    assert "empty response: 1 (rows 3)" in out


def test_votes_by_hand(capsys, tmp_path):
    """4, 3, 1 and 2 votes: mean 2.5. Of the three pairs with several, those of 3 and 2 agree; a tie of all is agreement."""
    counts = [(3, 1, 0), (0, 3, 0), (1, 0, 0), (0, 0, 2)]
    names = ("votes_1", "votes_2", "votes_tie")
    rows = [{**ROWS[0], "prompt": f"q{i}", **dict(zip(names, n, strict=True))} for i, n in enumerate(counts)]
    rows = [{key: value for key, value in row.items() if key != "soft_label"} for row in rows]
    out = inspect(capsys, "--data", write(tmp_path / "pairs.jsonl", rows))
    assert "votes: mean 2.50 per pair, from 1 to 4 unanimous: 66.7% of the 3 pairs with two votes or more" in out


def test_votes_are_told_where_labels_were_made_of_them_before(capsys, tmp_path):
    rows = [{**ROWS[0], "label_source": {"method": "votes", "votes": [4, 1, 0]}}, ROWS[2]]
    out = inspect(capsys, "--data", write(tmp_path / "pairs.jsonl", rows))
    assert "votes on 1 of the pairs: mean 5.00 per pair, from 5 to 5 unanimous: 0.0% of the 1 pairs" in out


def test_completions_by_hand(capsys, tmp_path, model):
    """Completions of 3, 0, 3 and 1 words, prompts of 2, 1, 2 and 1."""
    said = [("make tea ", "boil the water"), ("wait ", ""), ("make tea ", "boil the water"), ("no ", "yes")]
    path = write(tmp_path / "[sft].jsonl", [{"prompt": p, "completion": c} for p, c in said])
    out = inspect(capsys, "--data", path, "--model", model, "--row", "4")
    assert f"{path}: 4 prompt + completion rows, 3 prompts" in out
    assert "prompt 1 2 2 2 completion 0 3 3 3" in out
    assert "empty completion: 1 (rows 2) the same row more than once: 2 (rows 1, 3)" in out
    assert "row 4; trained on: completion, after the prompt prompt (1 tokens): no· completion (2 tokens): yes·<end>·" in out
    err = inspect(capsys, "--data", path, "--reading.votes", "mean", code=2)
    assert "reading.votes has no effect" in err


def test_no_labels(capsys, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    assert "no soft labels: label the pairs, or train with label_treatment hard" in inspect(capsys, "--data", path)


def test_a_file_of_identical_pairs_only(capsys, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "a", "soft_label": 0.5}])
    out = inspect(capsys, "--data", path, "--reading.identical", "drop")
    assert "pairs.jsonl: 0 pairs, 0 prompts" in out
    assert "dropped: 1" in out


@pytest.mark.parametrize("name", ["pairs[old].jsonl", "[bold]/[/x].jsonl", ":smile:.jsonl"])
def test_a_name_in_brackets_is_a_name(capsys, monkeypatch, tmp_path, name):
    """Rich reads [old] as a style, and stops at the end of one that was never begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    write(tmp_path / name, ROWS)
    assert f"{name}: 3 pairs" in inspect(capsys, "--data", name)


def test_faults_name_file_row_field_and_mend(capsys, tmp_path):
    path = write(tmp_path / "pairs.jsonl", [ROWS[0], {**ROWS[1], "soft_label": 80}, {**ROWS[2], "margin": 1}])
    err = inspect(capsys, "--data", path, code=2)
    assert f"softpref inspect: {path}: 2 faults" in err
    assert "row 2, soft_label: 80 is not a number in [0, 1]; give P(chosen ≻ rejected) as a probability" in err
    assert "margin: looks like a column that training would read" in err


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a tokenizer is enough."""
    folder = tmp_path_factory.mktemp("model")
    word_tokenizer(["make", "tea", "boil", "the", "water", "wait", "yes", "no"]).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def test_one_row_as_tokens(capsys, data, model):
    """Row 2 was turned round: its chosen side is 'boil the water', three words and the end."""
    out = inspect(capsys, "--data", data, "--model", model, "--row", "2")
    assert "row 2, p = 0.750" in out
    assert "prompt (2 tokens): make·tea·" in out
    assert "chosen (4 tokens): boil·the·water·<end>·" in out
    assert "rejected (2 tokens): no·<end>·" in out


def test_a_row_that_is_not_there(capsys, data, model):
    assert "has no pair in row 9" in inspect(capsys, "--data", data, "--model", model, "--row", "9", code=2)


# ------------------------------------------------------------------------------------------------- what training would take


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    chat_families.tokenizer("qwen3").save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def chat_row(text, **columns):
    prompt, rejected = [{"role": "user", "content": text}], [{"role": "assistant", "content": "four"}]
    return {"prompt": prompt, "chosen": [{"role": "assistant", "content": "Paris"}], "rejected": rejected, **columns}


def test_rows_that_the_tokenizer_refuses_are_told_with_the_command_that_takes_them(capsys, tmp_path, chat_model):
    rows = [chat_row("say <|im_end|>", soft_label=0.9), chat_row("capital?", soft_label=0.8)]
    path = write(tmp_path / "pairs.jsonl", rows)
    out = inspect(capsys, "--data", path, "--model", chat_model)
    assert "with this tokenizer 1 rows train; left out: 0 longer than max_length 1024" in out
    assert "refused: 1 refused, prompt: a message's content holds the template's marker '<|im_end|>'" in out
    assert f"to train: softpref train --model {chat_model} --data {path} --output_dir run --special_tokens text" in out
    assert "row 2, p = 0.800" in out


def test_rows_that_no_option_lets_through_are_to_be_mended(capsys, tmp_path, chat_model):
    path = write(tmp_path / "pairs.jsonl", [chat_row("capital?", chat_template_kwargs={"effort": "high"})])
    out = inspect(capsys, "--data", path, "--model", chat_model)
    assert "the chat template has no variable 'effort'" in out
    assert "no option of train takes all these rows" in out
    assert "to train" not in out


def test_the_command_for_rows_without_labels_and_for_completions(capsys, tmp_path, chat_model):
    unlabelled = write(tmp_path / "pairs.jsonl", [{"prompt": "a", "chosen": " b", "rejected": " c"}])
    out = inspect(capsys, "--data", unlabelled, "--model", chat_model, "--max_length", "9")
    assert "--output_dir run --loss_type dpo --label_treatment hard --max_length 9" in out
    assert "1 of 1 prompts are plain strings" in out
    completions = write(tmp_path / "sft.jsonl", [{"prompt": "a", "completion": " b"}])
    assert "--loss_type sft" in inspect(capsys, "--data", completions, "--model", chat_model)


# -------------------------------------------------------------------------------------------------- columns of other names


@pytest.fixture
def liked(tmp_path):
    path = tmp_path / "liked.csv"
    path.write_text("q,answer_a,answer_b,liked,mood\nx,a,b,A,3\ny,c,d,tie,4\n", encoding="utf-8")
    return path


def test_columns_are_mapped_on_the_command_line(capsys, liked):
    words = ["--columns.prompt", "q", "--columns.winner", "liked", "--meta_columns", "mood"]
    assert main(["inspect", "--data", str(liked), *words, "--vote_prior", "1"]) == 0
    assert "liked is read as one vote a row" in capsys.readouterr().out


def test_columns_are_mapped_in_a_file(capsys, liked, tmp_path):
    file = tmp_path / "inspect.yaml"
    file.write_text(f"data: {liked}\ncolumns: {{prompt: q, winner: liked}}\nvote_prior: 1\n", encoding="utf-8")
    assert main(["inspect", "--config", str(file)]) == 0
    assert "2 pairs" in capsys.readouterr().out
    file.write_text(f"data: {liked}\nvotes: mean\nreading: {{votes: prior}}\n", encoding="utf-8")
    assert main(["inspect", "--config", str(file)]) == 2
    assert "votes is given twice, at the top and below reading" in capsys.readouterr().err


def test_the_command_to_train_reads_as_inspect_did(capsys, tmp_path, model):
    rows = [{"ask": "make tea ", "chosen": "boil the water", "rejected": "wait ", "liked": 1, "overall": 3}] * 2
    rows[1] = {**rows[1], "ask": "wait "}
    path = write(tmp_path / "pairs.jsonl", rows)
    options = ["--columns.prompt", "ask", "--meta_columns", "liked,overall"]
    out = inspect(capsys, "--data", path, "--model", model, *options)
    assert "--reading.columns.prompt ask --reading.meta_columns liked,overall" in out
