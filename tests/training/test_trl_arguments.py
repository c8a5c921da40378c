"""Every argument of TRL's ``DPOConfig`` and ``DPOTrainer``: the same, different or refused, as docs/trl.md says."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

trl = pytest.importorskip("trl")

from datasets import Dataset  # noqa: E402

from softpref import SoftPreferenceConfig, SoftPreferenceTrainer  # noqa: E402
from softpref.core.losses import LOSSES  # noqa: E402
from softpref.core.treatments import ALIASES  # noqa: E402
from softpref.errors import OptionError  # noqa: E402
from softpref.training.trainer_inputs import PASSED_ON  # noqa: E402
from softpref.training.trl_arguments import REFUSED, TRAINER_REFUSED, TRL_LOSSES  # noqa: E402

# TRL and transformers on their own old names
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

PAGE = (Path(__file__).parents[2] / "docs" / "trl.md").read_text(encoding="utf-8")

DIFFERS = {
    "loss_type",
    "truncation_mode",
    "precompute_ref_log_probs",
    "remove_unused_columns",
    "bf16",
    "activation_checkpointing",
    "gradient_checkpointing",
    "loss_weights",
    "f_divergence_type",
    "f_alpha_divergence_coef",
    "discopop_tau",
    "label_smoothing",
}

# A value of each refused field that would do something in TRL.
ACTIVE = {
    "model_init_kwargs": {"dtype": "bfloat16"},
    "trust_remote_code": True,
    "router_aux_loss_coef": 0.01,
    "disable_dropout": False,
    "dataset_num_proc": 4,
    "padding_free": True,
    "pad_to_multiple_of": 8,
    "precompute_ref_batch_size": 4,
    "ld_alpha": 0.5,
    "use_weighting": True,
    "activation_offloading": True,
    "sync_ref_model": True,
    "ref_model_mixup_alpha": 0.9,
    "ref_model_sync_steps": 64,
    "pad_token": "<pad>",
    "label_smoothing_factor": 0.1,
    "include_num_input_tokens_seen": "all",
    "neftune_noise_alpha": 5.0,
    "use_liger_kernel": True,
    "liger_kernel_config": {"rope": True},
    "batch_eval_metrics": True,
    "include_for_metrics": ["loss"],
    "eval_accumulation_steps": 1,
    "eval_do_concat_batches": False,
    "label_names": ["labels"],
    "length_column_name": "tokens",
    "auto_find_batch_size": True,
    "train_sampling_strategy": "group_by_length",
}
# What earlier releases of TRL and transformers had.
EARLIER = {
    "group_by_length": True,
    "max_prompt_length": 512,
    "max_completion_length": 512,
    "max_target_length": 512,
    "ref_model_init_kwargs": {"dtype": "bfloat16"},
    "rpo_alpha": 1.0,
    "generate_during_eval": True,
    "is_encoder_decoder": True,
    "label_pad_token_id": 0,
    "padding_value": 0,
    "model_adapter_name": "policy",
    "ref_adapter_name": "reference",
    "force_use_ref_model": True,
    "base_model_attribute_name": "base",
    "use_logits_to_keep": True,
    "use_liger_loss": True,
    "tools": [{}],
    "evaluation_strategy": "steps",
    "no_cuda": True,
}

FIELDS = {field.name for field in dataclasses.fields(trl.DPOConfig) if field.init}
SAME = FIELDS - DIFFERS - REFUSED.keys()


def config(tmp_path, **settings):
    return SoftPreferenceConfig(**{"output_dir": str(tmp_path), "report_to": "none", **settings})


def dpo_config(tmp_path, **settings):
    return trl.DPOConfig(**{"output_dir": str(tmp_path), "report_to": "none", "use_cpu": True, "bf16": False, **settings})


def cells(heading):
    """First cell → last cell of the table under a heading of the page."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {name: row[-1] for row in rows for name in re.findall(r"`(\w+)`", row[0])}


def test_the_page_lists_every_argument_once():
    assert cells("Differs").keys() == DIFFERS
    assert cells("Refused") == {name: REFUSED[name].write for name in FIELDS & REFUSED.keys() - DIFFERS}
    assert cells("Refused, from earlier releases") == {name: REFUSED[name].write for name in REFUSED.keys() - FIELDS}
    same = PAGE.split("\n### Same\n")[1].split("\n#")[0]
    assert set(re.findall(r"`(\w+)`", same)) == SAME


