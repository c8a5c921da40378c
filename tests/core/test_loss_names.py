"""Names and options: one canonical spelling, the published names as aliases, and an error for whatever has no effect."""

import subprocess
import sys

import pytest
import torch

import softpref
import softpref.core.losses
from paper_table import EIGHT, beta_of, pair_of, tensor
from softpref.core import ALIASES, LOSSES, TREATMENTS, preference_loss
from softpref.core.treatments import has_beta, resolve
from softpref.errors import InputError, OptionError

PUBLISHED = {
    "gdpo": ("dpo", "geometric"),
    "gipo": ("ipo", "geometric"),
    "gropo": ("ropo", "geometric"),
    "cdpo": ("dpo", "conservative"),
    "cipo": ("ipo", "conservative"),
}
PAIR = [(-10, -14, -11, -12), (-8, -7, -6.5, -6)]
LABELS = tensor(0.75, 0.9)


@pytest.mark.parametrize(("alias", "spelled"), PUBLISHED.items())
def test_a_published_name_is_its_canonical_spelling(alias, spelled):
    """The same floats, with the treatment left out or said again."""
    name, treatment = spelled
    canonical = preference_loss(name, pair_of(PAIR), LABELS, treatment=treatment, beta=0.3)
    for again in (None, treatment):
        assert torch.equal(preference_loss(alias, pair_of(PAIR), LABELS, treatment=again, beta=0.3), canonical)


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize(("alias", "name"), [("sigmoid", "dpo"), ("hinge", "slic")])
def test_trl_s_names_leave_the_treatment_open(alias, name, treatment):
    ours = preference_loss(alias, pair_of(PAIR), LABELS, treatment=treatment, beta=0.3)
    assert torch.equal(ours, preference_loss(name, pair_of(PAIR), LABELS, treatment=treatment, beta=0.3))


@pytest.mark.parametrize("name", ["dpo", "ipo", "ropo", "slic", "sigmoid", "hinge"])
def test_a_base_loss_without_a_treatment_is_hard(name):
    assert resolve(name, beta=0.3).treatment == "hard"
    assert torch.equal(preference_loss(name, pair_of(PAIR), beta=0.3), preference_loss(name, pair_of(PAIR), LABELS, beta=0.3))


@pytest.mark.parametrize(
    ("alias", "treatment"),
    [(alias, other) for alias, (_, own) in ALIASES.items() if own for other in TREATMENTS if other != own],
)
def test_an_alias_with_another_treatment_is_a_contradiction(alias, treatment):
    """The message holds both treatments and the name to write instead."""
    name, own = ALIASES[alias]
    with pytest.raises(OptionError, match=rf"'{alias}'.*'{own}'.*'{treatment}'.*'{name}'"):
        resolve(alias, treatment=treatment, beta=0.1)


