"""Log-ratios of samples against a direct computation and the exact KL; both sides of pairs by label bin, by hand."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from run_folders import evaluation, run_record
from softpref.data import batching
from softpref.data.formats import write_rows
from softpref.data.pairs import PreferencePair
from softpref.data.tokenization import PromptEncoder
from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError
from softpref.evaluation.classification import SideScores
from softpref.evaluation.over_optimisation import (
    COLLAPSE,
    by_bin,
    collapse_warning,
    over_optimisation,
    sample_log_ratios,
)
from softpref.generation.sampling import Response, Sampling, generate
from softpref.records.evaluation import EvaluationRecord, OverOptimisationRecord, RatioBin, RatioStep, SampledKL
from softpref.records.figures import Interval
from softpref.records.run import FrontierPoint, FrontierRecord

PROMPTS = ["make tea for two :", "wait", "boil the water . add tea :"]


@pytest.fixture(scope="module")
def models(word_tokenizer):
    """Two models that differ enough to see."""
    made = [small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64, seed=seed) for seed in (0, 1)]
    with torch.no_grad():
        for model in made:
            model.model.embed_tokens.weight.mul_(4)
    return [model.eval() for model in made]


@pytest.fixture(scope="module")
def folders(models, word_tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [str(save(model, word_tokenizer, root / name)) for model, name in zip(models, ("policy", "sft"), strict=True)]


@torch.no_grad()
def log_prob(model, tokenizer, prompt, tokens):
    """Σ log softmax in float64, one sequence alone."""
    ids = PromptEncoder(tokenizer).prompt(prompt)
    logps = model(input_ids=torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
    return sum(float(logps[len(ids) + i - 1, token]) for i, token in enumerate(tokens))


def test_log_ratios_equal_a_direct_computation(models, folders, word_tokenizer, monkeypatch):
    """Responses of 1 to 12 tokens, ended or not, more than one batch of them, in an order of their own."""
    monkeypatch.setattr(batching, "CPU_TOKENS", 100)
    rng = np.random.default_rng(0)
    responses = [
        Response(int(rng.integers(3)), i, "", rng.integers(3, 27, rng.integers(1, 12)).tolist() + [1] * (i % 2), bool(i % 2))
        for i in range(70)
    ]
    expected = [
        log_prob(models[0], word_tokenizer, PROMPTS[r.prompt], r.tokens)
        - log_prob(models[1], word_tokenizer, PROMPTS[r.prompt], r.tokens)
        for r in responses
    ]
    found = sample_log_ratios(*folders, PROMPTS, responses)
    assert np.std(expected) > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_model_is_no_distance_from_itself(folders):
    responses = [Response(0, 0, "", [5, 6, 7, 1], True), Response(1, 0, "", [8], False)]
    assert sample_log_ratios(folders[0], folders[0], PROMPTS, responses).tolist() == [0.0, 0.0]


def test_their_mean_over_samples_is_the_kl(models, folders, word_tokenizer):
    """One token of one prompt: KL = Σ p log(p/q) exactly; 3000 samples come within 4 standard errors."""
    n = 3000
    sampling = Sampling(1.0, samples=n, max_new_tokens=1, batch_size=n)
    [drawn] = generate(models[0], word_tokenizer, PROMPTS[:1], sampling)
    ratios = sample_log_ratios(*folders, PROMPTS[:1], drawn)
    ids = torch.tensor([PromptEncoder(word_tokenizer).prompt(PROMPTS[0])])
    with torch.no_grad():
        p, q = (model(input_ids=ids).logits[0, -1].double().log_softmax(-1) for model in models)
    kl = float((p.exp() * (p - q)).sum())
    assert kl > 0.1
    assert ratios.mean() == pytest.approx(kl, abs=4 * ratios.std() / math.sqrt(n))


# -------------------------------------------------------------------------------------------------- by label bin


def scores(logps, lengths):
    return SideScores(np.array(logps, dtype=float), np.array(lengths, dtype=float))


def test_bins_by_hand():
    """Reference −10 and −12 throughout. Two sure pairs: chosen −8 and −11 (+2, −1), rejected −20 and −16 (−8, −4): means 0.5
    and −6, gap 6.5; per token 2/4 and −1/2. One unsure pair: chosen −13, rejected −13: −3 and −1, gap −2."""
    pairs = [PreferencePair("p", "a", "b", p) for p in (0.95, 1.0, 0.55)]
    policy = scores([[-8, -20], [-11, -16], [-13, -13]], [[4, 4], [2, 4], [3, 3]])
    reference = scores([[-10, -12]] * 3, [[4, 4], [2, 4], [3, 3]])
    unsure, *empty, sure = by_bin(policy, reference, pairs)
    names = ("count", "chosen_logratio", "rejected_logratio", "margin", "chosen_logratio_per_token")
    assert [getattr(sure, name) for name in names] == [2, 0.5, -6.0, 6.5, 0.0]
    assert [getattr(unsure, name) for name in names] == [1, -3.0, -1.0, -2.0, -1.0]
    assert all([getattr(row, name) for name in names] == [0, None, None, None, None] for row in empty)


def bins(*per_token, counts=None):
    counts = [*(counts or [100] * len(per_token)), *[0] * 5]
    values = [*per_token, *[None] * 5]
    return [RatioBin(0.5 + i / 10, 0.6 + i / 10, counts[i], chosen_logratio_per_token=values[i]) for i in range(5)]


def test_a_collapse_is_said_plainly():
    warning = collapse_warning(bins(-0.9, -0.8, -0.6))
    assert warning.startswith("the chosen responses have collapsed: their log-prob fell by 0.77 nats per token")
    assert "larger beta" in warning


def test_a_collapse_of_one_bin_names_it():
    assert "collapsed where the label lies in 0.5 to 0.6: their log-prob fell by 0.60" in collapse_warning(bins(-0.6, 0.2))


def test_what_is_no_collapse_is_not_called_one():
    """At the threshold itself, and where fewer than one pair in a hundred has fallen."""
    assert collapse_warning(bins(-COLLAPSE, -COLLAPSE)) is None
    assert collapse_warning(bins(-5.0, 0.1, counts=[1, 1000])) is None
    assert collapse_warning(bins(0.3)) is None


# -------------------------------------------------------------------------------------------------- a run


@pytest.fixture
def run(folders, tmp_path):
    """The policy's folder as a run with a log, a checkpoint, a frontier and a sampled evaluation."""
    made = tmp_path / "run"
    shutil.copytree(folders[0], made)
    shutil.copytree(folders[1], made / "checkpoint-5")
    shutil.copytree(folders[0], made / "checkpoint-10")
    rows = [{"prompt": "wait", "response_1": " yes", "response_2": " no", "soft_label": p} for p in (0.9, 0.2, 0.6)]
    write_rows(tmp_path / "pairs.jsonl", rows)
    run_record(reference="abc", data={"file": str(tmp_path / "pairs.jsonl")}, model={"start": folders[1]}).write(
        made / "run.json"
    )
    log = [{"step": 5, "loss": 0.6, "margin": 1.0, "chosen_logratio": 0.4, "rejected_logratio": -0.6},
           {"step": 5, "eval_loss": 0.6, "eval_margin": 1.0},
           {"step": 10, "loss": 0.5, "margin": 2.0, "chosen_logratio": -0.4, "rejected_logratio": -2.4},
           {"step": 10, "train_runtime": 3.0}]  # fmt: skip
    write_rows(made / "metrics.jsonl", log)
    points = [FrontierPoint(0, 0.0, 0.5, None, None), FrontierPoint(10, 1.5, 0.6, None, None)]
    FrontierRecord(reward="gold", points=points).write(made / "frontier.json")
    for name, against, kl in (("other", "elsewhere", Interval(9.0)), ("sampled", folders[1], Interval(1.4, 1.0, 1.8, 4, 2))):
        record = EvaluationRecord.from_dict(evaluation(models=[str(made), against]), name)
        replace(record, kl=kl).write(made / "evaluations" / name / "evaluation.json")
    return made


