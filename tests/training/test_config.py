"""Options: what contradicts, what would have no effect, what is unknown."""

from __future__ import annotations

from dataclasses import fields

import pytest

from softpref import SoftPreferenceConfig
from softpref.errors import OptionError
from softpref.training.options import PreferenceOptions
from softpref.training.recipe import TrainRecipe
from softpref.training.run import trainer_config


def config(tmp_path, **settings):
    return SoftPreferenceConfig(output_dir=str(tmp_path), report_to="none", **settings)


def test_a_published_name_and_its_long_form_are_one_method(tmp_path):
    short = config(tmp_path, loss_type="gipo", beta=0.3).method()
    long = config(tmp_path, loss_type="ipo", label_treatment="geometric", beta=0.3).method()
    assert short == long


def test_beta_is_a_tenth_unless_given_and_sft_has_none(tmp_path):
    assert config(tmp_path).method().arguments == {"beta": 0.1}
    assert config(tmp_path, loss_type="sft").method().arguments == {}
    with pytest.raises(OptionError, match="sft has no beta"):
        config(tmp_path, loss_type="sft", beta=0.1)


WRONG = {
    "a treatment against the alias": ({"loss_type": "gdpo", "label_treatment": "hard"}, "is dpo with label_treatment"),
    "geometric sft": ({"loss_type": "sft", "label_treatment": "geometric"}, "has no geometric form"),
    "an unknown loss": ({"loss_type": "gdop"}, "did you mean 'gdpo'"),
    "an argument of another loss": ({"loss_type": "dpo", "loss_args": {"alpha": 2}}, "no argument 'alpha'"),
    "a misspelt argument": ({"loss_type": "ropo", "loss_args": {"alpa": 2}}, "did you mean 'alpha'"),
    "ties without hard": ({"loss_type": "gdpo", "ties": "keep"}, "ties has no effect"),
    "ties unknown": ({"loss_type": "dpo", "ties": "maybe"}, "ties is 'maybe'"),
    "label smoothing": ({"label_smoothing_factor": 0.1}, "label_smoothing_factor has no effect"),
    "truncation unknown": ({"truncation": "cut"}, "truncation is 'cut'"),
    "no room": ({"max_length": 1}, "max_length is 1"),
    "beta among the loss's own": ({"loss_args": {"beta": 1.0}}, "loss_args.beta belongs outside"),
    "a label for sft": ({"loss_type": "sft", "label_treatment": "conservative"}, "chosen side alone"),
    "token counting": ({"include_num_input_tokens_seen": "all"}, "include_num_input_tokens_seen has no effect"),
    "a beta of 0": ({"beta": 0.0}, "must be above 0"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_option_is_refused(tmp_path, settings, message):
    with pytest.raises(OptionError, match=message):
        config(tmp_path, **settings)


def test_a_recipe_names_the_nearest_training_argument(tmp_path):
    recipe = TrainRecipe("model", "data", str(tmp_path), train={"lerning_rate": 1e-4})
    with pytest.raises(OptionError, match=r"train\.lerning_rate .* did you mean 'learning_rate'"):
        trainer_config(recipe)


def test_a_recipe_says_what_to_write_for_an_argument_of_trl(tmp_path):
    with pytest.raises(OptionError, match=r"label_smoothing has no effect here .* write loss_type='cdpo'"):
        trainer_config(TrainRecipe("model", "data", str(tmp_path), train={"label_smoothing": 0.1}))
    trainer_config(TrainRecipe("model", "data", str(tmp_path), train={"padding_free": False}))


def test_recipe_and_config_share_their_options(tmp_path):
    """Every option of preference training has one default, and a recipe's value reaches the trainer."""
    recipe = TrainRecipe("model", "data", str(tmp_path), loss_type="ropo", loss_args={"alpha": 1.0}, max_length=7)
    made = trainer_config(recipe)
    for option in fields(PreferenceOptions):
        assert getattr(made, option.name) == getattr(recipe, option.name)
        assert getattr(config(tmp_path), option.name) == getattr(TrainRecipe("m", "d", "o"), option.name)


def test_what_transformers_refuses_is_an_option_error(tmp_path):
    with pytest.raises(OptionError, match="sometimes is not a valid IntervalStrategy"):
        config(tmp_path, eval_strategy="sometimes")


def test_a_recipe_field_under_train_is_sent_to_its_place(tmp_path):
    recipe = TrainRecipe("model", "data", str(tmp_path), train={"seed": 1})
    with pytest.raises(OptionError, match=r"train\.seed belongs at the top"):
        trainer_config(recipe)


def test_processes_that_would_train_apart_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.TrainingArguments.world_size", property(lambda _: 1))
    settings = config(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="2 processes were started, but the trainer sees 1"):
        settings.__post_init__()
