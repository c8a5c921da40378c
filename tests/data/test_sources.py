"""Every published format, on rows made by ``published_rows``: what a row becomes, what is left out, what is an error."""

import json
import math

import pytest

import published_rows as published
from softpref.data.pairs import PairSet
from softpref.data.read_options import ReadOptions
from softpref.data.sources.importing import (
    HALF_CHARACTER,
    IDENTICAL,
    as_messages,
    as_plain,
    completions,
    import_rows,
    merge_votes,
    transcript,
)
from softpref.data.sources.known import SOURCES
from softpref.data.validation import pairs_from_rows
from softpref.errors import DataError, OptionError

VOTES = ("votes_1", "votes_2", "votes_tie")
FRUIT = [{"role": "user", "content": "Name a fruit."}]


def imported(name, *rows):
    return import_rows(SOURCES[name], list(enumerate(rows, start=1)), "rows")


def only(name, *rows):
    """The one pair of these rows, none of which is left out."""
    found = imported(name, *rows)
    assert not found.left_out
    [pair] = found.pairs
    return pair


def votes(pair):
    return tuple(pair[name] for name in VOTES)


def read(pairs, **options) -> PairSet:
    return pairs_from_rows(list(enumerate(map(as_plain, pairs), start=1)), "pairs", ReadOptions(**options))


# -------------------------------------------------------------------------------------------------- TL;DR


def test_tldr_asks_as_stiennon_et_al_do():
    pair = only("tldr", published.tldr(choice=1))
    assert pair["prompt"] == "SUBREDDIT: r/cats\nTITLE: Sad cat\nPOST: We moved. My cat hides.\n\nTL;DR:"
    assert (pair["response_1"], pair["response_2"]) == ("Moved for work, cat is sad.", "A cat.")
    assert votes(pair) == (0, 1, 0)
    assert pair["meta"] == {"post": "t3_1", "policies": ["sup1", "ref"]}


def test_tldr_puts_workers_votes_together_whatever_the_order():
    """Three workers; the third saw the summaries the other way round and chose its second, our first: 2 to 1."""
    turned = published.tldr(choice=1, first=" A cat.", second=" Moved for work, cat is sad.")
    found = imported("tldr", published.tldr(choice=0), published.tldr(choice=1), turned)
    assert [votes(pair) for pair in found.pairs] == [(2, 1, 0)]
    assert (found.rows, found.merged, found.most_votes) == (3, 2, 3)


def test_tldr_leaves_news_articles_out():
    article = published.tldr(post=None, article="Rain in the north.", site="cnn")
    assert imported("tldr", article, published.tldr()).left_out == {"a news article, no Reddit post": 1}


@pytest.mark.parametrize("choice", [2, None, -1])
def test_tldr_without_a_choice_is_no_tldr(choice):
    with pytest.raises(DataError, match=r"row 1, choice: is .* among 2 summaries; give 0 or 1"):
        imported("tldr", published.tldr(choice=choice))


# -------------------------------------------------------------------------------------------------- HH


def test_hh_is_split_at_the_last_answer():
    before = "\n\nHuman: Hello\n\nAssistant: Hi! What can I do?\n\nHuman: Make tea:\n\n1. what?"
    pair = only("hh", published.hh(before=before))
    assert pair == {
        "prompt": published.turns("Hello", "Hi! What can I do?", "Make tea:\n\n1. what?"),
        "chosen": "Boil water first.",
        "rejected": "No.",
    }


def test_hh_two_turns_of_one_speaker_are_one():
    pair = only("hh", published.hh(before="\n\nHuman: Hello\n\nHuman: Are you there?"))
    assert pair["prompt"] == published.turns("Hello\n\nAre you there?")


def test_hh_an_empty_answer_is_an_answer():
    assert only("hh", published.hh(rejected=""))["rejected"] == ""


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {**published.hh(), "rejected": "\n\nHuman: How?\n\nAssistant: No."},
            "the two sides differ before the last answer",
        ),
        ({**published.hh(), "chosen": "\n\nHuman: How do I make tea?"}, "a transcript does not end with an answer"),
        (published.hh(before="\n\nAssistant: Hi"), "an answer without a question"),
        (published.hh(chosen="No."), IDENTICAL),
        (published.hh(chosen="\ud83d"), HALF_CHARACTER),
    ],
)
def test_hh_leaves_out(row, reason):
    found = imported("hh", row, published.hh())
    assert found.left_out == {reason: 1}
    assert len(found.pairs) == 1