def test_a_run_over_training_and_at_its_end(run, folders, tmp_path):
    found = over_optimisation(run, checkpoints=True)
    assert OverOptimisationRecord.read(run / "over_optimisation.json").as_dict() == found.as_dict()
    assert (found.reference, found.pairs) == (folders[1], 3)
    assert found.warning == collapse_warning(found.by_bin)
    assert found.over_training == [
        RatioStep(5, 0.4, -0.6, 1.0),
        RatioStep(10, -0.4, -2.4, 2.0, 1.5),
    ]
    assert found.kl == SampledKL(1.4, 1.0, 1.8, 4, 2, "sampled")
    first, last = found.checkpoints
    assert (first.step, last.step) == (5, 10)
    assert last.by_bin == found.by_bin
    # the first checkpoint holds the reference's own weights
    assert [row.margin for row in first.by_bin if row.count] == [0.0, 0.0, 0.0]


def test_the_preferred_side_is_the_chosen_one(run, folders, word_tokenizer, models):
    """p = 0.2 prefers the second response, which is the first one of the other two pairs exchanged."""
    found = over_optimisation(run).by_bin
    yes, no = (PromptEncoder(word_tokenizer).split("wait", text, "chosen")[1] for text in (" yes", " no"))
    ratio = {
        text: log_prob(models[0], word_tokenizer, "wait", ids) - log_prob(models[1], word_tokenizer, "wait", ids)
        for text, ids in (("yes", yes), ("no", no))
    }
    assert found[4].chosen_logratio == pytest.approx(ratio["yes"], abs=1e-4)
    assert found[3].chosen_logratio == pytest.approx(ratio["no"], abs=1e-4)
    assert found[3].rejected_logratio == pytest.approx(ratio["yes"], abs=1e-4)


def test_other_data_and_another_place(run, tmp_path):
    write_rows(tmp_path / "else.jsonl", [{"prompt": "wait", "chosen": " no", "rejected": " yes", "soft_label": 1.0}])
    found = over_optimisation(run, tmp_path / "else.jsonl", output=tmp_path / "out")
    assert (found.pairs, found.data) == (1, str(tmp_path / "else.jsonl"))
    assert not (run / "over_optimisation.json").exists()
    assert (tmp_path / "out" / "over_optimisation.json").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": {"base": "sft"}}, "was trained by sft, which compares nothing"),
        ({"data": {"file": "/gone.jsonl"}}, "/gone.jsonl: no such file; give the labelled pairs"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(run, change, message):
    run_record(**change).write(run / "run.json")
    with pytest.raises(InputError, match=message):
        over_optimisation(run)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        over_optimisation(tmp_path)
