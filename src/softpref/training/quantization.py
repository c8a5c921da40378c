"""QLoRA from a recipe: what ``quantization`` says, as transformers takes it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from softpref.errors import OptionError, nearest
from softpref.extras import require


def quantization_config(arguments: Mapping[str, Any] | None) -> Any:
    """``transformers.BitsAndBytesConfig`` of a recipe's mapping; None where there is none.

    Raises OptionError for an unknown key, for a mapping that quantises nothing, and where bitsandbytes is not installed.
    """
    if arguments is None:
        return None
    from transformers import BitsAndBytesConfig

    known = {name for name in inspect.signature(BitsAndBytesConfig).parameters if name != "kwargs"}
    for key in arguments:
        if key not in known:
            raise OptionError(f"quantization.{key} is no argument of transformers.BitsAndBytesConfig{nearest(key, known)}")
    if bool(arguments.get("load_in_4bit")) == bool(arguments.get("load_in_8bit")):
        raise OptionError("quantization: give either load_in_4bit: true or load_in_8bit: true")
    require("quantization, on a CPU too,", "bitsandbytes")
    try:
        return BitsAndBytesConfig(**arguments)
    except (AttributeError, TypeError, ValueError) as error:
        raise OptionError(f"quantization: {error}") from error