def test_hh_of_another_form_is_an_error_that_names_every_row():
    with pytest.raises(DataError) as error:
        imported(
            "hh",
            {"chosen": "Hi", "rejected": "\n\nHuman: a\n\nAssistant: b"},
            published.hh(),
            {"chosen": "\n\nHuman: a"},
        )
    assert [(fault.row, fault.field) for fault in error.value.faults] == [(1, "chosen"), (3, "rejected")]


def test_hh_has_no_label_and_says_so():
    assert not read(imported("hh", published.hh()).pairs).labelled


# -------------------------------------------------------------------------------------------------- CoPlan


def test_coplan_sets_people_against_models_over_the_whole_file():
    """Two models and one person on one goal, which is spelt in two ways; a person's plan is the first side."""
    found = imported(
        "coplan",
        published.coplan("curie", "Step 1: boil water"),
        published.coplan("human", goal="Other goal"),
        published.coplan("davinci-3", "Step 1: wait Step 2: drink", goal="Make tea."),
        published.coplan("human"),
    )
    assert [(pair["chosen"], pair["rejected"]) for pair in found.pairs] == [
        ("Step 1: boil water\nStep 2: pour it", "Step 1: boil water"),
        ("Step 1: boil water\nStep 2: pour it", "Step 1: wait\nStep 2: drink"),
    ]
    assert found.pairs[0]["prompt"] == "Write a plan for this goal, one step a line.\n\nGoal: make tea\n\nPlan:"
    assert found.pairs[1]["meta"] == {"writers": ["human", "davinci-3"]}
    assert found.left_out == {"a goal without a model's plan": 1}


def test_coplan_is_imitated_on_the_models_side():
    """The paper's SFT on Plasma is on its model's plans; everywhere else on the winners."""
    assert {name for name, source in SOURCES.items() if source.imitated == "rejected"} == {"coplan"}


# -------------------------------------------------------------------------------------------------- UltraFeedback


def test_ultrafeedback_makes_six_pairs_of_four():
    """Means of the four ratings: a 2, b 4, c 4, d 2.75. The overall score of 10 for the worst is not believed."""
    row = published.ultrafeedback(
        published.completion("a", "2222", overall=10.0),
        published.completion("b", "5443"),
        published.completion("c", "4444"),
        published.completion("d", "1235"),
    )
    found = imported("ultrafeedback", row).pairs
    scores = {"a": 2.0, "b": 4.0, "c": 4.0, "d": 2.75}
    assert [pair["chosen"] + pair["rejected"] for pair in found] == ["bc", "bd", "ba", "cd", "ca", "da"]
    for pair in found:
        assert (pair["chosen_reward"], pair["rejected_reward"]) == (scores[pair["chosen"]], scores[pair["rejected"]])
        assert pair["prompt"] == FRUIT
    labels = [pair.soft_label for pair in read(found, reward_scale=1.0)]
    assert labels == pytest.approx([0.5, *(1 / (1 + math.exp(-x)) for x in (1.25, 2, 1.25, 2, 0.75))])


@pytest.mark.parametrize("missing", ["5N44", "54 4", "5644"])
def test_ultrafeedback_a_completion_that_is_not_rated_on_all_aspects_is_left_out(missing):
    ratings = [{"N": "N/A", " ": None}.get(one, one) for one in missing]
    row = published.ultrafeedback(
        published.completion("a", "2222"), published.completion("b", ratings), published.completion("c", "4444")
    )
    assert [pair["chosen"] + pair["rejected"] for pair in imported("ultrafeedback", row).pairs] == ["ca"]


def test_ultrafeedback_without_annotations():
    bare = {**published.completion("b", "5555"), "annotations": None}
    empty = {**published.completion("c", "5555"), "annotations": {"helpfulness": None}}
    found = imported("ultrafeedback", published.ultrafeedback(published.completion("a", "2222"), bare, empty))
    assert found.left_out == {"fewer than two completions are rated on all four aspects": 1}
    assert imported("ultrafeedback", published.ultrafeedback()).pairs == []


# -------------------------------------------------------------------------------------------------- HelpSteer


