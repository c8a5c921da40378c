"""The ``softpref evaluate`` command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from softpref.cli.judges import CHARACTERS_PER_TOKEN, JudgeOptions, agree_to_pay, judge_options, make_judge
from softpref.cli.options import parse_options, say
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs
from softpref.records.evaluation import EvaluationRecord
from softpref.records.figures import ComparisonFigures, Interval, LeftOut, LengthFigures, RepetitionFigures

if TYPE_CHECKING:
    from softpref.cli.head_to_head import HeadToHeadOptions
    from softpref.generation.sampling import Sampling


@dataclass(kw_only=True)
class GenerationOptions:
    """How responses are generated.

    Attributes:
        temperature: 0 is greedy.
        top_p: Probability mass to sample from.
        responses: Responses per prompt; more than one needs a temperature.
        max_new_tokens: Tokens of a response at most; one that reaches it counts as unfinished.
        generation_batch_size: Prompts times responses that are generated at a time; vllm likes it large.
        generation_seed: Seed of sampling.
        engine: What generates: transformers, or vllm where it is installed.
        engine_options: What vLLM's LLM takes, such as {gpu_memory_utilization: 0.8}.
        chat_template_kwargs: Variables of the chat template, such as {enable_thinking: false}; a row's own come before them.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    responses: int = 1
    max_new_tokens: int = 256
    generation_batch_size: int = 32
    generation_seed: int = 0
    engine: Literal["transformers", "vllm"] = "transformers"
    engine_options: dict[str, Any] = field(default_factory=dict)
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class EvaluateOptions(GenerationOptions, JudgeOptions):
    """Generate responses, have a judge compare them in both orders, and report win rates with intervals.

    Attributes:
        model: Folder (model or PEFT adapter) or Hub name, or a .jsonl or .csv file with a prompt and a response per row.
        against: The same, or a column of the data that holds a response in every row.
        data: JSONL or CSV file with a prompt in every row; not needed where both sides are files of responses.
        output: Folder for responses, judgements and figures. Rerun the command to resume.
        yes: Do not ask before paid calls are made.
    """

    model: str
    against: str
    output: str
    data: str | None = None
    yes: bool = False


def run(argv: Sequence[str]) -> None:
    """Evaluate and print the figures."""
    options = parse_options(EvaluateOptions, "softpref evaluate", argv)
    _check_output(options)
    from softpref.evaluation.evaluate import evaluate
    from softpref.run_folder import EVALUATION_FILE

    judge = make_judge(judge_options(options))
    ask(options, [options.model, options.against], 1, yes=options.yes)
    with only_writer(options.output, "softpref evaluate"):
        result = evaluate(options.model, options.against, options.data, judge, options.output, sampling_of(options))
    for line in lines(result):
        say(line)
    say(f"figures: {options.output}/{EVALUATION_FILE}")


def ask(options: EvaluateOptions | HeadToHeadOptions, sides: Sequence[str], comparisons: int, *, yes: bool) -> None:
    """Before paid calls are made: how many questions ``comparisons`` of two sides on every prompt are at most."""
    if options.judge != "server":
        return
    from softpref.data.formats import read_numbered_prompts
    from softpref.data.pairs import text_of
    from softpref.evaluation.sides import is_file_of_responses, read_prompts_of

    prompts = read_prompts_of(options.data, sides).texts
    given = [len(read_numbered_prompts(side)) for side in sides if is_file_of_responses(side)]
    questions = 2 * comparisons * max(len(prompts) * options.responses, *given, 0)
    written = sum(len(text_of(prompt)) for prompt in prompts) / max(1, len(prompts))
    agree_to_pay([options], questions, written + 2 * options.max_new_tokens * CHARACTERS_PER_TOKEN, yes=yes)


def _check_output(options: EvaluateOptions) -> None:
    from softpref.run_folder import COMPARISONS_FILE, EVALUATION_FILE

    inputs = {name: getattr(options, name) for name in ("model", "against", "data", "judge_prompt")}
    folder = Path(options.output)
    check_outputs(inputs, {name: folder / name for name in (COMPARISONS_FILE, EVALUATION_FILE)}, {"output": folder})


