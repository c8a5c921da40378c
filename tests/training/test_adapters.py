"""Adapters as people use them: what a run starts from is its reference, it stays so, and only the trained adapter is saved."""

from __future__ import annotations

import copy
import json
import sys

import pytest
import torch
from peft import (
    AdaLoraConfig,
    BOFTConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForCausalLM

from softpref.demo.small_model import small_llama
from softpref.errors import OptionError, ReferenceMismatchError
from softpref.loading.models import load_model
from softpref.scoring.identity import model_identity
from softpref.scoring.plain import pair_logps
from softpref.training.quantization import quantization_config
from softpref.training.recipe import TrainRecipe
from softpref.training.run import train

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{start}:UserWarning")
    for start in ("Model has `tie_word_embeddings", "Unsupported layer type", "Failed to load the CUDA extension", "Setting boft")
]

SAVING = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}


def lora(**settings):
    return LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"], "r": 2, **settings})


KINDS = {
    "lora": lora(),
    "rslora": lora(use_rslora=True),
    "dora": lora(use_dora=True),
    "modules_to_save": lora(modules_to_save=["lm_head"]),
    "trainable tokens": lora(trainable_token_indices=[3, 4]),
    "random start": lora(init_lora_weights=False),
    "pissa": lora(init_lora_weights="pissa"),
    "olora": lora(init_lora_weights="olora"),
    "orthogonal": lora(init_lora_weights="orthogonal"),
    "ia3": IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "loha": LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2),
    "lokr": LoKrConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2),
    "oft": OFTConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], oft_block_size=4),
    "boft": BOFTConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], boft_block_size=4),
    "vera": VeraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "o_proj"], r=2),
    "adalora": AdaLoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_r=2, total_step=10),
    "layer norms": LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
    "prompt tuning": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
    "prefix tuning": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
}


@pytest.mark.parametrize(
    ("kind", "precompute"), [*((kind, False) for kind in KINDS), ("lora", True), ("pissa", True), ("prefix tuning", True)]
)
def test_a_run_with_any_adapter(make_trainer, tiny_llama, rows, tmp_path, kind, precompute):
    """The start is the reference, before and after updates; a resumed run ends alike; what is saved is what was trained."""

    def make():
        settings = {**SAVING, "precompute_ref_log_probs": precompute}
        return make_trainer(
            model=copy.deepcopy(tiny_llama), eval_dataset=rows, peft_config=copy.deepcopy(KINDS[kind]), **settings
        )

    trainer = make()
    pairs = list(trainer.train_dataset)
    with torch.no_grad():
        start = pair_logps(trainer.model, pairs)
    assert trainer.evaluate()["eval_margin"] == pytest.approx(0, abs=1e-5)
    trainer.train()
    assert trainer.step_zero_difference == pytest.approx(0, abs=1e-4)
    reference = trainer.reference.score(pair_logps, pairs).like(start)
    torch.testing.assert_close(reference.chosen, start.chosen, rtol=0, atol=1e-4)
    with torch.no_grad():
        ended = pair_logps(trainer.model.eval(), pairs)
    assert float((ended.chosen - start.chosen).abs().max()) > 1e-5

    resumed = make()
    assert resumed.reference.identity == trainer.reference.identity
    resumed.train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-1")
    assert resumed.step_zero_difference is None
    trainer.save_model(str(tmp_path / "saved"))
    loaded = PeftModel.from_pretrained(copy.deepcopy(tiny_llama), str(tmp_path / "saved"))
    assert [path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()] == []
    for model in (resumed.model, loaded):
        with torch.no_grad():
            torch.testing.assert_close(pair_logps(model.eval(), pairs).chosen, ended.chosen, rtol=0, atol=1e-4)


def test_a_prompt_that_a_network_makes_is_trained_and_not_resumed(make_trainer, tiny_llama):
    """PEFT saves the prompt and not the network, so what went on from a checkpoint would be another model."""
    config = PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=2, encoder_hidden_size=8)
    trainer = make_trainer(peft_config=config, precompute_ref_log_probs=False, **SAVING)
    trainer.train()
    assert trainer.step_zero_difference == pytest.approx(0, abs=1e-4)
    with pytest.raises(OptionError, match="not the network that makes it"):
        trainer.train(resume_from_checkpoint=True)