def test_helpsteer2_brings_both_responses_to_a_prompt_together():
    found = imported(
        "helpsteer2",
        published.helpsteer2("A stone.", 1),
        published.helpsteer2("An apple.", 4),
        published.helpsteer2("Alone.", 4, prompt="Else?"),
    )
    [pair] = found.pairs
    assert (pair["chosen"], pair["rejected"], pair["chosen_reward"], pair["rejected_reward"]) == (
        "An apple.",
        "A stone.",
        4,
        1,
    )
    assert found.left_out == {"a prompt with 1 response, not two": 1}


def test_helpsteer2_turns():
    prompt = "Hello\n<extra_id_1>Assistant\nHi!\n<extra_id_1>User\nMake tea."
    pair = only("helpsteer2-votes", published.helpsteer2_preference([-1], prompt=prompt))
    assert pair["prompt"] == published.turns("Hello", "Hi!", "Make tea.")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([-3, -1, 2], (2, 1, 0)), ([0, 0, 1], (0, 1, 2)), ([-100, -2], (1, 0, 0)), ([3], (0, 1, 0))],
)
def test_helpsteer_votes(scores, expected):
    assert votes(only("helpsteer2-votes", published.helpsteer2_preference(scores))) == expected
    assert votes(only("helpsteer3", published.helpsteer3(scores))) == expected


@pytest.mark.parametrize("scores", [[], [-100]])
def test_helpsteer_without_a_preference_is_left_out(scores):
    for name, row in (
        ("helpsteer2-votes", published.helpsteer2_preference(scores)),
        ("helpsteer3", published.helpsteer3(scores)),
    ):
        assert imported(name, row).left_out == {"nobody's preference is there": 1}


@pytest.mark.parametrize(("preference", "label"), [(-3, 1), (-2, 5 / 6), (-1, 2 / 3), (0, 0.5), (1, 1 / 3), (2, 1 / 6), (3, 0)])
def test_helpsteer_strength_is_a_straight_line_and_of_the_first_response(preference, label):
    for name, row in (
        ("helpsteer2-strength", published.helpsteer2_preference([], overall=preference)),
        ("helpsteer3-strength", published.helpsteer3([], overall=preference)),
    ):
        pair = only(name, row)
        assert pair["soft_label"] == pytest.approx(label)
        [oriented] = read([pair])
        assert oriented.soft_label == pytest.approx(max(label, 1 - label))
        assert (oriented.chosen.strip() == "A stone.") is (preference > 0)


def test_helpsteer_strength_of_invalid_responses_is_left_out():
    found = imported("helpsteer2-strength", published.helpsteer2_preference([], overall=-100))
    assert found.left_out == {"neither response is valid": 1}


def test_helpsteer3_keeps_the_conversation():
    pair = only("helpsteer3", published.helpsteer3([-1]))
    assert pair["prompt"] == published.turns("Name a fruit.", "A pear.", "Another.")
    assert pair["meta"] == {"domain": "general", "language": "english", "strength": -2}


def test_helpsteer_a_score_that_is_no_number():
    with pytest.raises(DataError, match="row 1, score: is no number"):
        imported("helpsteer3", published.helpsteer3(["-1"]))


# -------------------------------------------------------------------------------------------------- Arena


@pytest.mark.parametrize(
    ("winner", "expected"),
    [
        ("model_a", (1, 0, 0)),
        ("model_b", (0, 1, 0)),
        ("tie", (0, 0, 1)),
        ("tie (bothbad)", (0, 0, 1)),
        ("both_bad", (0, 0, 1)),
    ],
)
def test_arena_winners(winner, expected):
    pair = only("arena", published.arena(winner))
    assert votes(pair) == expected
    assert (pair["prompt"], pair["response_1"], pair["response_2"]) == (FRUIT, "An apple.", "A stone.")
    assert pair["id"] == "q1"
    assert pair["meta"] == {"models": ["vicuna-13b", "koala-13b"], "language": "English", "winner": winner}


def test_arena_an_unknown_winner_is_an_error():
    with pytest.raises(DataError, match=r"row 1, winner: is 'model_c'; known: model_a, model_b, tie"):
        imported("arena", published.arena("model_c"))