def sampling_of(options: GenerationOptions) -> Sampling:
    """The options as generation takes them."""
    from softpref.generation.sampling import Sampling

    return Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        samples=options.responses,
        max_new_tokens=options.max_new_tokens,
        batch_size=options.generation_batch_size,
        seed=options.generation_seed,
        engine=options.engine,
        engine_options=options.engine_options,
        chat_template_kwargs=options.chat_template_kwargs,
    )


RATES = {"percentage": "mean p", "binary": "p ≥ ½, a tie wins", "tie_aware": "a tie is half a win"}


def lines(result: EvaluationRecord) -> Iterator[str]:
    """What a person reads of ``evaluation.json``."""
    rates, tests = result.win_rates, result.tests
    yield f"{result.model} against {result.against} on {result.prompts} prompts, judged by {result.judge}"
    yield f"judged {judged_of(result)} comparisons (coverage {rates.coverage:.1%}, {rates.failed} failed)"
    yield from _left_out(result.left_out)
    yield "win rate                95% interval"
    for name, what in RATES.items():
        yield f"  {name:<17} {interval(getattr(rates, name))}   ({what})"
    yield f"  {'equal length':<17} {interval(result.length_controlled)}   (percentage, length difference taken out)"
    yield f"  {'longer side':<17} {interval(result.longer_wins)}   (how often the longer of the two wins)"
    yield from _extrapolated(result)
    bias = "–" if rates.position_bias is None else f"{rates.position_bias:+.3f}"
    yield f"  ties {rates.tie_rate:.1%}, position bias {bias}"
    wilcoxon, permutation = tests["wilcoxon"], tests["permutation"]
    yield (
        f"no better than ½? over {wilcoxon.n} prompts: Wilcoxon p = {wilcoxon.p_value:.2g}, "
        f"permutation p = {permutation.p_value:.2g}"
    )
    for side in ("model", "against"):
        length: LengthFigures = getattr(result.lengths, side)
        cut = f", {length.unfinished} unfinished" if length.unfinished is not None else ""
        yield f"  {getattr(result, side)}: {length.mean_words:.1f} words on average{cut}{_repetition(result, side)}"
    for name, unit in (("reward", ""), ("kl", " nats per response, model from against")):
        if (figure := getattr(result, name)) is not None:
            yield f"  {name} {interval(figure)}{unit}"


def judged_of(figures: ComparisonFigures) -> str:
    """``58 of 60``: answered of asked."""
    asked = figures.asked or 0
    return f"{asked - figures.win_rates.failed} of {asked}"


def _repetition(result: EvaluationRecord, side: str) -> str:
    if result.repetition is None:
        return ""
    repeated: RepetitionFigures = getattr(result.repetition, side)
    distinct = " ".join(map(_share, (repeated.distinct_1, repeated.distinct_2, repeated.distinct_3)))
    return f"; distinct 1-, 2-, 3-grams {distinct}, longest repeat {repeated.longest_repeat:.1f} words"


def interval(estimate: Interval | None) -> str:
    """A figure and its interval, padded; a dash where there is none."""
    return f"{'–' if estimate is None else str(estimate):<23}"


# Where one side is longer in more than this share of the pairs, a win rate at equal length is read off a line's end.
ONE_SIDED = 0.9


def _extrapolated(result: EvaluationRecord) -> Iterator[str]:
    share = None if result.length_controlled is None else result.length_controlled.model_longer
    if share is not None and max(share, 1 - share) > ONE_SIDED:
        longer = result.model if share > 0.5 else result.against
        yield f"  {longer} is the longer in {max(share, 1 - share):.0%} of the pairs: the figure at equal length is extrapolated"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _left_out(counts: LeftOut | None) -> Iterator[str]:
    what = {
        "prompts_only_model": "prompts that only the model answers",
        "prompts_only_against": "prompts that only the other side answers",
        "prompts_neither": "prompts that neither answers",
        "responses": "responses without a partner",
    }
    named = [f"{count} {what[name]}" for name, count in (vars(counts) if counts else {}).items() if count]
    if named:
        yield f"left out: {', '.join(named)}"
