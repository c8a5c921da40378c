"""Which engine generates is said once, and what it would not get is refused."""

import sys

import pytest

from processes import pretend_installed
from softpref.errors import OptionError
from softpref.generation.engine import check_engine, deciding, require_engine
from softpref.generation.sampling import Sampling


def test_transformers_takes_no_options_of_an_engine():
    check_engine("transformers", {})
    with pytest.raises(OptionError, match="no effect with engine transformers: leave it out"):
        check_engine("transformers", {"gpu_memory_utilization": 0.5})


def test_an_engine_that_is_not_there_is_said_with_what_installs_it(monkeypatch):
    """Only where it is to start: a file of its responses can be judged where it is not installed."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    Sampling(engine="vllm", engine_options={"gpu_memory_utilization": 0.5})
    require_engine("transformers")
    message = r"online\.engine vllm needs vllm: pip install 'softpref\[vllm\]'"
    with pytest.raises(OptionError, match=message):
        require_engine("vllm", "online.")
    pretend_installed(monkeypatch, "vllm")
    require_engine("vllm")


def test_what_decides_responses_is_compared_and_memory_is_not():
    """A record of before there was a choice is one of transformers; with less memory a run goes on, in another dtype not."""
    old, now = {"seed": 3}, {"seed": 3, "engine": "transformers", "engine_options": {}}
    assert deciding(old) == deciding(now) == {"seed": 3}

    def vllm(**options):
        return deciding({"seed": 3, "engine": "vllm", "engine_options": options})

    assert vllm(gpu_memory_utilization=0.5, max_model_len=9) == vllm(max_num_seqs=2) != deciding(now)
    assert vllm(dtype="float16") != vllm()


def test_a_misspelt_engine_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match=r"engine is 'vlm'.*vllm"):
        Sampling(engine="vlm")


@pytest.mark.parametrize("name", ["trust_remote_code", "model", "load_format", "logprobs_mode"])
def test_what_softpref_sets_itself_is_refused(name):
    """Remote code, another model, weights from elsewhere, log-probs that mean something else."""
    with pytest.raises(OptionError, match=f"engine_options: {name} is not yours to set here"):
        check_engine("vllm", {name: True})
