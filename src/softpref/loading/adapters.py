"""PEFT adapters: which base a folder's adapter belongs to, and the adapter put on it, whole."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softpref.errors import InputError, ModelError
from softpref.extras import how_to_install, is_installed
from softpref.loading.folder import INDEX_FILE, WEIGHTS_FILE, check_safetensors, is_missing_folder
from softpref.loading.libraries import library_errors
from softpref.loading.weights import counted, refuse_mismatched, refuse_not_finite, shown
from softpref.run_folder import read_json

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER_FILE = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def base_of(model: str) -> str | None:
    """The model that an adapter's folder says it belongs to; None for anything that is no adapter's folder.

    Raises ModelError where the folder names no base, itself, or another adapter, or holds a whole model as well.
    """
    base = _named_base(Path(model))
    if base is None:
        return None
    if any((Path(model) / file).is_file() for file in (WEIGHTS_FILE, INDEX_FILE)):
        raise ModelError(
            f"{model}: holds a whole model and an adapter, so which one is meant is not clear; move the adapter "
            f"({ADAPTER_FILE}, {ADAPTER_WEIGHTS}) to a folder of its own, or remove it if it is merged already"
        )
    if Path(base).is_dir() and Path(base).resolve() == Path(model).resolve():
        raise ModelError(f"{model}: is an adapter that names itself as its base; put the base model's folder into {ADAPTER_FILE}")
    if (Path(base) / ADAPTER_FILE).is_file():
        raise ModelError(f"{model}: is an adapter of {base}, which is an adapter too; merge that one and name the merged model")
    return base


def _named_base(folder: Path) -> str | None:
    file = folder / ADAPTER_FILE
    try:
        config = read_json(file)
    except InputError as error:
        raise ModelError(f"{error}; copy or download it again") from error
    if config is None and not file.is_file():
        return None
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise ModelError(f"{file}: names no base_model_name_or_path; set it to the adapter's base model")
    return str(config["base_model_name_or_path"])


def base_on_hub(name: str) -> str | None:
    """``base_of`` for a Hub name: the base of an adapter that is published there. Raises ModelError."""
    if Path(name).is_dir() or not is_installed("peft"):
        return None
    from transformers.utils.peft_utils import find_adapter_config_file

    with library_errors(f"model {name!r}"):
        file = find_adapter_config_file(name)
    return None if file is None else _named_base(Path(file).parent)


def check_adapter(model: str, base: str) -> None:
    """Raises ModelError where peft, the adapter's base, or its weights are missing or cannot be read."""
    if not is_installed("peft"):
        raise ModelError(f"{model}: is an adapter, which {how_to_install('peft')}")
    if is_missing_folder(base):
        raise ModelError(f"{model}: is an adapter of {base}, which is not there; put it back, or correct {ADAPTER_FILE}")
    file = Path(model) / ADAPTER_WEIGHTS
    if file.is_file():
        check_safetensors(file)
    elif (Path(model) / "adapter_model.bin").is_file():
        raise ModelError(f"{model}: holds its weights as a pickle, which can run code when it is read; save it as safetensors")
    else:
        raise ModelError(f"{model}: has no {ADAPTER_WEIGHTS}; give the folder that save_pretrained wrote")


def put_on(base: PreTrainedModel, adapter: str) -> None:
    """Load a folder's adapter into its base, for inference. Raises ModelError where it does not fit, or is not whole."""
    before = set(base.state_dict())
    with library_errors(f"adapter {adapter!r}"):
        loading = base.load_adapter(adapter, use_safetensors=True, ignore_mismatched_sizes=True).to_dict()
    check_fit(adapter, base, loading)
    refuse_not_finite(adapter, ((name, value) for name, value in base.state_dict().items() if name not in before))


def trainable_on(base: PreTrainedModel, adapter: str) -> PeftModel:
    """A folder's adapter on its base, to be trained further. Raises ModelError where it does not fit, or is not whole."""
    from peft import PeftModel, prepare_model_for_kbit_training

    if getattr(base, "is_quantized", False):
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    with library_errors(f"adapter {adapter!r}"), warnings.catch_warnings():
        # check_saved_names refuses it
        warnings.filterwarnings("ignore", "Found missing adapter keys")
        whole = PeftModel.from_pretrained(base, adapter, is_trainable=True, use_safetensors=True)
    if Path(adapter).is_dir():
        check_saved_names(adapter, whole)
    refuse_not_finite(adapter, ((name, value) for name, value in whole.named_parameters() if value.requires_grad))
    return whole


def check_fit(adapter: str, base: PreTrainedModel, loading: Mapping[str, Any]) -> None:
    """Raises ModelError for an adapter with weights missing, of another shape, or without a place in the base."""
    _refuse_others(adapter, type(base).__name__, loading["missing_keys"], loading["unexpected_keys"])
    refuse_mismatched(adapter, loading, f"{type(base).__name__} with this adapter")


def check_saved_names(adapter: str, whole: PeftModel) -> None:
    """``check_fit`` by the names in the adapter's file, for a model that PEFT loaded: it only warns."""
    from peft import get_peft_model_state_dict

    expected, saved = set(get_peft_model_state_dict(whole)), set(check_safetensors(Path(adapter) / ADAPTER_WEIGHTS))
    _refuse_others(adapter, type(whole.get_base_model()).__name__, expected - saved, saved - expected)


def _refuse_others(adapter: str, kind: str, missing: Collection[str], unexpected: Collection[str]) -> None:
    if missing:
        raise ModelError(
            f"{adapter}: lacks {len(missing)} of the adapter's weights ({shown(sorted(missing))}); {ADAPTER_FILE} and "
            f"{ADAPTER_WEIGHTS} belong to different adapters, or it is of another base: restore them"
        )
    if unexpected:
        raise ModelError(
            f"{adapter}: a {kind} with this adapter has no place for {counted(sorted(unexpected))} in its file; name the base "
            f"that it was trained on in {ADAPTER_FILE}"
        )
