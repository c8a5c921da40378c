"""How fast the local judge is beside plain loops over the same questions, and that it gives the same values.

    python benchmarks/local_judge.py [--pairs 64] [--batch_size 16] [--rounds 5] [--prompt_words 150 350]

A random Llama of about 13M parameters judges both orders of pairs (prompts of 150 to 350 words, responses of 30 to 90) by the
shipped ``general`` prompt, whose opening is common to all questions. Every contender does all the work from question to answer
log-probs; they take turns, and what is timed is the process's own processor time on one thread: others on the machine count
for less.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch

from softpref.data.tokenization import PromptEncoder
from softpref.demo.small_model import small_llama, word_tokenizer
from softpref.judges.base import Comparison, Question
from softpref.judges.both_orders import orders
from softpref.judges.local import LocalJudge, spelling_ids
from softpref.judges.prompt import load_prompt

WORDS = [f"w{i}" for i in range(4000)]
RESPONSE_WORDS = (30, 90)
GOAL = 1.5
# One allocator for all contenders: fresh pages cost more than arithmetic on small machines, and hide what is compared.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"}

Values = dict[str, tuple[float, float]]  # question key → log-probs of both answers
Row = tuple[str, list[int]]  # question key, token ids


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    questions = make_questions(options.pairs, options.prompt_words, random.Random(0))  # noqa: S311 — no secret
    judge = make_judge(options.batch_size)
    contenders: dict[str, Callable[[], Values]] = {
        "plain loop, one order of one pair at a time": lambda: plain(judge, questions, 1),
        f"plain loop, batches of {options.batch_size}": lambda: plain(judge, questions, options.batch_size),
        "the same, sorted by length": lambda: plain(judge, questions, options.batch_size, in_order=False),
        f"softpref, batches of {options.batch_size}": lambda: ours(judge, questions),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    values: dict[str, Values] = {}
    for _ in range(options.rounds):
        for name, judge_all in contenders.items():
            started = time.process_time()
            values[name] = judge_all()
            seconds[name].append(time.process_time() - started)
    describe(judge, questions)
    print(table(seconds, values, len(questions)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("pairs", 64), ("batch_size", 16), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--prompt_words", type=int, nargs=2, default=[150, 350])
    return parser.parse_args()


# ------------------------------------------------------------------------------------------------------ the questions


def make_questions(pairs: int, prompt_words: list[int], rng: random.Random) -> list[Question]:
    """All comparisons in one order, then in the other: as a loop over one order at a time meets them."""
    comparisons = [
        Comparison(str(i), text(rng, *prompt_words), text(rng, *RESPONSE_WORDS), text(rng, *RESPONSE_WORDS)) for i in range(pairs)
    ]
    first, second = zip(*map(orders, comparisons), strict=True)
    return [*first, *second]


def text(rng: random.Random, shortest: int, longest: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(shortest, longest)))


def make_judge(batch_size: int) -> LocalJudge:
    prompt = load_prompt("general")
    tokenizer = word_tokenizer([*WORDS, *"12().,:[]?", *prompt.text.replace("[", " ").replace("]", " ").split()])
    model = small_llama(tokenizer, hidden=384, layers=8, heads=6, context=1024)
    return LocalJudge(model, tokenizer, prompt, "random", batch_size, mass_floor=0.0)


# ------------------------------------------------------------------------------------------------------ the contenders


def ours(judge: LocalJudge, questions: list[Question]) -> Values:
    return {a.question.key: (a.first_logp, a.second_logp) for a in judge.answer(questions)}


def plain(judge: LocalJudge, questions: list[Question], size: int, in_order: bool = True) -> Values:
    """What one writes with transformers alone: padded on the left, and the vocabulary met at the last position only."""
    encoder = PromptEncoder(judge.tokenizer)
    rows = [(question.key, encoder.prompt(judge.prompt.as_text(question))) for question in questions]
    if not in_order:
        rows.sort(key=lambda row: -len(row[1]))
    ids_of = spelling_ids(judge.tokenizer, judge.prompt, judge.name)
    sides = [
        [i for spelling in spellings for i in ids_of.get(spelling, [])] for spellings in (judge.prompt.first, judge.prompt.second)
    ]
    found: Values = {}
    for batch in batches(rows, size):
        logps = next_token(judge, [ids for _, ids in batch])
        first, second = (logps[:, side].logsumexp(1).tolist() for side in sides)
        found |= zip([key for key, _ in batch], zip(first, second, strict=True), strict=True)
    return found


def batches(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@torch.inference_mode()
def next_token(judge: LocalJudge, rows: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = judge.model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, use_cache=False)
    return out.logits[:, -1].float().log_softmax(-1)


# ------------------------------------------------------------------------------------------------------ the table


def describe(judge: LocalJudge, questions: list[Question]) -> None:
    encoder = PromptEncoder(judge.tokenizer)
    tokens = statistics.mean(len(encoder.prompt(judge.prompt.as_text(question))) for question in questions)
    size = sum(parameter.numel() for parameter in judge.model.parameters()) / 1e6
    print(
        f"{size:.1f}M parameters, {len(questions)} questions of {tokens:.0f} tokens on average, "
        f"{torch.get_num_threads()} thread, torch {torch.__version__}\n"
    )


def table(seconds: dict[str, list[float]], values: dict[str, Values], questions: int) -> str:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    single, batched, _, fast = medians
    lines = [
        "| | CPU seconds (median; least – most) | questions/s | × one at a time | × same batch size | largest difference, nats |",
        "|---|---|---|---|---|---|",
    ]
    for name, median in medians.items():
        gap = max(abs(x - y) for key in values[single] for x, y in zip(values[name][key], values[single][key], strict=True))
        lines.append(
            f"| {name} | {median:.2f} ({min(seconds[name]):.2f} – {max(seconds[name]):.2f}) | {questions / median:.1f} "
            f"| {medians[single] / median:.2f} | {medians[batched] / median:.2f} | {gap:.1e} |"
        )
    reached = "reached" if medians[batched] / medians[fast] >= GOAL else "MISSED"
    return "\n".join([*lines, "", f"Goal: {GOAL} × the plain loop at the same batch size: {reached}."])


if __name__ == "__main__":
    if not ALLOCATOR.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})  # noqa: S606 — itself
    main()