def sft_adapter(model, **settings):
    """An adapter that is trained already."""
    torch.manual_seed(1)
    wrapped = get_peft_model(copy.deepcopy(model), lora(**settings))
    with torch.no_grad():
        for value in wrapped.parameters():
            if value.requires_grad:
                value.add_(0.2 * torch.randn(value.shape))
    return wrapped


def test_a_trained_adapter_goes_on_from_where_it_is(make_trainer, tiny_llama):
    """Its start, and not its base, is the reference; TRL keeps a second adapter for that."""
    policy = sft_adapter(tiny_llama)
    trainer = make_trainer(model=policy, precompute_ref_log_probs=False, max_steps=2)
    pairs = list(trainer.train_dataset)
    with torch.no_grad():
        start = pair_logps(policy, pairs)
        with policy.disable_adapter():
            base = pair_logps(policy, pairs)
    trainer.train()
    assert trainer.step_zero_difference == pytest.approx(0, abs=1e-5)
    reference = trainer.reference.score(pair_logps, pairs)
    torch.testing.assert_close(reference.chosen, start.chosen, rtol=0, atol=1e-5)
    assert float((reference.chosen - base.chosen).abs().max()) > 1e-2
    assert list(policy.peft_config) == ["default"]


@pytest.mark.parametrize("merged", [False, True])
def test_a_trained_adapter_against_its_base_is_no_false_alarm(make_trainer, tiny_llama, rows, caplog, merged):
    policy = sft_adapter(tiny_llama)
    policy = policy.merge_and_unload().requires_grad_() if merged else policy
    trainer = make_trainer(model=policy, eval_dataset=rows, ref_model=copy.deepcopy(tiny_llama))
    assert abs(trainer.evaluate()["eval_margin"]) > 1e-3
    trainer.train()
    assert trainer.step_zero_difference is None
    assert "the reference is another model than the start of the policy" in caplog.text


def test_references_that_differ_in_their_adapter_share_nothing(make_trainer, tiny_llama, rows):
    """One cache folder for all: every reference gives what it gives with a folder of its own."""
    other = sft_adapter(tiny_llama, lora_alpha=64)
    margins = []
    for reference in (sft_adapter(tiny_llama), other, tiny_llama):
        trainer = make_trainer(
            model=copy.deepcopy(tiny_llama), eval_dataset=rows, ref_model=copy.deepcopy(reference), precompute_ref_log_probs=True
        )
        with torch.no_grad():
            pairs = list(trainer.eval_dataset)
            expected = pair_logps(reference, pairs)
        trainer.evaluate()
        scores = trainer.reference.score(pair_logps, pairs).like(expected)
        torch.testing.assert_close(scores.chosen, expected.chosen, rtol=0, atol=1e-4)
        margins.append(float(scores.chosen.sum()))
    assert len(set(margins)) == 3


def test_resuming_with_another_reference_adapter_is_refused(make_trainer, tiny_llama):
    first = make_trainer(model=copy.deepcopy(tiny_llama), ref_model=sft_adapter(tiny_llama), **SAVING)
    first.train()
    again = make_trainer(model=copy.deepcopy(tiny_llama), ref_model=sft_adapter(tiny_llama, lora_alpha=64), **SAVING)
    with pytest.raises(ReferenceMismatchError, match="was trained against reference"):
        again.train(resume_from_checkpoint=f"{first.args.output_dir}/checkpoint-1")


