"""Errors of transformers, peft, tokenizers and the Hub in our words, and none of their reports about weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from softpref.errors import ModelError, SoftprefError

_HUB = {
    "GatedRepoError": "is gated on the Hub: ask for access on its page, then log in with: hf auth login",
    "RepositoryNotFoundError": "is no folder here and no model on the Hub; check the name, or log in with: hf auth login",
    "LocalEntryNotFoundError": "is no folder here, not in the local cache, and the Hub cannot be reached; check name and network",
    "OfflineModeIsEnabled": "is no folder here and not in the local cache, and HF_HUB_OFFLINE keeps it from being downloaded",
}

# Parts of messages that stand for a kind of model.
_WORDS = {
    "trust_remote_code": "needs code from its own folder, which softpref never runs; give a model that is part of transformers",
    "for this kind of AutoModel": "is of a model_type that is neither a causal language model nor a classifier; give another",
    "instantiate the backend tokenizer": "lacks tokenizer.json, or a package to read it (pip install sentencepiece tiktoken)",
    "does not recognize this architecture": "has a model_type that the installed transformers does not know; correct it in "
    "config.json, or install a newer version",
}


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Whatever a library raises while it loads ``what`` (``model 'x'``) becomes a ModelError.

    They raise nearly every class of exception for a damaged file or an option in one: KeyError, TypeError, RuntimeError,
    bare Exception. No code of ours runs inside.
    """
    loggers = [logging.getLogger(f"transformers.{name}") for name in ("modeling_utils", "integrations.peft")]
    for log in loggers:
        log.addFilter(_no_report)
    try:
        yield
    except SoftprefError:
        raise
    except Exception as error:
        raise ModelError(f"{what} {_reason(error)}") from error
    finally:
        for log in loggers:
            log.removeFilter(_no_report)


def _no_report(record: logging.LogRecord) -> bool:
    """Not the table of missing and unexpected weights, which ``check_loaded`` puts into words."""
    return "LOAD REPORT" not in record.getMessage()


def _reason(error: BaseException) -> str:
    text = str(error)
    for part, reason in _WORDS.items():
        if part in text:
            return reason
    for cause in _causes(error):
        for kind in type(cause).__mro__:
            if kind.__name__ in _HUB:
                return _HUB[kind.__name__]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])
    if isinstance(error, OSError | ImportError) and first:
        return f"cannot be loaded: {first}"
    return (
        f"cannot be loaded ({f'{type(error).__name__}: {first}'.removesuffix(': ')}); a value in its files is wrong, or "
        f"transformers {version('transformers')} does not know it"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
