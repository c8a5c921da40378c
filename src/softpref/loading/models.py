"""Models and tokenizers from a folder or the Hub, safely: no remote code, no pickle, and no weight that no file holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from softpref.errors import ModelError
from softpref.loading.adapters import (
    ADAPTER_WEIGHTS,
    base_of,
    base_on_hub,
    check_adapter,
    check_saved_names,
    put_on,
    trainable_on,
)
from softpref.loading.folder import (
    CONFIG_FILE,
    TOKENIZER_FILES,
    check_folder,
    damaged_json,
    refuse_missing_folder,
    weight_files,
)
from softpref.loading.libraries import library_errors
from softpref.loading.vocabulary import check_vocabulary, embedding_rows
from softpref.loading.weights import check_loaded, refuse_not_finite, tensors_of

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Causal although their configuration says is_decoder: false.
_DECODERS = ("gpt_neox", "gpt_neox_japanese")


def load_model(name: str, dtype: str = "auto", quantization: Any = None) -> PreTrainedModel:
    """A causal language model, or an adapter on its base; ``dtype`` is auto (as it was saved), float32 or bfloat16.

    ``quantization`` is a ``transformers`` quantisation configuration. Train in float32: with weights in bf16, steps at the
    usual learning rates are smaller than its rounding and are lost.

    Raises ModelError where it cannot be loaded, lacks weights, or holds such as do not fit or are not finite.
    """
    from transformers import AutoModelForCausalLM

    options = {"dtype": dtype} if quantization is None else {"dtype": dtype, "quantization_config": quantization}
    model = _loaded(AutoModelForCausalLM, name, **options)
    _refuse_other_kinds(name, model)
    return model


def load_start(name: str, dtype: str = "auto", quantization: Any = None) -> PreTrainedModel | PeftModel:
    """A model to train as ``load_model`` gives it; of an adapter, PEFT's own model with that adapter to be trained further.

    Raises ModelError as ``load_model`` does.
    """
    refuse_missing_folder(name)
    base = base_of(name) or base_on_hub(name)
    if base is None:
        return load_model(name, dtype, quantization)
    if Path(name).is_dir():
        check_adapter(name, base)
    return trainable_on(load_model(base, dtype, quantization), name)


def _refuse_other_kinds(name: str, model: PreTrainedModel) -> None:
    if getattr(model.config, "is_decoder", None) is False and model.config.model_type not in _DECODERS:
        raise ModelError(f"{name}: is a {model.config.model_type}, which reads texts in both directions; give a causal model")
    if any(kind.endswith("ForSequenceClassification") for kind in model.config.architectures or ()):
        raise ModelError(f"{name}: is a sequence classifier (a reward model), not a language model; give a causal model")


def load_classifier(name: str, new_head: bool = False) -> PreTrainedModel:
    """A sequence classifier, such as a reward model, in the dtype that it was saved in.

    ``new_head`` takes a language model and puts a random head with one output on it, to be trained; without it a model that
    has no head is refused. Raises ModelError as ``load_model`` does.
    """
    from transformers import AutoModelForSequenceClassification

    options = {"num_labels": 1} if new_head else {}
    return _loaded(AutoModelForSequenceClassification, name, new_head=new_head, **options)


def _loaded(kind: Any, name: str, new_head: bool = False, **options: Any) -> PreTrainedModel:
    refuse_missing_folder(name)
    base = base_of(name) or base_on_hub(name)
    if base is not None:
        if Path(name).is_dir():
            check_adapter(name, base)
        model = _loaded(kind, base, new_head, **options)
        put_on(model, name)
        return model
    if Path(name).is_dir():
        check_folder(Path(name))
    with library_errors(f"model {name!r}"):
        model, loading = kind.from_pretrained(
            name,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # check_loaded refuses them, by name
            **options,
        )
    head = [key for key in loading["missing_keys"] if not key.startswith(f"{model.base_model_prefix}.")] if new_head else ()
    check_loaded(name, model, loading, head)
    return model


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer that lies with a model, or, where an adapter's folder has none, its base's. Raises ModelError."""
    from transformers import AutoTokenizer

    refuse_missing_folder(name)
    base = base_of(name)
    if base is not None and not _has_tokenizer(Path(name)):
        return load_tokenizer(base)
    if Path(name).is_dir() and not _has_tokenizer(Path(name)):
        raise ModelError(f"{name}: has no tokenizer (no tokenizer.json); save the model's tokenizer into the folder")
    try:
        with library_errors(f"tokenizer {name!r}"):
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            len(tokenizer)
    except ModelError as error:
        damage = damaged_json(Path(name), ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", CONFIG_FILE))
        raise ModelError(damage or str(error)) from error
    return tokenizer


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def check_model(name: str) -> None:
    """``load_policy`` and its tokenizer without the memory, for a model that is needed later: raises what they would raise.

    Shapes are compared without reading the weights; a local folder's are then read once, to see that all are finite.
    """
    from transformers import AutoModelForCausalLM

    model = _loaded(AutoModelForCausalLM, name, device_map="meta")
    _refuse_other_kinds(name, model)
    for folder in (base_of(name), name):
        if folder is not None and Path(folder).is_dir():
            refuse_not_finite(folder, _saved_tensors(Path(folder)))
    check_vocabulary(load_tokenizer(name), embedding_rows(model), name)


def load_policy(name: str) -> PreTrainedModel:
    """A model, or an adapter on its base, to score or generate with: on the accelerator where there is one.

    Raises ModelError as ``load_model`` does.
    """
    return on_accelerator(load_model(name).eval())


def on_accelerator(model: PreTrainedModel) -> PreTrainedModel:
    """The model on the accelerator, or as it is where there is none."""
    import torch

    if not torch.accelerator.is_available():
        return model
    moved: PreTrainedModel = model.to(torch.accelerator.current_accelerator())
    return moved


@contextmanager
def whole_model(name: str) -> Iterator[str]:
    """A folder or Hub name for what reads no adapters: a model's own; of an adapter, one with the two merged, for so long.

    A local model is checked as ``load_model`` checks it, but for weights that its config needs and no file holds: what
    reads the folder refuses those. Raises ModelError.
    """
    refuse_missing_folder(name)
    if base_of(name) is None:
        if Path(name).is_dir():
            check_folder(Path(name))
            refuse_not_finite(name, _saved_tensors(Path(name)))
        yield name
        return
    with TemporaryDirectory(prefix="softpref-merged-") as folder:
        _merge(name, folder)
        yield folder


def _saved_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    for file in [folder / ADAPTER_WEIGHTS] if (folder / ADAPTER_WEIGHTS).is_file() else weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118
                yield key, opened.get_tensor(key)


def _merge(adapter: str, folder: str) -> None:
    """Write the adapter's base with the adapter in it."""
    from peft import PeftModel

    named = str(base_of(adapter))
    check_adapter(adapter, named)
    base = load_model(named)
    with library_errors(f"adapter {adapter!r}"), warnings.catch_warnings():
        # check_saved_names refuses it
        warnings.filterwarnings("ignore", "Found missing adapter keys")
        whole = PeftModel.from_pretrained(base, adapter, use_safetensors=True)
    check_saved_names(adapter, whole)
    refuse_not_finite(adapter, tensors_of(whole))
    plain = whole.get_base_model()
    tied = getattr(plain.config.get_text_config(), "tie_word_embeddings", False)
    embeddings = (plain.get_input_embeddings(), plain.get_output_embeddings())
    # merged into one of the two, an adapter would be in the other as well
    if tied and any(type(module).__module__.startswith("peft.") for module in embeddings):
        raise ModelError(f"{adapter}: adapts embeddings that the head shares, which cannot be merged: leave engine vllm out")
    whole.merge_and_unload().save_pretrained(folder)


def load_config(name: str) -> Any:
    """A model's config alone. Raises ModelError."""
    from transformers import AutoConfig

    with library_errors(f"model {name!r}"):
        return AutoConfig.from_pretrained(name, trust_remote_code=False)


def load_generation_config(name: str) -> Any:
    """The generation config that lies with a model; where there is none, what the model's own config says of it."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(name)
    except OSError:
        return GenerationConfig.from_model_config(load_config(name))
