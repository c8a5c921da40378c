"""The same numbers as TRL: its own DPOTrainer computes the loss, the log-probs and the gradient, and ours agree.

The models are float64, so that no processor's float32 kernels (AMX, AVX-512, AVX2) decide. TRL's head alone rounds to float32.

Ours start from the text again: ids joined here, plain ``log_softmax`` over whole sequences, ``preference_loss``.
"""

import copy
import warnings

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

trl = pytest.importorskip("trl")

from datasets import Dataset  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that trl.experimental is experimental
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from softpref.core import Extras, PairLogps, preference_loss  # noqa: E402

# TRL 1.16 itself uses transformers' old names for activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore:`\\w*gradient_checkpointing\\w*` is deprecated:FutureWarning")

END = "</s>"
SPECIAL = {"pad_token": "<pad>", "eos_token": END, "unk_token": "<unk>"}
SENTENCES = "how are you today where is the cat fine thanks not so well it sleeps on a warm mat away"
WORDS = [*SPECIAL.values(), *SENTENCES.split()]
ROWS = [
    {"prompt": "how are you today", "chosen": " fine thanks", "rejected": " not so well today thanks"},
    {"prompt": "where is the cat", "chosen": " it sleeps on a warm mat", "rejected": " away"},
    {"prompt": "where is the cat", "chosen": " away", "rejected": " it sleeps on a warm mat"},
    {"prompt": "you", "chosen": " not", "rejected": " so"},
]
BETA = 0.7
# TRL computes log-probs in float32, unit roundoff u = 2⁻²⁴: dot products of 16 terms, a log-sum-exp of 23, sums of 8 tokens,
# four such sums in a margin. 512 u covers 16 + 23 + 8 roundings in each of them, relative to the largest value of the tensor.
ROUNDING = 512 * 2**-24


def assert_equal_but_for_rounding(actual, expected):
    """Norm-wise: entries near 0 are sums of terms as large as the tensor's largest."""
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=ROUNDING * max(1.0, expected.abs().max().item()))


# TRL's arguments -> our name and options. Its IPO divides by the number of response tokens; its AOT, of a batch, is not here.
LOSSES = {
    "sigmoid": ({}, "sigmoid", {}),
    "hinge": ({}, "hinge", {}),
    "ipo": ({}, "ipo", {"reduction": "mean"}),
    "exo_pair": ({"label_smoothing": 0.01}, "exo_pair", {"epsilon": 0.01}),
    "nca_pair": ({}, "nca_pair", {}),
    "robust": ({"label_smoothing": 0.2}, "robust", {"epsilon": 0.2}),
    "bco_pair": ({}, "bco_pair", {}),
    "sppo_hard": ({}, "sppo_hard", {}),
    "apo_zero": ({}, "apo_zero", {}),
    "apo_down": ({}, "apo_down", {}),
    "discopop": ({"discopop_tau": 0.5}, "discopop", {"tau": 0.5}),
    "sigmoid_norm": ({}, "sigmoid_norm", {}),
    "forward_kl": ({"loss_type": "sigmoid", "f_divergence_type": "forward_kl"}, "fdpo_forward_kl", {}),
    "js_divergence": ({"loss_type": "sigmoid", "f_divergence_type": "js_divergence"}, "fdpo_js", {}),
    "alpha_divergence": (
        {"loss_type": "sigmoid", "f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.3},
        "fdpo_alpha",
        {"alpha": 0.3},
    ),
}


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, SPECIAL["unk_token"]))
    vocabulary.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=vocabulary, **SPECIAL)


@pytest.fixture(scope="module")
def models():
    """A tiny random GPT-2 in float64 as reference and, as policy, the same with every weight moved by noise.

    A GPT-2, since the RMSNorm and rope of a Llama fall back to float32.
    """
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(WORDS),
        n_embd=16,
        n_inner=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=WORDS.index(END),
        pad_token_id=0,
    )
    reference = GPT2LMHeadModel(config).double().eval()
    policy = copy.deepcopy(reference)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(0.5 * torch.randn_like(weight))
    return policy, reference


