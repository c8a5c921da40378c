"""The ``softpref evaluate`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from softpref.cli.judges import JudgeOptions, make_judge
from softpref.cli.options import parse_options, say


@dataclass(kw_only=True)
class EvaluateOptions(JudgeOptions):
    """Generate responses, have a judge compare them in both orders, and report win rates with intervals.

    Attributes:
        model: Folder or Hub name of the model to evaluate.
        against: A column of the data that holds a response in every row, or the folder or Hub name of another model.
        data: JSONL or CSV file with a prompt in every row.
        output: Folder for responses, judgements and figures; run again, it goes on from what lies there.
        temperature: 0 is greedy.
        top_p: Probability mass to sample from.
        responses: Responses per prompt; more than one needs a temperature.
        max_new_tokens: Tokens of a response at most; one that reaches it counts as unfinished.
        generation_batch_size: Prompts times responses that are generated at a time.
        generation_seed: Seed of sampling.
    """

    model: str
    against: str
    data: str
    output: str
    temperature: float = 0.0
    top_p: float = 1.0
    responses: int = 1
    max_new_tokens: int = 256
    generation_batch_size: int = 32
    generation_seed: int = 0


def run(argv: Sequence[str]) -> None:
    """Evaluate and print the figures."""
    options = parse_options(EvaluateOptions, "softpref evaluate", argv)
    from softpref.evaluation.evaluate import evaluate
    from softpref.generation.sampling import Sampling
    from softpref.run_folder import EVALUATION_FILE

    sampling = Sampling(
        options.temperature,
        options.top_p,
        options.responses,
        options.max_new_tokens,
        options.generation_batch_size,
        options.generation_seed,
    )
    judge = make_judge(JudgeOptions(**{f.name: getattr(options, f.name) for f in fields(JudgeOptions)}))
    result = evaluate(options.model, options.against, options.data, judge, options.output, sampling)
    _show(result)
    say(f"figures: {options.output}/{EVALUATION_FILE}")


def _show(result: dict[str, Any]) -> None:
    rates, ours, theirs = result["win_rates"], result["lengths"]["model"], result["lengths"]["against"]
    say(f"{result['model']} against {result['against']} on {result['prompts']} prompts, judged by {result['judge']}")
    say(f"coverage {rates['coverage']:.1%} ({rates['failed']} failed), position bias {rates['position_bias']:+.3f}")
    for name, what in (("percentage", "mean p"), ("binary", "p ≥ ½, a tie wins"), ("tie_aware", "a tie is half a win")):
        rate = rates[name]
        say(f"  {name:<11} {rate['value']:.3f}  95% interval {rate['low']:.3f} to {rate['high']:.3f}   ({what})")
    say(f"  ties {rates['tie_rate']:.1%}; mean words {ours['mean_words']:.1f} against {theirs['mean_words']:.1f}")
    if result["longer_wins"]:
        longer = result["longer_wins"]
        say(f"  the longer side wins {longer['value']:.3f} ({longer['low']:.3f} to {longer['high']:.3f})")