@pytest.mark.parametrize(
    "config",
    [
        lora(lora_dropout=0.5),
        LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2, rank_dropout=0.5, module_dropout=0.5),
        OFTConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], oft_block_size=4, module_dropout=0.5),
    ],
    ids=["lora", "loha", "oft"],
)
def test_an_adapters_dropout_is_off_and_said_to_be(make_trainer, tiny_llama, tmp_path, caplog, config):
    trainer = make_trainer(peft_config=config)
    assert "dropout 0.5" in caplog.text
    assert "is off in this run" in caplog.text
    with torch.no_grad():
        for value in trainer.model.parameters():
            value.add_(0.1 if value.requires_grad else 0)
    pairs = list(trainer.train_dataset)
    trainer.model.train()
    torch.testing.assert_close(pair_logps(trainer.model, pairs).chosen, pair_logps(trainer.model, pairs).chosen, rtol=0, atol=0)
    trainer.save_model(str(tmp_path / "saved"))
    saved = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())
    assert 0.5 in saved.values()


def test_the_policy_inside_its_own_adapter_is_no_reference(make_trainer, tiny_llama):
    """PEFT changes the model that it is given, so that this base would be trained with the policy."""
    with pytest.raises(OptionError, match="ref_model shares parameters with the policy"):
        make_trainer(model=get_peft_model(tiny_llama, lora()), ref_model=tiny_llama)


def test_adapters_that_cannot_be_trained_are_evaluated_alone(make_trainer, tiny_llama, rows, tmp_path):
    policy = sft_adapter(tiny_llama)
    with pytest.raises(OptionError, match="peft_config is a second one"):
        make_trainer(model=policy, peft_config=lora())
    tiny_llama.save_pretrained(tmp_path / "base")
    policy.save_pretrained(tmp_path / "adapter")
    frozen = PeftModel.from_pretrained(copy.deepcopy(tiny_llama), str(tmp_path / "adapter"))
    loaded = copy.deepcopy(tiny_llama)
    loaded.load_adapter(str(tmp_path / "adapter"))
    policy.merge_adapter()
    margins = []
    for model, mend in ((frozen, "is_trainable=True"), (policy, "unmerge_adapter"), (loaded, "loaded by transformers itself")):
        trainer = make_trainer(model=model, eval_dataset=rows, ref_model=copy.deepcopy(tiny_llama))
        margins.append(trainer.evaluate()["eval_margin"])
        with pytest.raises(OptionError, match=mend):
            trainer.train()
    assert margins == pytest.approx([margins[0]] * 3, abs=1e-4)
    with pytest.raises(OptionError, match="no parameter of the policy is trained"):
        make_trainer(model=copy.deepcopy(tiny_llama).requires_grad_(False)).train()


@pytest.fixture
def adapter_folder(tiny_llama, word_tokenizer, tmp_path):
    return saved_adapter(tiny_llama, word_tokenizer, tmp_path)


def saved_adapter(base, word_tokenizer, tmp_path):
    """A folder with a trained adapter, whose base lies beside it."""
    base.save_pretrained(tmp_path / "base")
    word_tokenizer.save_pretrained(tmp_path / "base")
    policy = sft_adapter(AutoModelForCausalLM.from_pretrained(tmp_path / "base"))
    policy.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    policy.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapters_folder_as_policy_and_as_reference(make_trainer, adapter_folder, tmp_path):
    """Both are base and adapter; as the policy it is trained further, and saved as an adapter of the same base."""
    trainer = make_trainer(model=str(adapter_folder), ref_model=str(adapter_folder), precompute_ref_log_probs=False, max_steps=2)
    assert trainer.policy_identity == trainer.reference.identity
    assert trainer.policy_identity != model_identity(load_model(str(tmp_path / "base")))
    assert trainer.policy_identity == model_identity(load_model(str(adapter_folder)))
    trainer.train()
    assert trainer.step_zero_difference == pytest.approx(0, abs=1e-4)
    trainer.save_model(str(tmp_path / "saved"))
    saved = load_model(str(tmp_path / "saved"))
    pairs = list(trainer.train_dataset)
    with torch.no_grad():
        ours, loaded = pair_logps(trainer.model.eval(), pairs), pair_logps(saved.eval(), pairs)
    torch.testing.assert_close(loaded.chosen, ours.chosen, rtol=0, atol=1e-4)