@pytest.fixture(scope="module")
def make_trainer(tokenizer, models, tmp_path_factory):
    def make(name):
        settings, _, _ = LOSSES[name]
        policy, reference = (copy.deepcopy(model) for model in models)
        arguments = trl.DPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")),
            **{"loss_type": name, **settings},
            beta=BETA,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            max_length=None,
        )
        return trl.DPOTrainer(
            policy, reference, args=arguments, train_dataset=Dataset.from_list(ROWS), processing_class=tokenizer
        )

    return make


def response_logps(model, tokenizer, prompt, response):
    """Sum of log-probs of the response's tokens with its end token, and their number; one row, no padding."""
    prompt_ids = tokenizer(prompt)["input_ids"]
    response_ids = [*tokenizer(response)["input_ids"], tokenizer.eos_token_id]
    ids = torch.tensor([prompt_ids + response_ids])
    logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    per_token = logps.gather(-1, ids[0, 1:, None])[:, 0]
    return per_token[len(prompt_ids) - 1 :].sum(), float(len(response_ids))


def our_pair(policy, reference, tokenizer, rows):
    columns = [
        [response_logps(model, tokenizer, row["prompt"], row[side]) for row in rows]
        for model in (policy, reference)
        for side in ("chosen", "rejected")
    ]
    sums = [torch.stack([total for total, _ in column]) for column in columns]
    lengths = [torch.tensor([length for _, length in column]) for column in columns[:2]]
    return PairLogps(sums[0], sums[1], sums[2].detach(), sums[3].detach(), *lengths)


def batch_of(trainer, rows):
    """The rows as TRL's own data set and collator hand them to its trainer."""
    return trainer.data_collator([trainer.train_dataset[i] for i in rows])


def logged(trainer, key):
    mode = "train" if trainer.model.training else "eval"
    return trainer._metrics[mode][key][-1]


@pytest.mark.parametrize("name", LOSSES)
def test_each_pair_s_loss_and_log_probs_are_trl_s(name, make_trainer, models, tokenizer):
    """Batches of one row, so that TRL's mean over the batch is the row's loss and its logged log-probs are the row's."""
    trainer = make_trainer(name)
    _, loss_type, options = LOSSES[name]
    with torch.no_grad():
        pair = our_pair(*models, tokenizer, ROWS)
        ours = preference_loss(loss_type, pair, beta=BETA, **options)
    for row in range(len(ROWS)):
        with torch.no_grad():
            theirs = trainer.compute_loss(trainer.model, batch_of(trainer, [row]))
        assert_equal_but_for_rounding(theirs, ours[row])
        assert logged(trainer, "logps/chosen") == pytest.approx(pair.chosen[row].item(), rel=ROUNDING, abs=ROUNDING)
        assert logged(trainer, "logps/rejected") == pytest.approx(pair.rejected[row].item(), rel=ROUNDING, abs=ROUNDING)
        assert logged(trainer, "rewards/margins") == pytest.approx(BETA * pair.margin[row].item(), rel=ROUNDING, abs=ROUNDING)


def test_the_reference_s_log_probs_are_trl_s(make_trainer, models, tokenizer):
    """All rows at once, padded by TRL's collator."""
    trainer = make_trainer("sigmoid")
    chosen, rejected = trainer.compute_ref_log_probs(trainer.ref_model, batch_of(trainer, range(len(ROWS))))
    pair = our_pair(*models, tokenizer, ROWS)
    assert_equal_but_for_rounding(chosen, pair.ref_chosen)
    assert_equal_but_for_rounding(rejected, pair.ref_rejected)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_s_gradient_is_trl_s(name, make_trainer, models, tokenizer):
    """The mean over four padded pairs, through every weight of the policy."""
    trainer = make_trainer(name)
    _, loss_type, options = LOSSES[name]
    theirs = trainer.compute_loss(trainer.model, batch_of(trainer, range(len(ROWS))))
    theirs.backward()
    policy = copy.deepcopy(models[0])
    pair = our_pair(policy, models[1], tokenizer, ROWS)
    ours = preference_loss(loss_type, pair, beta=BETA, **options).mean()
    ours.backward()
    assert_equal_but_for_rounding(theirs, ours)
    slopes = {name: weight.grad for name, weight in policy.named_parameters()}
    for name, weight in trainer.model.named_parameters():
        assert_equal_but_for_rounding(weight.grad, slopes[name])
    assert max(slope.abs().max().item() for slope in slopes.values()) > 0.01


