"""Online training: what is drawn is labelled, counted and learned as the offline trainer would learn it."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from online_doubles import CountingJudge, ScriptedSampler
from processes import pretend_installed
from softpref import OnlineOptions, OnlineSoftPreferenceTrainer, SoftPreferenceConfig
from softpref.core import PairLogps, preference_loss
from softpref.data.tokenization import TokenCounts, TokenizedPair
from softpref.errors import DataError, InputError, OptionError
from softpref.generation.sampling import Response, Sampling, generate
from softpref.judges.store import JudgementStore
from softpref.run_folder import read_lines
from softpref.scoring.plain import pair_logps, response_logps
from softpref.training.on_policy import OnlinePrompt, SampledPair, draw_pairs, update_seed
from softpref.training.online import _comparison
from tiny_models import perturbed
from two_processes import run_two

A, B, C, D = (f"make tea {'for two ' * n}:" for n in range(4))
# words: 3 against 1, 1 against 2, the same text, 2 against 2
SCRIPT = {A: ["boil the water", "wait"], B: ["wait", "pour a"], C: ["serve", "serve"], D: ["a b", "b c"]}


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


@pytest.fixture
def make_online(tiny_llama, word_tokenizer, tmp_path):
    """An online trainer on the tiny model; ``online`` and keyword arguments as the trainer takes them."""

    def make(
        online=None,
        judge=None,
        prompts=(A, B, C, D),
        model=None,
        ref_model=None,
        sampler=None,
        eval_dataset=None,
        **settings,
    ):
        defaults = {
            "output_dir": str(tmp_path / "run"),
            "loss_type": "gdpo",
            "beta": 0.3,
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 4,
            "max_steps": 1,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_steps": 1,
            "lr_scheduler_type": "constant",
        }
        return OnlineSoftPreferenceTrainer(
            model if model is not None else copy.deepcopy(tiny_llama),
            SoftPreferenceConfig(**{**defaults, **settings}),
            online=online if online is not None else OnlineOptions(labels="judge", max_new_tokens=6),
            judge=judge,
            train_dataset=list(prompts),
            eval_dataset=eval_dataset,
            processing_class=word_tokenizer,
            ref_model=ref_model,
            **({} if sampler is None else {"sampler": sampler}),
        )

    return make


def first_line(trainer):
    return trainer.state.log_history[0]


def lines(trainer, kind):
    return read_lines(trainer.record.responses_file if kind == "responses" else trainer.record.labels_file)


# -------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("name", ["dpo", "cdpo", "gdpo", "ipo", "cipo", "gipo", "ropo", "gropo"])
def test_the_loss_is_that_of_the_core_on_the_judges_labels(name, make_online, tiny_llama, word_tokenizer):
    """A: 3 words against 1, p = s(2). B: 1 against 2, p = s(−1), so the sides are exchanged and p is s(1). C: the same text,
    left out. D: 2 against 2, p = ½: a tie, which hard gives weight 0 and the others count. Mean over A, B and, with a soft
    treatment, D."""
    policy, judge = perturbed(tiny_llama), CountingJudge()
    trainer = make_online(
        judge=judge,
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(tiny_llama),
        sampler=ScriptedSampler(SCRIPT),
        loss_type=name,
        beta=0.2,
    )
    trainer.train()

    def ids(text):
        return [*word_tokenizer(text)["input_ids"], word_tokenizer.eos_token_id]

    sides = [(A, "boil the water", "wait"), (B, "pour a", "wait"), (D, "a b", "b c")]
    rows = [TokenizedPair(word_tokenizer(p)["input_ids"], ids(c), ids(r), None, 1.0, 0) for p, c, r in sides]
    ours, theirs = pair_logps(policy, rows), pair_logps(tiny_llama, rows)
    pair = PairLogps(ours.chosen, ours.rejected, theirs.chosen, theirs.rejected)
    label = torch.tensor([sigmoid(2), sigmoid(1), 0.5])
    losses = preference_loss(name, pair, label, beta=0.2)
    losses = losses[:2] if name in ("dpo", "ipo", "ropo") else losses
    assert first_line(trainer)["loss"] == pytest.approx(float(losses.mean().detach()), rel=1e-4)


def test_what_a_step_says(make_online):
    """Lengths with the terminator: 4 2 · 2 3 · 2 2 · 3 3, mean 21/8. Labelled are A, B, D; their chosen sides have 4, 3, 3
    tokens, their rejected ones 2, 2, 3. Mean p is (s(2) + s(1) + ½) / 3. One pair of four is identical, none failed."""
    trainer = make_online(judge=CountingJudge(), sampler=ScriptedSampler(SCRIPT))
    trainer.train()
    line = first_line(trainer)
    assert line["soft_label"] == pytest.approx((sigmoid(2) + sigmoid(1) + 0.5) / 3, abs=1e-6)
    assert line["effective_weight"] == pytest.approx((2 * sigmoid(2) - 1 + 2 * sigmoid(1) - 1) / 3, abs=1e-6)
    assert line["response_length"] == pytest.approx(21 / 8)
    assert (line["chosen_length"], line["rejected_length"]) == (pytest.approx(10 / 3), pytest.approx(7 / 3))
    assert (line["failed_share"], line["identical_share"], line["unfinished_share"]) == (0, 0.25, 0)
    assert line["margin"] == line["kl"] == pytest.approx(0, abs=1e-5)


def test_kl_is_of_all_that_was_drawn(make_online, tiny_llama, word_tokenizer):
    """The mean of log π − log π_ref over all eight responses, those of the identical pair among them."""
    policy = perturbed(tiny_llama)
    trainer = make_online(
        judge=CountingJudge(),
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(tiny_llama),
        sampler=ScriptedSampler(SCRIPT),
        max_tokens_per_batch=16,
    )
    trainer.train()
    eos = word_tokenizer.eos_token_id
    sequences = [
        (word_tokenizer(prompt)["input_ids"], [*word_tokenizer(text)["input_ids"], eos])
        for prompt, texts in SCRIPT.items()
        for text in texts
    ]
    with torch.no_grad():
        gaps = response_logps(policy, sequences)[0] - response_logps(tiny_llama, sequences)[0]
    assert first_line(trainer)["kl"] == pytest.approx(float(gaps.mean()), rel=1e-4)
    tempered = OnlineOptions(labels="judge", max_new_tokens=6, temperature=0.7)
    other = make_online(tempered, judge=CountingJudge(), sampler=ScriptedSampler(SCRIPT))
    other.train()
    assert "kl" not in first_line(other), "samples at another temperature do not estimate it"


def test_failures_are_left_out_and_counted(make_online, tmp_path):
    """Without A's judgement the update is B's and D's: the same weights as a run that was never given A and C."""
    judge = CountingJudge(fails=lambda question: question.prompt == A and question.first == "wait")
    trainer = make_online(judge=judge, sampler=ScriptedSampler(SCRIPT), max_steps=2)
    trainer.train()
    assert first_line(trainer)["failed_share"] == 0.25
    alone = make_online(
        judge=CountingJudge(),
        prompts=(B, D),
        sampler=ScriptedSampler(SCRIPT),
        max_steps=2,
        output_dir=str(tmp_path / "alone"),
    )
    alone.train()
    ours, theirs = trainer.model.state_dict(), alone.model.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)
    failed = [line for line in lines(trainer, "labels") if line["left_out"] == "failed"]
    assert [(line["p"], line["reason"]) for line in failed] == [(None, "out of order")] * 2