def test_a_known_reference_adapter_is_known_by_its_settings_and_its_base(make_trainer, tiny_llama, adapter_folder, tmp_path):
    """Its scores are found again; another alpha, or other weights in the base's folder, are another reference."""
    identities = []
    for change in (None, None, "alpha", "base"):
        if change == "alpha":
            file = adapter_folder / "adapter_config.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": 64}))
        if change == "base":
            other = copy.deepcopy(tiny_llama)
            with torch.no_grad():
                next(other.parameters()).mul_(1.5)
            other.save_pretrained(tmp_path / "base")
        trainer = make_trainer(model=copy.deepcopy(tiny_llama), ref_model=str(adapter_folder), precompute_ref_log_probs=True)
        trainer.score_reference()
        identities.append(trainer.reference.identity)
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def recipe(adapter_folder, tmp_path, rows, **settings):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "data": str(tmp_path / "pairs.jsonl"),
        "output_dir": str(tmp_path / "run"),
        "model": str(adapter_folder),
        "train": {"max_steps": 1, "save_strategy": "no", "per_device_train_batch_size": 4, "use_cpu": True},
    }
    return TrainRecipe(**{**values, **settings})


def test_a_recipe_goes_on_from_an_adapters_folder(adapter_folder, tmp_path, rows):
    folder = train(recipe(adapter_folder, tmp_path, rows))
    record = json.loads((folder / "run.json").read_text())
    assert record["step_0_difference"] == pytest.approx(0, abs=1e-4)
    assert record["reference"] == record["model"]["identity"]
    saved = json.loads((folder / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == str(tmp_path / "base")
    with pytest.raises(OptionError, match="peft_config is a second one"):
        train(recipe(adapter_folder, tmp_path, rows, output_dir=str(tmp_path / "second"), peft={"r": 2}))


def test_a_recipe_names_any_kind_of_adapter(adapter_folder, tmp_path, rows):
    kind = {"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []}
    folder = train(recipe(tmp_path / "base", tmp_path, rows, peft=kind))
    assert json.loads((folder / "adapter_config.json").read_text())["peft_type"] == "IA3"
    for settings, message in (
        ({"peft_type": "LORRA"}, "did you mean 'LORA'"),
        ({"peft_type": "IA3", "r": 2}, "peft.r is no argument of IA3Config"),
    ):
        with pytest.raises(OptionError, match=message):
            train(recipe(tmp_path / "base", tmp_path, rows, output_dir=str(tmp_path / "other"), peft=settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"load_in_4bits": True}, "quantization.load_in_4bits is no argument.*did you mean 'load_in_4bit'"),
        ({"bnb_4bit_quant_type": "nf4"}, "give either load_in_4bit: true or load_in_8bit: true"),
    ],
)
def test_quantization_is_checked(settings, message):
    with pytest.raises(OptionError, match=message):
        quantization_config(settings)


def test_quantization_without_bitsandbytes_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(OptionError, match=r"on a CPU too, needs bitsandbytes: pip install 'softpref\[quantization\]'"):
        quantization_config({"load_in_4bit": True})


def test_quantised_weights_need_an_adapter(adapter_folder, tmp_path, rows):
    with pytest.raises(OptionError, match="quantization needs an adapter"):
        train(recipe(tmp_path / "base", tmp_path, rows, quantization={"load_in_4bit": True}))


@pytest.mark.parametrize("further", [False, True])
def test_qlora_from_a_recipe(word_tokenizer, tmp_path, rows, further):
    """A new adapter, or one from its folder, on a base in 4 bits: another reference than the base as it was saved."""
    pytest.importorskip("bitsandbytes")
    base = small_llama(word_tokenizer, hidden=64, layers=2, heads=2, context=64)
    adapter_folder = saved_adapter(base, word_tokenizer, tmp_path)
    model, peft = (adapter_folder, None) if further else (tmp_path / "base", {"r": 2, "target_modules": ["q_proj"]})
    quantization = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    folder = train(recipe(model, tmp_path, rows, peft=peft, quantization=quantization))
    record = json.loads((folder / "run.json").read_text())
    assert record["step_0_difference"] == pytest.approx(0, abs=1e-4)
    assert record["reference"] != model_identity(load_model(str(model)))
    assert (folder / "adapter_model.safetensors").is_file()