def test_the_tables_of_this_test_are_whole():
    assert ACTIVE.keys() == FIELDS & REFUSED.keys() - DIFFERS
    assert EARLIER.keys() == REFUSED.keys() - FIELDS


@pytest.mark.parametrize("name", sorted({*ACTIVE, *EARLIER}))
def test_a_refused_argument_says_what_to_write(name, tmp_path):
    value = {**ACTIVE, **EARLIER}[name]
    with pytest.raises(OptionError, match=rf"^{name} has no effect here .*{re.escape(REFUSED[name].write)}$"):
        config(tmp_path, **{name: value})


@pytest.mark.parametrize("name", sorted(ACTIVE))
def test_a_refused_argument_is_taken_where_it_does_nothing(name, tmp_path):
    """At TRL's default, as a script writes it and as the made object holds it."""
    [field] = [field for field in dataclasses.fields(trl.DPOConfig) if field.name == name]
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    config(tmp_path, **{name: default})
    config(tmp_path, **{name: getattr(dpo_config(tmp_path), name)})


OTHER = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value / 2 + 0.01}
# A machine, a hub or another argument would have to go along.
NOT_ALONE = {"use_cpu", "tf32", "torch_compile", "fp16", "push_to_hub", "load_best_model_at_end", "seed"}


@pytest.mark.parametrize("name", sorted(SAME))
def test_the_same_value_means_the_same(name, tmp_path):
    """TRL's default, and another value where its type says how to make one, end up in the object as they do in TRL's."""
    theirs = dpo_config(tmp_path)
    value = getattr(theirs, name)
    values = [value]
    if type(value) in OTHER and name not in NOT_ALONE:
        values.append(OTHER[type(value)](value))
    for given in values:
        assert getattr(config(tmp_path, **{name: given}), name) == getattr(dpo_config(tmp_path, **{name: given}), name)


@pytest.mark.parametrize("name", ["beta", "max_length", "learning_rate", "logging_steps"])
def test_defaults_are_trl_s(name, tmp_path):
    ours, theirs = config(tmp_path, loss_type=["sigmoid"]), dpo_config(tmp_path)
    value = ours.method().arguments["beta"] if name == "beta" else getattr(ours, name)
    assert value == getattr(theirs, name)


# -------------------------------------------------------------------------------------------------- what differs


def test_a_list_of_one_loss_is_that_loss(tmp_path):
    for name in ("sigmoid", "hinge"):
        assert config(tmp_path, loss_type=[name]).method() == config(tmp_path, loss_type=name).method()


@pytest.mark.parametrize(
    ("loss_type", "message"),
    [
        (["sigmoid", "sft"], "write sft_weight, the weight of a mean over responses"),
        ([], "give one name, or a list of several"),
        (["sigmoid", "aot"], "loss_type 'aot' is TRL's"),
        (["sigmoid", "ipo"], "reduction='mean' for TRL's"),
        (["ipo"], "reduction='mean' for TRL's"),
        (["sft"], "a mean over the tokens of a batch"),
        (["aot_unpaired"], "it sorts a batch's pairs"),
        ("aot", "loss_type 'aot' is TRL's"),
    ],
)
def test_a_loss_with_another_meaning_is_refused(loss_type, message, tmp_path):
    with pytest.raises(OptionError, match=re.escape(message)):
        config(tmp_path, loss_type=loss_type)


def test_a_list_with_a_stated_reduction_is_taken(tmp_path):
    assert config(tmp_path, loss_type=["ipo"], reduction="mean").method().reduction == "mean"


def test_no_loss_that_is_there_is_called_trl_s():
    assert not TRL_LOSSES.keys() & {*LOSSES, *ALIASES}


def test_several_losses_are_their_weighted_sum(tmp_path):
    """TRL's list with its weights, each on hard labels."""
    listed = dpo_config(tmp_path, loss_type=["sigmoid", "bco_pair"], loss_weights=[0.8, 0.2])
    parts = SoftPreferenceConfig.from_trl(listed).method().parts
    assert [(weight, part.name, part.treatment) for weight, part in parts] == [(0.8, "dpo", "hard"), (0.2, "bco", "hard")]
    assert all(part.arguments["beta"] == 0.1 for _, part in parts)