def test_arena_content_in_parts():
    def part(content, kind="text"):
        return [{"type": kind, "text": content, "image": None, "mimeType": None}]

    first = [{"role": "user", "content": part("Name a fruit.")}, {"role": "assistant", "content": part("An apple.")}]
    second = [{"role": "user", "content": part("Name a fruit.")}, {"role": "assistant", "content": part("A stone.")}]
    assert only("arena", published.arena(first=first, second=second))["prompt"] == FRUIT
    pictured = [{"role": "user", "content": part(None, "image")}, second[1]]
    found = imported("arena", published.arena(first=pictured, second=second))
    assert found.left_out == {"a turn holds more than text": 1}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (("a", "b", "c", "d"), ("a", "B", "c", "D"), "the two models answered different contexts"),
        (("a", "b", "c"), ("a", "b", "c"), "a conversation does not end with an answer"),
        ((), ("a", "b"), "a conversation does not end with an answer"),
        (("a", "b"), ("a", None), "a question or an answer is missing"),
    ],
)
def test_arena_leaves_out(first, second, reason):
    row = published.arena(first=published.turns(*first), second=published.turns(*second))
    assert imported("arena", row).left_out == {reason: 1}


def test_arena_later_turns_of_one_context_are_a_pair():
    row = published.arena(first=published.turns("a", "b", "c", "d"), second=published.turns("a", "b", "c", "D"))
    assert only("arena", row)["prompt"] == published.turns("a", "b", "c")


@pytest.mark.parametrize("expected", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_arena_55k_winners(expected):
    pair = only("arena-55k", published.arena_55k(expected))
    assert votes(pair) == expected
    assert (pair["prompt"], pair["id"]) == (FRUIT, "30192")


def test_arena_55k_leaves_out_and_refuses():
    several = published.arena_55k(prompt='["a", "b"]', first='["1", "2"]', second='["3", "4"]')
    silent = published.arena_55k(second="[null]")
    assert imported("arena-55k", several, silent).left_out == {
        "the two models answered different contexts": 1,
        "a question or an answer is missing": 1,
    }
    for row, field in (
        (published.arena_55k((1, 1, 0)), "winner_model_a"),
        (published.arena_55k((1.9, 0.6, 0.3)), "winner_model_a"),
        (published.arena_55k((1, 0, 0.5)), "winner_tie"),
        (published.arena_55k(prompt="Tea?"), "prompt"),
    ):
        with pytest.raises(DataError, match=f"row 1, {field}: is"):
            imported("arena-55k", row)


# -------------------------------------------------------------------------------------------------- all of them

EXAMPLES = {
    "tldr": [published.tldr()],
    "hh": [published.hh()],
    "coplan": [published.coplan(), published.coplan("curie", "Step 1: wait")],
    "ultrafeedback": [published.ultrafeedback(published.completion("a", "2222"), published.completion("b", "3333"))],
    "helpsteer2": [published.helpsteer2("a", 1), published.helpsteer2("b", 3)],
    "helpsteer2-votes": [published.helpsteer2_preference([-1, 2])],
    "helpsteer2-strength": [published.helpsteer2_preference([-1, 2])],
    "helpsteer3": [published.helpsteer3([-1, 2])],
    "helpsteer3-strength": [published.helpsteer3([-1, 2])],
    "arena": [published.arena()],
    "arena-55k": [published.arena_55k()],
}
READ_WITH = {
    "tldr": {"votes": "mean"},
    "arena": {"votes": "mean"},
    "arena-55k": {"votes": "mean"},
    "ultrafeedback": {"reward_scale": 1.0},
    "helpsteer2": {"reward_scale": 1.0},
}


@pytest.mark.parametrize("texts", [as_plain, as_messages])
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_imported_is_read(name, texts):
    """Through the reader that training uses, in both forms of text."""
    pairs = [texts(pair) for pair in imported(name, *EXAMPLES[name]).pairs]
    found = pairs_from_rows(list(enumerate(pairs, start=1)), "pairs", ReadOptions(**READ_WITH.get(name, {})))
    assert len(found) == len(pairs) > 0
    for pair in found:
        assert isinstance(pair.prompt, str) == (texts is as_plain)
        assert type(pair.chosen) is type(pair.rejected) is type(pair.prompt)


@pytest.mark.parametrize("name", SOURCES)
def test_another_format_is_an_error_with_row_and_field(name):
    with pytest.raises(DataError, match=r"rows: 1 fault\n  row 1, .*: is missing; is this the format that you named"):
        imported(name, {"question": "a", "answer": "b"})


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="holds no rows"):
        imported("hh")


