"""Judges by name, and what each needs: ``make_judge(JudgeOptions(judge="local", judge_model=…, judge_prompt="helpful"))``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from softpref.errors import OptionError, nearest
from softpref.judges.base import Judge


@dataclass
class JudgeOptions:
    """Which judge, and how it is asked.

    Attributes:
        judge: server, local, reward_model or plan_world (the simulated judge of the demo's world).
        judge_model: server: the name that the endpoint knows it by; local and reward_model: a folder or Hub name.
        judge_prompt: general, helpful, harmless, summary, plan, or a path to a .toml file of your own.
        base_url: server: the endpoint, with its /v1. The key comes from OPENAI_API_KEY in the environment.
        api: server: which of its two interfaces is used.
        concurrency: server: calls under way at once.
        timeout: server: seconds for one call.
        retries: server: calls made again for one question after a fault that may pass.
        samples: server: verdicts per order where the endpoint gives no log-probs.
        max_tokens: server: tokens of an answer at most, reasoning among them; more than 4 where the judge thinks first.
        judge_temperature: server: temperature of the judge; 0 for log-probs and 1 for sampled verdicts if not given.
        extra_body: server: further keys of every request, such as {reasoning_effort: low}.
        max_failed: server: share of the last 50 judgements that may fail before the run stops; 1 never stops for it.
        vote_prior: server: the a of the Beta(a, a) prior for sampled verdicts.
        mass_floor: server and local: the share of probability that the two answers must have together.
        max_calls: server: calls of this run at most.
        max_cost: server: cost of this run at most, in the currency of the prices.
        price_in: server: price of a million tokens of prompt.
        price_out: server: price of a million tokens of answer.
        batch_size: local and reward_model: questions at a time.
        scale: reward_model: p = s(scale · difference of the scores).
        seed: plan_world: seed of its errors.
    """

    judge: str
    judge_model: str | None = None
    judge_prompt: str | None = None
    base_url: str | None = None
    api: Literal["chat", "completions"] | None = None
    concurrency: int | None = None
    timeout: float | None = None
    retries: int | None = None
    samples: int | None = field(default=None, metadata={"aliases": ("judge_samples",)})
    max_tokens: int | None = None
    judge_temperature: float | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    max_failed: float | None = None
    vote_prior: float | None = None
    mass_floor: float | None = None
    max_calls: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    batch_size: int | None = field(default=None, metadata={"aliases": ("judge_batch_size",)})
    scale: float | None = None
    seed: int | None = field(default=None, metadata={"aliases": ("judge_seed",)})


def make_judge(options: JudgeOptions) -> Judge:
    """The judge that the options describe. Raises OptionError where one is unknown, missing, or without effect."""
    if options.judge not in JUDGES:
        raise OptionError(f"judge {options.judge!r} is unknown{nearest(options.judge, JUDGES)}")
    make, needs, takes = JUDGES[options.judge]
    given = {name: value for name, value in vars(options).items() if name != "judge" and value not in (None, {})}
    for name in needs:
        if name not in given:
            raise OptionError(f"judge {options.judge} needs {name}")
    for name in given:
        if name not in (*needs, *takes):
            raise OptionError(f"{name} has no effect with judge {options.judge}: leave it out")
    return make(given)


def judge_options(options: JudgeOptions) -> JudgeOptions:
    """The judge's part of a command's options."""
    return JudgeOptions(**{one.name: getattr(options, one.name) for one in fields(JudgeOptions)})


def _server(given: dict[str, Any]) -> Judge:
    from softpref.judges.prompt import load_prompt
    from softpref.judges.server import ServerSettings, connect

    prompt = load_prompt(str(given.pop("judge_prompt")))
    names = {"judge_model": "model", "vote_prior": "prior", "judge_temperature": "temperature"}
    settings = ServerSettings(**{names.get(name, name): value for name, value in given.items()})
    return connect(settings, prompt)


def _local(given: dict[str, Any]) -> Judge:
    from softpref.judges.local import load_local_judge
    from softpref.judges.prompt import load_prompt

    prompt = load_prompt(str(given.pop("judge_prompt")))
    return load_local_judge(str(given.pop("judge_model")), prompt, **given)


def _reward_model(given: dict[str, Any]) -> Judge:
    from softpref.judges.reward_model import load_reward_model_judge

    return load_reward_model_judge(str(given.pop("judge_model")), **given)


# How a judge is made from what was given, the options that it needs, those that it takes.
Kind: TypeAlias = tuple[Callable[[dict[str, Any]], Judge], tuple[str, ...], tuple[str, ...]]
JUDGES: dict[str, Kind] = {
    "server": (
        _server,
        ("base_url", "judge_model", "judge_prompt"),
        (
            "api",
            "concurrency",
            "timeout",
            "retries",
            "samples",
            "max_tokens",
            "judge_temperature",
            "extra_body",
            "max_failed",
            "vote_prior",
            "mass_floor",
            "max_calls",
            "max_cost",
            "price_in",
            "price_out",
        ),
    ),
    "local": (_local, ("judge_model", "judge_prompt"), ("mass_floor", "batch_size")),
    "reward_model": (_reward_model, ("judge_model", "scale"), ("batch_size",)),
}


def register(name: str, kind: Kind) -> None:
    """Make another judge known by a name."""
    JUDGES[name] = kind
