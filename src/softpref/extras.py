"""Which extra of softpref brings which package, for messages. The versions stand in pyproject.toml; a test compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from softpref.errors import OptionError

# By the name that is imported. Where several extras bring a package, the smallest one.
EXTRA_OF: Mapping[str, str] = {
    "openai": "judge",
    "aiohttp": "judge",
    "matplotlib": "report",
    "jinja2": "report",
    "markupsafe": "report",
    "datasets": "hub",
    "huggingface_hub": "hub",
    "pyarrow": "hub",
    "torch": "train",
    "transformers": "train",
    "accelerate": "train",
    "safetensors": "train",
    "tokenizers": "train",
    "tqdm": "train",
    "peft": "peft",
    "bitsandbytes": "quantization",
    "tensorboard": "tensorboard",
    "vllm": "vllm",
}


def how_to_install(module: str) -> str | None:
    """``needs openai: pip install 'softpref[judge]'`` for ``openai.types``; None for a module that no extra brings."""
    package = module.partition(".")[0]
    extra = EXTRA_OF.get(package)
    return None if extra is None else f"needs {package}: pip install 'softpref[{extra}]'"


def require(what: str, *modules: str) -> None:
    """Raises OptionError, which begins with ``what``, for the first of the modules that is not installed."""
    for module in modules:
        if not is_installed(module):
            raise OptionError(f"{what} {how_to_install(module)}")


def is_installed(module: str) -> bool:
    """Whether it can be imported; it is not imported."""
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # ValueError: sys.modules holds None for it
        return False