@pytest.mark.parametrize(
    ("settings", "name", "arguments"),
    [
        ({"loss_type": ["discopop"], "discopop_tau": 0.1}, "discopop", {"tau": 0.1}),
        ({"loss_type": ["robust"], "label_smoothing": 0.2}, "robust", {"epsilon": 0.2}),
        ({"loss_type": ["robust"]}, "robust", {"epsilon": 0.0}),
        ({"loss_type": ["exo_pair"], "label_smoothing": 0.01}, "exo", {"epsilon": 0.01}),
        ({"f_divergence_type": "forward_kl"}, "fdpo_forward_kl", {}),
        ({"f_divergence_type": "js_divergence"}, "fdpo_js", {}),
        ({"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7}, "fdpo_alpha", {"alpha": 0.7}),
        ({"loss_type": ["sigmoid_norm"]}, "dpo_norm", {}),
    ],
)
def test_an_argument_of_one_loss_becomes_that_loss_s(settings, name, arguments, tmp_path):
    method = SoftPreferenceConfig.from_trl(dpo_config(tmp_path, **settings)).method()
    assert (method.name, method.treatment) == (name, "hard")
    given = {key: value for key, value in method.arguments.items() if key not in ("beta", "tau") or key in arguments}
    assert given == arguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing has no effect here .*soft_label 1 − label_smoothing"),
        ({"discopop_tau": 0.1}, "discopop_tau has no effect with loss_type"),
        ({"loss_type": "gdpo", "f_divergence_type": "js_divergence"}, "write loss_type='fdpo_js'"),
        ({"f_alpha_divergence_coef": 0.7}, "f_alpha_divergence_coef has no effect .*write loss_type='fdpo_alpha'"),
        ({"f_divergence_type": "js"}, "f_divergence_type is 'js'; known: .*js_divergence"),
        ({"loss_weights": [0.5]}, "loss_weights has no effect with one loss"),
    ],
)
def test_an_argument_of_another_loss_is_refused(settings, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        config(tmp_path, **settings)


@pytest.mark.parametrize(
    "name", ["loss_weights", "f_divergence_type", "f_alpha_divergence_coef", "discopop_tau", "label_smoothing"]
)
def test_what_differs_is_taken_where_it_does_nothing(name, tmp_path):
    """As a made object holds it, under TRL's default loss."""
    config(tmp_path, **{name: getattr(dpo_config(tmp_path), name)})


def test_reference_free_needs_no_reference(tmp_path):
    assert config(tmp_path, reference_free=False).method().needs_reference
    assert not config(tmp_path, reference_free=True).method().needs_reference


def test_keep_start_cuts_responses(tmp_path):
    assert config(tmp_path, truncation_mode="keep_start").truncation == "keep"
    assert config(tmp_path).truncation == "drop"
    for settings in ({"truncation_mode": "keep_end"}, {"truncation_mode": "keep_start", "truncation": "drop"}):
        with pytest.raises(OptionError, match="write truncation='keep' to cut responses at their end"):
            config(tmp_path, **settings)


def test_remove_unused_columns_is_refused(tmp_path):
    config(tmp_path, remove_unused_columns=False)
    with pytest.raises(OptionError, match="remove_unused_columns has no effect"):
        config(tmp_path, remove_unused_columns=True)


def test_defaults_that_differ(tmp_path):
    ours, theirs = config(tmp_path), trl.DPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    for name in ("bf16", "activation_checkpointing", "gradient_checkpointing"):
        assert (getattr(ours, name), getattr(theirs, name)) == (False, True)
        assert getattr(config(tmp_path, **{name: True}), name) is True
    assert (ours.precompute_ref_log_probs, theirs.precompute_ref_log_probs) == (None, False)


def test_an_unknown_argument_names_the_nearest(tmp_path):
    with pytest.raises(OptionError, match=r"^lerning_rate is no argument of SoftPreferenceConfig; did you mean 'learning_rate'"):
        config(tmp_path, lerning_rate=1e-4)


# -------------------------------------------------------------------------------------------------- a DPOConfig object


def test_a_dpo_config_keeps_its_values(tmp_path):
    settings = {"learning_rate": 3e-4, "beta": 0.3, "max_length": 77, "warmup_steps": 5, "seed": 3, "num_train_epochs": 2.0}
    theirs = trl.DPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", **settings)
    ours = SoftPreferenceConfig.from_trl(theirs)
    for name in SAME | {"bf16", "activation_checkpointing", "precompute_ref_log_probs"}:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.truncation == "keep"
    assert (ours.method().name, ours.method().treatment, ours.method().reduction) == ("dpo", "hard", "sum")


def test_the_ipo_of_a_dpo_config_is_trl_s(tmp_path):
    method = SoftPreferenceConfig.from_trl(dpo_config(tmp_path, loss_type=["ipo"])).method()
    assert (method.name, method.treatment, method.reduction) == ("ipo", "hard", "mean")


def test_changes_to_a_dpo_config(tmp_path):
    """Another loss takes its own treatment, whatever the DPOConfig's loss was."""
    ours = SoftPreferenceConfig.from_trl(dpo_config(tmp_path, loss_type=["apo_zero"], beta=0.4), loss_type="gdpo", seed=7)
    assert (ours.method().treatment, ours.method().arguments, ours.seed) == ("geometric", {"beta": 0.4}, 7)
    assert SoftPreferenceConfig.from_trl(dpo_config(tmp_path), truncation="drop").truncation == "drop"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": ["sigmoid", "sft"]}, "write sft_weight"),
        ({"loss_type": ["sigmoid", "ipo"]}, "TRL's ipo alone divides by the length"),
        ({"loss_type": ["ipo"], "f_divergence_type": "forward_kl"}, "there for loss_type 'sigmoid' alone"),
        ({"loss_type": ["hinge"], "discopop_tau": 0.1}, "discopop_tau has no effect with loss_type 'hinge'"),
        ({"loss_type": ["sft"]}, "a mean over the tokens of a batch"),
        ({"label_smoothing": 0.1}, "label_smoothing has no effect"),
        ({"truncation_mode": "keep_end"}, "truncation_mode is 'keep_end'"),
        ({"sync_ref_model": True}, "sync_ref_model has no effect"),
    ],
)
def test_a_dpo_config_that_cannot_be_kept_is_refused(settings, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        SoftPreferenceConfig.from_trl(dpo_config(tmp_path, **settings))


# -------------------------------------------------------------------------------------------------- the trainer's arguments


def test_the_page_lists_every_argument_of_the_trainer():
    listed = cells("The trainer's arguments")
    assert {*inspect.signature(trl.DPOTrainer.__init__).parameters} - {"self"} <= listed.keys()
    assert {name: listed[name] for name in TRAINER_REFUSED} == {name: entry.write for name, entry in TRAINER_REFUSED.items()}
    assert set(PASSED_ON) <= listed.keys()


# -------------------------------------------------------------------------------------------------- rows


def test_keep_start_keeps_the_tokens_that_trl_keeps(tiny_llama, word_tokenizer, tmp_path):
    """A row that fits, rows cut on one side and on both, and rows whose prompt leaves no room."""
    lengths = [(2, 2, 3), (5, 4, 1), (6, 3, 5), (7, 2, 2), (8, 1, 1), (9, 2, 3)]
    words = ["make", "tea", "for", "two", "boil", "the", "water", "warm", "pot", "add"]
    texts = [[" ".join(words[place : place + n]) for n, place in zip(row, (0, 0, 1), strict=True)] for row in lengths]
    rows = [dict(zip(("prompt", "chosen", "rejected"), (f"{p} ", c, r), strict=True)) for p, c, r in texts]
    args = dpo_config(tmp_path, max_length=8)
    theirs = trl.DPOTrainer(
        copy.deepcopy(tiny_llama),
        ref_model=tiny_llama,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=copy.deepcopy(word_tokenizer),
    )
    expected = []
    for row in theirs.train_dataset:
        batch = theirs.data_collator([dict(row)])
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True):
            expected.append(ids[mask].tolist())
    ours = SoftPreferenceTrainer(tiny_llama, args, rows, processing_class=word_tokenizer).train_dataset
    assert [row.prompt + side for row in ours for side in (row.chosen, row.rejected)] == expected
    assert (len(expected), ours.counts.cut, ours.counts.too_long) == (8, 3, 2)
