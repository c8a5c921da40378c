"""From the log-probs of a judge's first tokens, or from sampled verdicts, to the two answers: or to why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from softpref.judges.prompt import JudgePrompt

# Below this share of the probability the judge has not answered the question it was asked.
MASS_FLOOR = 0.5
# What may stand before an answer: "**1**", "(1)", "\n1".
_OPENERS = frozenset({"(", "[", "**", "*", '"', "'", "`", ""})


@dataclass(frozen=True)
class Reading:
    """Log-probs of the first and the second answer in nats, the probability that both together had, or a failure."""

    first_logp: float | None = None
    second_logp: float | None = None
    mass: float | None = None
    failure: str | None = None


def read_logprobs(
    positions: Sequence[Mapping[str, float]], sampled: Sequence[str], prompt: JudgePrompt, floor: float = MASS_FLOOR
) -> Reading:
    """The answer at the first position that is one.

    Args:
        positions: for each generated token, its most probable alternatives: token text → log-prob in nats.
        sampled: the generated tokens; white space, brackets and quotation marks before an answer are passed over.
        floor: the share of probability that the spellings of both answers must have together.

    Every spelling of an answer is summed, white space around it left out. Where one answer is not among the alternatives, it
    gets the most that it can have had (the smallest listed one, or what is left of the whole): never 0, which would turn
    "not listed" into certainty.
    """
    for alternatives, token in zip(positions, sampled, strict=False):
        reading = _read_position(alternatives, prompt, floor)
        if reading.failure is None or token.strip() not in _OPENERS:
            return reading
    return Reading(failure="no answer among the first tokens")


def _read_position(alternatives: Mapping[str, float], prompt: JudgePrompt, floor: float) -> Reading:
    usable = {token: logp for token, logp in alternatives.items() if math.isfinite(logp) and logp > -1000}
    if not usable:
        return Reading(failure="no log-probs came back")
    first, second = (
        _total(logp for token, logp in usable.items() if token.strip() in set(spellings))
        for spellings in (prompt.first, prompt.second)
    )
    mass = math.exp(first) + math.exp(second)
    if mass < floor:
        return Reading(mass=mass, failure=f"the two answers had {mass:.3f} of the probability, under {floor}")
    bound = _unlisted(usable)
    first, second = max(first, min(bound, second)), max(second, min(bound, first))
    return turned(Reading(first, second, mass), prompt)


def _total(logps: Iterable[float]) -> float:
    listed = list(logps)
    top = max(listed, default=-math.inf)
    return top + math.log(sum(math.exp(logp - top) for logp in listed)) if listed else top


def _unlisted(alternatives: Mapping[str, float]) -> float:
    """The most that a token can have which is not listed, as a log-prob."""
    rest = 1 - sum(math.exp(logp) for logp in alternatives.values())
    smallest = min(alternatives.values())
    return min(smallest, math.log(rest)) if rest > 1e-12 else min(smallest, math.log(1e-12))


def read_verdicts(texts: Sequence[str], prompt: JudgePrompt, prior: float) -> Reading:
    """The answer from n sampled verdicts of one order: ``(k + a) / (n + 2a)`` with a Beta(a, a) prior.

    Verdicts that are neither answer are left out; where more than half are, the judgement has failed.
    """
    verdicts = [_verdict(text, prompt) for text in texts]
    first, second = verdicts.count(1), verdicts.count(2)
    read = first + second
    if read * 2 < len(texts) or read == 0:
        return Reading(mass=read / max(1, len(texts)), failure=f"{read} of {len(texts)} sampled verdicts were an answer")
    total = read + 2 * prior
    counted = Reading(math.log((first + prior) / total), math.log((second + prior) / total), read / len(texts))
    return turned(counted, prompt)


def _verdict(text: str, prompt: JudgePrompt) -> int | None:
    word = text.strip().split(maxsplit=1)[0] if text.strip() else ""
    bare = word.strip("*\"'`.:,()[]")
    for place, spellings in ((1, prompt.first), (2, prompt.second)):
        if word in spellings or bare in spellings:
            return place
    return None


def turned(reading: Reading, prompt: JudgePrompt) -> Reading:
    """A prompt that asks for the worse one: its "1" says that the second is better."""
    if prompt.asks_for == "better":
        return reading
    return Reading(reading.second_logp, reading.first_logp, reading.mass, reading.failure)