def test_a_run_that_learned_from_nothing_is_an_error(make_online, tiny_llama):
    """C's two responses are the same text: weights stay, every update says so, and the run does not end as if it were done."""
    trainer = make_online(judge=CountingJudge(), prompts=(C,), sampler=ScriptedSampler(SCRIPT), max_steps=2)
    with pytest.raises(InputError, match=r"none of the \d+ pairs that were drawn had a label, .* two responses were identical"):
        trainer.train()
    before = tiny_llama.state_dict()
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
    assert first_line(trainer)["identical_share"] == 1
    assert "margin" not in first_line(trainer)


def test_a_judge_that_is_gone_stops_the_run_within_a_handful(make_online):
    judge = CountingJudge(fails=lambda _: True)
    trainer = make_online(judge=judge, sampler=ScriptedSampler(SCRIPT), max_steps=50)
    with pytest.raises(InputError, match=r"the first 6 judgements failed \(out of order\)"):
        trainer.train()
    assert len(judge.asked) == 6
    assert trainer.state.global_step == 0


# -------------------------------------------------------------------------------------------------- on-policy


def test_responses_come_from_the_weights_of_the_moment(make_online):
    """Every update draws once, from weights that the update before has moved, with a seed of its own."""
    sampler = ScriptedSampler(SCRIPT)
    trainer = make_online(judge=CountingJudge(), sampler=sampler, max_steps=3)
    name = "model.embed_tokens.weight"
    trainer.train()
    assert len(sampler.seen) == 3
    assert not torch.equal(sampler.seen[0][name], sampler.seen[1][name])
    assert not torch.equal(sampler.seen[1][name], sampler.seen[2][name])
    assert not torch.equal(sampler.seen[2][name], trainer.model.state_dict()[name])
    assert sampler.seeds == [update_seed(trainer.args.seed, step, 0) for step in range(3)]
    assert len(set(sampler.seeds)) == 3