def test_one_vote_each_cannot_show_how_much_people_disagree():
    """Which the reader says; the import keeps the votes as they are."""
    pairs = imported("arena", published.arena()).pairs
    with pytest.raises(OptionError, match="no pair has two votes"):
        read(pairs)
    assert [pair.soft_label for pair in read(pairs, vote_prior=1.0)] == pytest.approx([2 / 3])


def test_merging_keeps_pairs_without_votes_and_other_prompts_apart():
    plain = {"prompt": "q", "chosen": "a", "rejected": "b"}
    one = {"prompt": "q", "response_1": "a", "response_2": "b", "votes_1": 1, "votes_2": 0, "votes_tie": 0}
    assert merge_votes([plain, plain, one, {**one, "prompt": "Q"}]) == [plain, plain, one, {**one, "prompt": "Q"}]
    assert merge_votes([one, {**one, "votes_1": 0, "votes_tie": 1}]) == [{**one, "votes_tie": 1}]


# -------------------------------------------------------------------------------------------------- texts


def test_plain_text_is_a_transcript_and_the_response_begins_with_white_space():
    pair = {"prompt": published.turns("Hello", "Hi!", "Tea?"), "chosen": "Yes.", "rejected": "\nNo."}
    assert as_plain(pair) == {
        "prompt": "Human: Hello\n\nAssistant: Hi!\n\nHuman: Tea?\n\nAssistant:",
        "chosen": " Yes.",
        "rejected": "\nNo.",
    }
    assert transcript([{"role": "system", "content": "Be brief."}]) == "System: Be brief.\n\nAssistant:"


def test_messages():
    pair = {"prompt": "Post\n\nTL;DR:", "response_1": "a", "response_2": "b", "votes_1": 1}
    assert as_messages(pair) == {
        "prompt": [{"role": "user", "content": "Post\n\nTL;DR:"}],
        "response_1": [{"role": "assistant", "content": "a"}],
        "response_2": [{"role": "assistant", "content": "b"}],
        "votes_1": 1,
    }


# -------------------------------------------------------------------------------------------------- completions


def pairs_of(count):
    return [{"prompt": f"q{i}", "chosen": f"a{i}", "rejected": f"b{i}"} for i in range(count)]


@pytest.mark.parametrize(("share", "count"), [(0.5, 5), (0.25, 2), (1.0, 10), (0.01, 1)])
def test_completions_are_the_winners_of_a_share_of_the_prompts(share, count):
    found = completions(pairs_of(10), "chosen", share, seed=0)
    assert len(found) == count
    assert all(row["completion"] == row["prompt"].replace("q", "a") for row in found)
    assert found == completions(pairs_of(10), "chosen", share, seed=0)


def test_completions_of_another_seed_are_others():
    assert completions(pairs_of(50), "chosen", 0.5, 0) != completions(pairs_of(50), "chosen", 0.5, 1)


def test_all_pairs_of_a_prompt_go_together_and_a_response_stands_once():
    pairs = [{"prompt": "q", "chosen": "a", "rejected": bad} for bad in "bcd"] + [{"prompt": "q", "chosen": "e", "rejected": "b"}]
    assert completions(pairs, "chosen", 0.5, 0) == [
        {"prompt": "q", "completion": "a"},
        {"prompt": "q", "completion": "e"},
    ]
    assert [row["completion"] for row in completions(pairs, "rejected", 1, 0)] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("label", "winner"),
    [
        ({"votes_1": 2, "votes_2": 1, "votes_tie": 4}, "first"),
        ({"votes_1": 0, "votes_2": 1, "votes_tie": 0}, "second"),
        ({"votes_1": 1, "votes_2": 1, "votes_tie": 0}, None),
        ({"soft_label": 0.6}, "first"),
        ({"soft_label": 0.4}, "second"),
        ({"soft_label": 0.5}, None),
    ],
)
def test_the_winner_by_the_label(label, winner):
    pair = {"prompt": "q", "response_1": "first", "response_2": "second", **label}
    assert [row["completion"] for row in completions([pair], "chosen", 1, 0)] == ([] if winner is None else [winner])


def test_equal_ratings_have_no_winner():
    pair = {"prompt": "q", "chosen": "a", "rejected": "b", "chosen_reward": 4.0, "rejected_reward": 4.0}
    assert completions([pair], "chosen", 1, 0) == []


def test_what_is_imported_is_json():
    for name, rows in EXAMPLES.items():
        for pair in imported(name, *rows).pairs:
            assert json.loads(json.dumps(pair)) == pair
