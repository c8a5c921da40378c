"""From the log-probs of a judge's first tokens, or from sampled verdicts, to the two answers: or to why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from softpref.judges.failures import quoted
from softpref.judges.prompt import JudgePrompt
from softpref.judges.verdicts import FIRST, NONE, SECOND, TIE, after_thinking, bare, find_verdict, visible

# Below this share of the probability the judge has not answered the question it was asked.
MASS_FLOOR = 0.5
# A reply of so few tokens is an answer and its wrapping; in a longer one the first token need not be the verdict.
SHORT = 8
# Before a judge's own words in a failure.
SAID = "the judge said"
# Below this a token was not a choice.
_LEAST = -1000


@dataclass(frozen=True)
class Reading:
    """Log-probs of the first and the second answer in nats, the probability that both together had, or a failure."""

    first_logp: float | None = None
    second_logp: float | None = None
    mass: float | None = None
    failure: str | None = None


def read_record(record: Mapping[str, Any], prompt: JudgePrompt, floor: float, prior: float) -> Reading:
    """The answer in a stored reply, whichever way it was asked for; see ``read_logprobs`` and ``read_verdicts``."""
    if "texts" in record:
        reading = read_verdicts(record["texts"], prompt, prior)
        said = next((text for text in record["texts"] if _side(text, prompt) is None), "")
    else:
        reading = read_logprobs(record["positions"], record["sampled"], prompt, floor)
        said = record.get("text") or "".join(record["sampled"])
    if reading.failure is None:
        return reading
    return Reading(mass=reading.mass, failure=_with_words(reading.failure, said, record))


def _with_words(failure: str, said: str, record: Mapping[str, Any]) -> str:
    """The failure, and what the judge said instead of an answer; or that it never came to say anything."""
    cut = record.get("finish") == "length"
    thought = bool(record.get("reasoning")) or after_thinking(said) > 0
    if not visible(said) and cut and (thought or not said):
        return (
            f"the judge's reasoning took all {record['limit']} tokens that it may write, so no answer came: raise --max_tokens "
            "(to 2000, say), or switch its reasoning off in --extra_body"
        )
    return f"{failure}; {SAID} {quoted(said)}" + (" (cut at its token limit; --max_tokens)" if cut else "")


# --- log-probs


def read_logprobs(
    positions: Sequence[Mapping[str, float]], sampled: Sequence[str], prompt: JudgePrompt, floor: float = MASS_FLOOR
) -> Reading:
    """The answer at the position where the judge gives its verdict.

    Args:
        positions: for each generated token, its most probable alternatives: token text → log-prob in nats.
        sampled: the generated tokens; white space, brackets and quotation marks before an answer are passed over, and so are
            thinking and words such as "Response".
        floor: the share of probability that the spellings of both answers must have together.

    Every spelling of an answer is summed, what wraps it left out. Where one answer is not among the alternatives, it
    gets the most that it can have had (the smallest listed one, or what is left of the whole): never 0, which would turn
    "not listed" into certainty.
    """
    starts = [0, *accumulate(map(len, sampled))]
    whole = "".join(sampled)
    begin = after_thinking(whole)
    verdict = find_verdict(whole[begin:], prompt.first, prompt.second, prompt.asks_for, prompt.verdicts)
    if len(sampled) <= SHORT and begin == 0:
        reading = _read_first(positions, sampled, prompt, floor)
        if reading.failure is None or verdict is None:
            return reading
    if verdict is None or verdict.side not in (FIRST, SECOND):
        return Reading(failure="no verdict among its words")
    place = next(i for i in range(len(sampled)) if starts[i + 1] > begin + verdict.start)
    return (
        _read_position(positions[place], prompt, floor) if place < len(positions) else Reading(failure="no log-probs came back")
    )


def _read_first(positions: Sequence[Mapping[str, float]], sampled: Sequence[str], prompt: JudgePrompt, floor: float) -> Reading:
    """At the first token that is more than wrapping, unless the word goes on behind it."""
    for place, (alternatives, token) in enumerate(zip(positions, sampled, strict=False)):
        reading = _read_position(alternatives, prompt, floor)
        if reading.failure is None and _goes_on("".join(sampled[place : place + 2]), token):
            return Reading(failure="no answer among the first tokens")
        if reading.failure is None or any(c.isalnum() for c in token):
            return reading
    return Reading(failure="no answer among the first tokens")


def _goes_on(both: str, token: str) -> bool:
    """Whether the next token continues this one's word: "1" and "0" are ten."""
    return token[-1:].isalnum() and both[len(token) :][:1].isalnum()