def test_what_is_drawn_is_what_the_model_gives(make_online, tiny_llama, word_tokenizer):
    """The record of the first update holds what ``generate`` draws from the start's weights, at the update's seed."""
    trainer = make_online(judge=CountingJudge(), prompts=(A, B))
    trainer.train()
    sampling = Sampling(1.0, 1.0, 2, 6, 32, update_seed(trainer.args.seed, 0, 0))
    order = [line["prompt"] for line in lines(trainer, "responses")]
    prompts = [next(one for one in trainer.train_dataset if one.prompt == text) for text in order]
    pairs = draw_pairs(generate, tiny_llama, word_tokenizer, prompts, sampling)
    expected = [[pair.first.tokens, pair.second.tokens] for pair in pairs]
    assert [[one["tokens"] for one in line["responses"]] for line in lines(trainer, "responses")] == expected


def test_accumulated_batches_are_one_draw_and_one_update(make_online):
    """4 × 1 and 2 × 2 prompts learn the same."""
    runs = [
        make_online(judge=CountingJudge(), sampler=ScriptedSampler(SCRIPT), max_steps=2, **sizes)
        for sizes in (
            {"per_device_train_batch_size": 4},
            {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        )
    ]
    for run in runs:
        run.train()
    assert len(runs[1].sampler.seen) == 2
    one, other = (run.model.state_dict() for run in runs)
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_everything_is_on_disk_before_it_is_trained_on(make_online, monkeypatch):
    """At the moment of the loss the record holds both responses and every label, and the store the judge's answers."""
    trainer = make_online(judge=CountingJudge(), sampler=ScriptedSampler(SCRIPT))
    seen = []
    compute_loss = trainer.compute_loss

    def look(*args, **kwargs):
        seen.append((len(lines(trainer, "responses")), len(lines(trainer, "labels"))))
        return compute_loss(*args, **kwargs)

    monkeypatch.setattr(trainer, "compute_loss", look)
    trainer.train()
    assert seen == [(4, 4)]
    labels = {line["row"]: (line["p"], line["left_out"]) for line in lines(trainer, "labels")}
    assert labels == {
        1: (pytest.approx(sigmoid(2)), None),
        2: (pytest.approx(sigmoid(-1)), None),
        3: (None, "identical"),
        4: (0.5, None),
    }
    with JudgementStore(trainer._online_folder / "judgements.sqlite") as store:
        assert store.judges() == {"counting": 6}


def test_a_failed_write_trains_on_nothing(make_online, tiny_llama, monkeypatch):
    """The judge dies in the middle: the responses are there, and the weights are as before."""

    def broken(questions):
        raise ConnectionError("gone")

    judge = CountingJudge()
    monkeypatch.setattr(judge, "answer", broken)
    trainer = make_online(judge=judge, sampler=ScriptedSampler(SCRIPT))
    with pytest.raises(ConnectionError):
        trainer.train()
    assert len(lines(trainer, "responses")) == 4
    assert lines(trainer, "labels") == []
    assert all(torch.equal(tiny_llama.state_dict()[name], value) for name, value in trainer.model.state_dict().items())


# -------------------------------------------------------------------------------------------------- going on


def test_a_resumed_run_ends_like_an_unbroken_one(make_online, tmp_path):
    """Four updates at once, or two, a checkpoint, and two more by a new trainer: the same responses and the same weights,
    and the judge is asked nothing that it has answered."""
    whole = make_online(judge=CountingJudge(), max_steps=4, output_dir=str(tmp_path / "whole"))
    whole.train()
    saving = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "output_dir": str(tmp_path / "broken")}
    first = make_online(judge=CountingJudge(), **saving)
    first.train()
    late = [line for line in lines(first, "responses") if line["step"] >= 2]
    judge = CountingJudge()
    second = make_online(judge=judge, **saving)
    second.train(resume_from_checkpoint=str(tmp_path / "broken" / "checkpoint-2"))
    assert lines(second, "responses") == lines(whole, "responses")
    assert lines(second, "labels") == lines(whole, "labels")
    assert [line for line in lines(second, "responses") if line["step"] >= 2] == late
    assert judge.asked == []
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"online": OnlineOptions(labels="judge", max_new_tokens=5)}, "another max_new_tokens: 6, not 5"),
        ({"prompts": (A, B)}, "another prompts"),
    ],
)
def test_another_run_is_not_gone_on_with(change, message, make_online, tmp_path):
    make_online(judge=CountingJudge(), save_strategy="steps", save_steps=1).train()
    with pytest.raises(OptionError, match=message):
        make_online(judge=CountingJudge(), max_steps=2, **change).train(resume_from_checkpoint=True)