def test_the_example_can_tell_the_losses_apart(models, tokenizer):
    """Margins of both signs, on both sides of hinge's corner, from responses of unequal length."""
    pair = our_pair(*models, tokenizer, ROWS)
    assert pair.chosen_length.tolist() == [3, 7, 2, 2]
    assert pair.rejected_length.tolist() == [6, 2, 7, 2]
    assert pair.margin.min() < -0.1
    assert pair.margin.max() > 1 / BETA + 0.1


# -------------------------------------------------------------------------------------------------- CPOTrainer and ORPOTrainer

NO_NLL = Extras(sft_weight=0.0)
# name -> TRL's trainer and arguments, our name and options
UNREFERENCED = {
    "cpo": (CPOTrainer, CPOConfig, {"loss_type": "sigmoid", "cpo_alpha": 0.0}, "cpo", {"extras": NO_NLL}),
    "simpo": (CPOTrainer, CPOConfig, {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": 0.4}, "simpo", {"gamma": 0.4}),
    "alphapo": (
        CPOTrainer,
        CPOConfig,
        {"loss_type": "alphapo", "alpha": 0.2, "simpo_gamma": 0.4},
        "alphapo",
        {"alpha": 0.2, "gamma": 0.4},
    ),
    "orpo": (ORPOTrainer, ORPOConfig, {}, "orpo", {"extras": NO_NLL}),
}


@pytest.fixture
def make_unreferenced(models, tokenizer, tmp_path):
    def make(name):
        trainer, config, settings, _, _ = UNREFERENCED[name]
        arguments = config(
            output_dir=str(tmp_path),
            beta=BETA,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            max_length=64,
            **settings,
        )
        policy = copy.deepcopy(models[0])
        return trainer(policy, args=arguments, train_dataset=Dataset.from_list(ROWS), processing_class=tokenizer)

    return make


def pair_s_part(trainer, rows):
    """TRL's loss on its own batch, without the NLL, which for ORPO is over the prompt too."""
    batch = trainer.data_collator([trainer.train_dataset[i] for i in rows])
    loss, _ = trainer.get_batch_loss_metrics(trainer.model, batch)
    if isinstance(trainer, ORPOTrainer):
        chosen, rejected, *_ = trainer.concatenated_forward(trainer.model, batch)
        return -trainer.odds_ratio_loss(chosen, rejected)[0].mean()
    return loss


@pytest.mark.parametrize("name", UNREFERENCED)
def test_each_pair_s_loss_without_a_reference_is_trl_s(name, make_unreferenced, models, tokenizer):
    trainer = make_unreferenced(name)
    *_, loss_type, options = UNREFERENCED[name]
    with torch.no_grad():
        ours = preference_loss(loss_type, our_pair(*models, tokenizer, ROWS), beta=BETA, **options)
        for row in range(len(ROWS)):
            assert_equal_but_for_rounding(pair_s_part(trainer, [row]), ours[row])


@pytest.mark.parametrize("name", UNREFERENCED)
def test_a_batch_s_gradient_without_a_reference_is_trl_s(name, make_unreferenced, models, tokenizer):
    trainer = make_unreferenced(name)
    *_, loss_type, options = UNREFERENCED[name]
    pair_s_part(trainer, range(len(ROWS))).backward()
    policy = copy.deepcopy(models[0])
    pair = our_pair(policy, models[1], tokenizer, ROWS)
    preference_loss(loss_type, pair, beta=BETA, **options).mean().backward()
    slopes = {name: weight.grad for name, weight in policy.named_parameters()}
    for name, weight in trainer.model.named_parameters():
        assert_equal_but_for_rounding(weight.grad, slopes[name])
    assert max(slope.abs().max().item() for slope in slopes.values()) > 0.01


def test_cpo_s_nll_is_trl_s_for_one_row(make_unreferenced, models, tokenizer):
    """With cpo_alpha 1 and a batch of one, TRL's mean over tokens is the response's."""
    trainer = make_unreferenced("cpo")
    trainer.cpo_alpha = 1.0
    with torch.no_grad():
        ours = preference_loss("cpo", our_pair(*models, tokenizer, ROWS), beta=BETA)
        for row in range(len(ROWS)):
            assert_equal_but_for_rounding(pair_s_part(trainer, [row]), ours[row])