def _read_position(alternatives: Mapping[str, float], prompt: JudgePrompt, floor: float) -> Reading:
    usable = {token: logp for token, logp in alternatives.items() if math.isfinite(logp) and logp > _LEAST}
    if not usable:
        return Reading(failure="no log-probs came back")
    first, second = (
        _total(logp for token, logp in usable.items() if bare(token) in words)
        for words in (prompt.first_words, prompt.second_words)
    )
    mass = math.exp(first) + math.exp(second)
    if mass == 0 or mass < floor:
        return Reading(mass=mass, failure=f"the two answers had {mass:.3f} of the probability, under {floor}")
    bound = _unlisted(usable)
    first, second = max(first, min(bound, second)), max(second, min(bound, first))
    return turned(Reading(first, second, mass), prompt)


def is_a_distribution(positions: Sequence[Mapping[str, float]]) -> bool:
    """Whether any position lists two tokens that could have been: greedy log-probs are 0 for one and −∞ for all others."""
    return any(sum(logp > _LEAST for logp in alternatives.values()) > 1 for alternatives in positions)


def _total(logps: Iterable[float]) -> float:
    listed = list(logps)
    top = max(listed, default=-math.inf)
    return top + math.log(sum(math.exp(logp - top) for logp in listed)) if listed else top


def _unlisted(alternatives: Mapping[str, float]) -> float:
    """The most that a token can have which is not listed, as a log-prob."""
    rest = 1 - sum(math.exp(logp) for logp in alternatives.values())
    smallest = min(alternatives.values())
    return min(smallest, math.log(rest)) if rest > 1e-12 else min(smallest, math.log(1e-12))


# --- sampled verdicts


def read_verdicts(texts: Sequence[str], prompt: JudgePrompt, prior: float) -> Reading:
    """The answer from n sampled verdicts of one order: ``(k + a) / (n + 2a)`` with a Beta(a, a) prior; a tie is half of k.

    Verdicts that are no answer are left out; where more than half are, the judgement has failed.
    """
    sides = [_side(text, prompt) for text in texts]
    ties = sides.count(TIE)
    first, second = sides.count(FIRST) + ties / 2, sides.count(SECOND) + ties / 2
    read = round(first + second)
    if read * 2 < len(texts) or read == 0:
        return Reading(mass=read / max(1, len(texts)), failure=f"{read} of {len(texts)} sampled verdicts were an answer")
    total = read + 2 * prior
    counted = Reading(math.log((first + prior) / total), math.log((second + prior) / total), read / len(texts))
    return turned(counted, prompt)


def _side(text: str, prompt: JudgePrompt) -> str | None:
    """Of one text; None where it is no answer, or says that there is none."""
    verdict = find_verdict(visible(text), prompt.first, prompt.second, prompt.asks_for, prompt.verdicts)
    return None if verdict is None or verdict.side == NONE else verdict.side


def turned(reading: Reading, prompt: JudgePrompt) -> Reading:
    """A prompt that asks for the worse one: its "1" says that the second is better."""
    if prompt.asks_for == "better":
        return reading
    return Reading(reading.second_logp, reading.first_logp, reading.mass, reading.failure)
