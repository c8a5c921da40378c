"""Which engine generates is said once, and what it would not get is refused."""

import pytest

from softpref.errors import OptionError
from softpref.generation.engine import check_engine
from softpref.generation.sampling import Sampling


@pytest.fixture
def vllm_is(monkeypatch):
    """Whether vLLM can be found."""

    def there(found):
        monkeypatch.setattr("softpref.generation.engine.find_spec", lambda _: object() if found else None)

    return there


def test_transformers_takes_no_options_of_an_engine():
    check_engine("transformers", {})
    with pytest.raises(OptionError, match="no effect with engine transformers: leave it out"):
        check_engine("transformers", {"gpu_memory_utilization": 0.5})


def test_an_engine_that_is_not_there_is_said_with_what_installs_it(vllm_is):
    vllm_is(True)
    check_engine("vllm", {"gpu_memory_utilization": 0.5})
    vllm_is(False)
    with pytest.raises(
        OptionError, match=r"online\.engine is vllm, which is not installed: pip install 'softpref\[vllm\]'"
    ):
        check_engine("vllm", {}, "online.")


def test_a_misspelt_engine_is_answered_with_the_nearest():
    with pytest.raises(OptionError, match=r"engine is 'vlm'.*vllm"):
        Sampling(engine="vlm")


@pytest.mark.parametrize("name", ["trust_remote_code", "model", "load_format", "seed"])
def test_what_softpref_sets_itself_is_refused(vllm_is, name):
    """Remote code, another model, weights from elsewhere."""
    vllm_is(True)
    with pytest.raises(OptionError, match=f"engine_options: {name} is not yours to set here"):
        check_engine("vllm", {name: True})
