"""Judges and samplers whose answers are known, for the tests of online training."""

from __future__ import annotations

import math

from softpref.generation.sampling import Response
from softpref.judges.base import Answer


class CountingJudge:
    """Prefers the response with more tokens of text: P(first) = s(words(first) − words(second)). Fails where told to."""

    identity = "counting"

    def __init__(self, fails=lambda _: False):
        self.fails = fails
        self.asked = []

    def answer(self, questions):
        for question in questions:
            self.asked.append(question)
            if self.fails(question):
                yield Answer(question, failure="out of order")
                continue
            z = len(question.first.split()) - len(question.second.split())
            yield Answer(question, -math.log1p(math.exp(-z)), -math.log1p(math.exp(z)), 1.0)


class ScriptedSampler:
    """Gives every prompt the two texts of a script, in the tokenizer's ids, and notes the weights it was called with."""

    def __init__(self, script):
        self.script = script
        self.seen = []
        self.seeds = []

    def __call__(self, model, tokenizer, prompts, sampling):
        self.seen.append({name: value.clone() for name, value in model.state_dict().items()})
        self.seeds.append(sampling.seed)
        for place, prompt in enumerate(prompts):
            yield [
                Response(place, k, text, [*tokenizer(text)["input_ids"], tokenizer.eos_token_id], True)
                for k, text in enumerate(self.script[prompt])
            ]