# -------------------------------------------------------------------------------------------------- self-preference


SELF = OnlineOptions(labels="self", max_new_tokens=6)


def test_self_preference_has_no_gradient_through_p(make_online, tiny_llama, word_tokenizer):
    """One plain SGD step is −lr · ∇ of the loss with p held fixed, and not of the loss in which p = s(βh) is a function."""
    policy = perturbed(tiny_llama)
    trainer = make_online(
        SELF,
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(tiny_llama),
        prompts=(A, B),
        sampler=ScriptedSampler(SCRIPT),
        optim="sgd",
        learning_rate=0.5,
        max_grad_norm=0.0,
    )
    rows = _rows(word_tokenizer, (A, B))
    trainer.train()
    moved = trainer.model.state_dict()

    def stepped(detach):
        model = copy.deepcopy(policy)
        ours = pair_logps(model, rows)
        with torch.no_grad():
            theirs = pair_logps(tiny_llama, rows)
        pair = PairLogps(ours.chosen, ours.rejected, theirs.chosen, theirs.rejected)
        p = torch.sigmoid(0.3 * pair.margin)
        preference_loss("gdpo", pair, p.detach() if detach else p, beta=0.3).mean().backward()
        return {name: value - 0.5 * value.grad for name, value in model.named_parameters()}

    right, wrong = stepped(detach=True), stepped(detach=False)
    assert all(torch.allclose(right[name], moved[name].float(), atol=1e-5) for name in right)
    assert not all(torch.allclose(wrong[name], moved[name].float(), atol=1e-5) for name in wrong)


def _rows(tokenizer, prompts):
    def ids(text):
        return [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]

    return [TokenizedPair(tokenizer(p)["input_ids"], *map(ids, SCRIPT[p]), None, 1.0, 0) for p in prompts]


def test_self_preference_is_that_of_the_margin(make_online, tiny_llama, word_tokenizer):
    """p = s(0.7 · h) with a beta of its own, read from the record."""
    policy = perturbed(tiny_llama)
    options = OnlineOptions(labels="self", self_beta=0.7, max_new_tokens=6)
    trainer = make_online(
        options,
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(tiny_llama),
        prompts=(A, B),
        sampler=ScriptedSampler(SCRIPT),
    )
    trainer.train()
    rows = _rows(word_tokenizer, (A, B))
    ours, theirs = pair_logps(policy, rows), pair_logps(tiny_llama, rows)
    h = (ours.chosen - theirs.chosen) - (ours.rejected - theirs.rejected)
    found = {line["row"]: line["p"] for line in lines(trainer, "labels")}
    assert [found[1], found[2]] == pytest.approx(torch.sigmoid(0.7 * h).tolist(), abs=1e-5)