def test_every_alias_leads_to_a_loss_and_shadows_none():
    assert {name for name, _ in ALIASES.values()} <= set(LOSSES)
    assert not set(ALIASES) & set(LOSSES)
    assert {own for _, own in ALIASES.values()} <= {None, *TREATMENTS}
    assert set(EIGHT) <= {*ALIASES, *LOSSES}


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"loss_type": "gdop"}, "'gdpo'"),
        ({"loss_type": "sigmod"}, "'sigmoid'"),
        ({"loss_type": "DPO"}, "'dpo'"),
        ({"loss_type": "dpo", "treatment": "geometrical"}, "'geometric'"),
        ({"loss_type": "dpo", "treatment": "conservativ"}, "'conservative'"),
        ({"loss_type": "ropo", "alhpa": 1.0}, "'alpha'"),
        ({"loss_type": "slic", "dleta": 1.0}, "'delta'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_a_misspelling_gets_the_nearest_name(options, hint):
    with pytest.raises(OptionError, match=f"did you mean {hint}"):
        preference_loss(pair=pair_of(PAIR), soft_label=LABELS, beta=0.1, **options)


def test_a_name_like_no_other_gets_the_whole_list():
    with pytest.raises(OptionError) as caught:
        resolve("xyzzyx", beta=0.1)
    assert all(name in str(caught.value) for name in [*LOSSES, *ALIASES])


def test_an_argument_of_another_loss_is_refused():
    """DPO has no δ; nothing is ignored in silence."""
    with pytest.raises(OptionError, match="dpo has no argument 'delta'; it takes none"):
        resolve("dpo", beta=0.1, delta=1.0)
    with pytest.raises(OptionError, match="slic has no argument 'gamma'"):
        resolve("hinge", beta=0.1, gamma=0.1)


def test_the_scale_of_the_target_is_not_an_argument_of_the_user_s():
    with pytest.raises(OptionError, match="no argument 'target_scale'"):
        resolve("ipo", beta=0.1, target_scale=0.5)


@pytest.mark.parametrize("name", [name for name in LOSSES if beta_of(LOSSES[name])])
def test_a_loss_with_a_beta_asks_for_one(name):
    with pytest.raises(OptionError, match=f"{name} needs a beta"):
        resolve(name)


@pytest.mark.parametrize("beta", [0, -0.1, float("nan")])
def test_beta_is_above_nought(beta):
    with pytest.raises(OptionError, match="above 0"):
        resolve("dpo", beta=beta)


def test_a_beta_for_sft_is_an_error():
    with pytest.raises(OptionError, match="sft has no beta"):
        resolve("sft", beta=0.1)


@pytest.mark.parametrize("name", [*LOSSES, *ALIASES])
def test_has_beta_says_what_resolve_does(name):
    """True where a beta is required, False where it is refused."""
    with pytest.raises(OptionError, match="needs a beta" if has_beta(name) else "has no beta"):
        resolve(name, **({} if has_beta(name) else {"beta": 0.1}))


def test_has_beta_leaves_an_unknown_name_to_resolve():
    assert has_beta("no_such_loss")


@pytest.mark.parametrize("scale_target", [True, False])
@pytest.mark.parametrize(
    ("name", "treatment"),
    [
        ("dpo", "geometric"),
        ("gropo", None),
        ("ipo", "hard"),
        ("cipo", None),
        ("hinge", "conservative"),
        ("hinge", None),
    ],
)
def test_scale_target_is_an_error_where_it_would_do_nothing(name, treatment, scale_target):
    with pytest.raises(OptionError, match="scale_target has no effect"):
        resolve(name, treatment=treatment, beta=0.1, scale_target=scale_target)


@pytest.mark.parametrize("scale_target", [None, True])
def test_scaling_the_target_is_the_default(scale_target):
    ours = preference_loss("gipo", pair_of(PAIR), LABELS, beta=0.3, scale_target=scale_target)
    assert torch.equal(ours, preference_loss("gipo", pair_of(PAIR), LABELS, beta=0.3))


@pytest.mark.parametrize("reduction", ["average", ""])
def test_an_unknown_reduction_is_an_error_before_anything_is_computed(reduction):
    """An option of the recipe, so exit code 2 when the recipe is read and not a crash on the first batch."""
    with pytest.raises(OptionError, match="'sum' or 'mean'"):
        resolve("dpo", beta=0.1, reduction=reduction)


@pytest.mark.parametrize("treatment", ["hard", "geometric"])
@pytest.mark.parametrize("value", ["1e-1", [2.0], None])
def test_an_argument_that_is_no_number_is_an_error(value, treatment):
    """ropo's signature says float; YAML 1.1 reads ``gamma: 1e-1`` as a string."""
    with pytest.raises(OptionError, match="gamma"):
        resolve("ropo", treatment=treatment, beta=0.1, gamma=value)


def test_option_errors_are_the_user_s_to_mend():
    """The command line turns every InputError into exit code 2."""
    assert issubclass(OptionError, InputError)


def in_a_fresh_interpreter(code):
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_the_contract_s_import_works_first_thing_in_a_process():
    in_a_fresh_interpreter(
        "from softpref.core.losses import PairLogps, geometric_average, preference_loss\n"
        "import softpref.core as core\n"
        "assert PairLogps is core.PairLogps\n"
        "assert geometric_average is core.geometric_average\n"
        "assert preference_loss is core.preference_loss\n"
    )


def test_labels_and_figures_need_no_torch():
    in_a_fresh_interpreter(
        "import sys\n"
        "import softpref, softpref.core, softpref.errors\n"
        "import softpref.core.soft_labels, softpref.core.statistics, softpref.core.calibration\n"
        "assert 'torch' not in sys.modules\n"
    )


@pytest.mark.parametrize("module", [softpref.core, softpref.core.losses], ids=lambda module: module.__name__)
def test_what_a_module_lists_it_has(module):
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018 - looking it up is the test


def test_the_package_offers_the_same_objects():
    assert softpref.preference_loss is preference_loss
    assert softpref.geometric_average is softpref.core.geometric_average
