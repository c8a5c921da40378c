"""What many tests share: a tiny tokenizer and a tiny model, made on the spot; and what an environment without torch skips."""

from __future__ import annotations

import re

import pytest

from softpref.extras import EXTRA_OF, is_installed

LIGHT = not is_installed("torch")
if not LIGHT:
    import torch

    # two pytest workers on two cores, each with two threads, wait for one another most of the time
    torch.set_num_threads(1)


def missing_package(error):
    """The package of an extra that an error names as not installed; None for any other error."""
    match = re.search(r"ModuleNotFoundError: No module named '(\w+)", error)
    return match[1] if match and match[1] in {*EXTRA_OF, "sklearn", "trl"} else None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Without torch, files that import what is not installed are skipped."""
    report = yield
    package = missing_package(str(report.longrepr)) if LIGHT and report.failed else None
    if package:
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"Skipped: needs {package}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Without torch, tests that come upon what is not installed are skipped."""
    report = yield
    package = missing_package(str(report.longrepr)) if LIGHT and report.failed else None
    if package:
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Skipped: needs {package}")
    return report


WORDS = [
    "make",
    "tea",
    "for",
    "two",
    "boil",
    "the",
    "water",
    "warm",
    "pot",
    "add",
    "leaves",
    "pour",
    "wait",
    "serve",
    ".",
    ",",
    ":",
    "?",
    "yes",
    "no",
    "a",
    "b",
    "c",
    "d",
]


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory):
    """No fixture finds or leaves anything in the user's caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTPREF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache_of_the_test(tmp_path_factory, monkeypatch):
    """No test finds what another one left."""
    monkeypatch.setenv("SOFTPREF_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def word_tokenizer():
    from softpref.demo.small_model import word_tokenizer

    return word_tokenizer(WORDS)


@pytest.fixture
def tiny_llama(word_tokenizer):
    from softpref.demo.small_model import small_llama

    return small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64)