@pytest.mark.parametrize("name", ["dpo", "cipo", "gdpo", "gipo", "gropo"])
def test_self_preference_from_the_reference_itself_is_refused(name, make_online):
    """p = ½ for every pair, for ever (arXiv 2409.06691, online experiments): geometric methods never move."""
    with pytest.raises(OptionError, match="the policy is its own reference"):
        make_online(SELF, loss_type=name)


def test_conservative_self_preference_needs_another_beta(make_online, tiny_llama):
    """p − s(βh) = 0 with the same beta, whatever h is: no gradient, wherever the run starts."""
    start = {"model": perturbed(tiny_llama), "ref_model": copy.deepcopy(tiny_llama)}
    for same in (SELF, OnlineOptions(labels="self", self_beta=0.3)):
        with pytest.raises(OptionError, match="at the same beta"):
            make_online(same, loss_type="cdpo", **start)
    other = OnlineOptions(labels="self", self_beta=0.6, max_new_tokens=6)
    trainer = make_online(other, loss_type="cdpo", sampler=ScriptedSampler(SCRIPT), prompts=(A, B), **start)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    assert any(not torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())


# -------------------------------------------------------------------------------------------------- what is refused


def vllm(**engine_options):
    return OnlineOptions(labels="judge", engine="vllm", engine_options=engine_options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precompute_ref_log_probs": True}, "precompute_ref_log_probs is on"),
        ({"reference_cache": "somewhere"}, "reference_cache has no effect online"),
        ({"truncation": "keep"}, "truncation has no effect online"),
        ({"boundary": "drop"}, "boundary has no effect online"),
        ({"loss_type": "sft", "beta": None}, "sft compares no responses"),
        ({"judge": None}, "give the judge"),
        ({"online": SELF}, "a judge has no effect"),
        ({"online": OnlineOptions()}, "online.labels is not given"),
        (
            {"online": vllm, "sampler": ScriptedSampler({})},
            "online.engine vllm has no effect with a sampler of your own",
        ),
        ({"online": lambda: vllm(tensor_parallel_size=2)}, "tensor_parallel_size wants more processes"),
    ],
)
def test_options_that_online_training_would_ignore_are_refused(settings, message, make_online, monkeypatch):
    pretend_installed(monkeypatch, "vllm")
    if callable(settings.get("online")):
        settings = {**settings, "online": settings["online"]()}
    with pytest.raises(OptionError, match=message):
        make_online(**{"judge": CountingJudge(), **settings})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "juge"}, "did you mean 'judge'"),
        ({"temperature": 0.5}, "no effect without online.labels"),
        ({"labels": "judge", "temperature": 0}, "temperature is 0"),
        ({"labels": "judge", "top_p": 1.5}, "top_p is 1.5"),
        ({"labels": "judge", "self_beta": 0.1}, "no effect with labels from a judge"),
        ({"labels": "self", "self_beta": -1}, "self_beta is -1"),
        ({"labels": "judge", "max_new_tokens": 0}, "max_new_tokens is 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        OnlineOptions(**options)


def test_prompts_that_leave_no_room_are_dropped_and_counted(make_online):
    """A has 3 tokens and D 9: 10 tokens leave room for six new ones after A alone."""
    trainer = make_online(judge=CountingJudge(), prompts=(A, D), max_length=10)
    assert trainer.train_dataset.counts == TokenCounts(kept=1, too_long=1)
    with pytest.raises(InputError, match="no prompt is left: all 1"):
        make_online(judge=CountingJudge(), prompts=(D,), max_length=10)


def test_labels_in_the_data_are_not_passed_over_in_silence(make_online):
    row = {"prompt": A, "chosen": "a", "rejected": "b", "soft_label": 0.7, "source": "x"}
    with pytest.raises(DataError) as caught:
        make_online(judge=CountingJudge(), prompts=(row,))
    assert [fault.field for fault in caught.value.faults] == ["chosen", "rejected", "soft_label"]


def test_messages_are_judged_as_messages():
    """A prompt of messages goes to the judge with the answer as the assistant's message, and text stays text."""
    first, second = Response(0, 0, "a", [1], True), Response(0, 1, "b", [2], True)
    messages = _comparison(7, SampledPair(OnlinePrompt([{"role": "user", "content": "tea ?"}], [1], 1), first, second))
    assert (messages.id, messages.response_1) == ("7", [{"role": "assistant", "content": "a"}])
    assert _comparison(0, SampledPair(OnlinePrompt(A, [1], 1), first, second)).response_2 == "b"


def test_evaluation_is_on_labelled_pairs(make_online, rows, tiny_llama):
    """Σ wℓ / Σ w over the labelled pairs, of the policy that the last update left."""
    reference = copy.deepcopy(tiny_llama)
    trainer = make_online(
        judge=CountingJudge(), sampler=ScriptedSampler(SCRIPT), eval_dataset=rows, eval_strategy="steps", eval_steps=1
    )
    trainer.train()
    line = [line for line in trainer.state.log_history if "eval_loss" in line][-1]
    tokens = list(trainer.eval_dataset)
    with torch.no_grad():
        ours, theirs = pair_logps(trainer.model, tokens), pair_logps(reference, tokens)
    pair = PairLogps(ours.chosen, ours.rejected, theirs.chosen, theirs.rejected)
    label, weight = (torch.tensor([row[name] for row in rows]) for name in ("soft_label", "weight"))
    losses = preference_loss(trainer.args.loss_type, pair, label, beta=trainer.args.beta)
    assert line["eval_loss"] == pytest.approx(float((losses * weight).sum() / weight.sum()), rel=1e-5)


# -------------------------------------------------------------------------------------------------- two processes

TWO_PROCESSES = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
from softpref import OnlineOptions, OnlineSoftPreferenceTrainer, SoftPreferenceConfig
folder, out, script = sys.argv[1:]
from online_doubles import CountingJudge, ScriptedSampler
script = json.loads(script)
settings = SoftPreferenceConfig(
    output_dir=out, loss_type="gdpo", beta=0.3, learning_rate=1e-2, per_device_train_batch_size=2, max_steps=2,
    report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1, lr_scheduler_type="constant",
)
trainer = OnlineSoftPreferenceTrainer(
    AutoModelForCausalLM.from_pretrained(folder), settings, online=OnlineOptions(labels="judge", max_new_tokens=6),
    judge=CountingJudge(), train_dataset=list(script), processing_class=AutoTokenizer.from_pretrained(folder),
    sampler=ScriptedSampler(script),
)
trainer.train()
trainer.save_model(out)
if trainer.is_world_process_zero():
    open(out + "/log.json", "w").write(json.dumps(trainer.state.log_history))
"""


def test_two_processes_change_nothing(make_online, tiny_llama, word_tokenizer, tmp_path):
    """Two ranks of two prompts are one of four. Of three prompts the loader repeats one, which must not be drawn for; a rank
    whose pairs are all identical still waits for the other."""
    script = {A: SCRIPT[A], C: SCRIPT[C], D: SCRIPT[C]}
    folder, out = tmp_path / "model", tmp_path / "together"
    tiny_llama.save_pretrained(folder)
    word_tokenizer.save_pretrained(folder)
    run_two(tmp_path, TWO_PROCESSES, folder, out, json.dumps(script))
    alone = make_online(judge=CountingJudge(), prompts=script, sampler=ScriptedSampler(script), max_steps=2)
    alone.train()
    together = AutoModelForCausalLM.from_pretrained(out).state_dict()
    ours = alone.model.state_dict()
    assert all(torch.allclose(ours[name], together[name], atol=2e-5) for name in ours)
    log = json.loads((out / "log.json").read_text())
    for name in ("loss", "soft_label", "identical_share", "kl", "response_length", "chosen_length"):
        assert log[1][name] == pytest.approx(alone.state.log_history[1][name], rel=1e-3, abs=1e-6), name
    drawn = [read_lines(out / "online" / f"responses-{rank}.jsonl") for rank in (0, 1)]
    assert sorted(line["row"] for lines in drawn for line in lines) == [1, 1, 2, 2, 3, 3]
