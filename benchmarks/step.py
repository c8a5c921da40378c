"""One update of preference training: softpref, its parts, a plain step and TRL's DPOTrainer, side by side in one run.

    python benchmarks/step.py                                     the README's and docs' table: TRL and the plain step at
                                                                  both models and three shapes, each saving alone at one
    python benchmarks/step.py --models small --shapes summary --rounds 5
    python benchmarks/step.py --growth                            how time and memory grow with length and vocabulary
    python benchmarks/step.py --profile                           where one update of softpref goes (on a CPU)

Every contender is a process of its own that trains the same random Llama on the same pairs in the same order with AdamW.
softpref takes turns with each of the others, one update at a time; what is timed is one update, from batch to new weights. The
first updates (warm-up, and softpref's self-check) are left out of the times but not out of the memory: its peak is counted above
what the process held before training. All have reference log-probs computed before, except where "live" says otherwise. On a CPU
everything is fp32 on all cores with one allocator setting for all; on a GPU bf16.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# One allocator for all contenders: fresh pages cost more than arithmetic on small machines, and hide what is compared.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "34359738368"}
CONTENDERS = {
    "trl": "TRL DPOTrainer",
    "trl-grouped": "TRL DPOTrainer, batches of like length",
    "plain-live": "plain step, reference live",
    "plain": "plain step",
    "budget": "plain + token budget",
    "positions": "plain + vocabulary at responses only",
    "packed": "plain + no padding",
    "shared": "plain + shared prompt, no padding",
    "ours-live": "softpref, reference live",
    "ours": "softpref",
}


@dataclasses.dataclass(frozen=True)
class Model:
    """A random Llama with tied embeddings; the feed-forward width is twice the hidden one."""

    vocabulary: int
    hidden: int
    layers: int
    pairs: int

    @property
    def body(self) -> int:
        return self.layers * 10 * self.hidden**2


@dataclasses.dataclass(frozen=True)
class Shape:
    """Mean tokens of prompts and responses; both log-normal with σ = 0.4."""

    prompt: int
    response: int


MODELS = {"small": Model(32_000, 256, 7, 8), "wide": Model(131_072, 512, 16, 4)}
SHAPES = {"summary": Shape(300, 32), "dialogue": Shape(120, 60), "chat": Shape(100, 300)}
SIGMA = 0.4
# Each saving alone is shown once: at the other sizes it would say the same, and take hours.
IN_PARTS = ("small", "summary")
RIVALS = ["trl", "plain"]


def main() -> None:
    options = arguments()
    if options.worker:
        work(options.worker, read(Model, options.model), read(Shape, options.shape), options.rounds + options.warm_up)
        return
    if options.growth:
        growth(options)
        return
    if options.profile:
        for name, shape in itertools.product(options.models, options.shapes):
            print(f"\n### {name}, {shape}\n\n{profile(MODELS[name], SHAPES[shape], options.warm_up)}", flush=True)
        return
    for name in options.models:
        model = MODELS[name] if options.pairs is None else dataclasses.replace(MODELS[name], pairs=options.pairs)
        for shape in options.shapes:
            contenders = options.contenders or (list(CONTENDERS) if (name, shape) == IN_PARTS else RIVALS)
            found = race(model, SHAPES[shape], contenders, options.rounds, options.warm_up)
            print(
                f"\n### {name} ({(model.body + model.vocabulary * model.hidden) / 1e6:.0f}M parameters, vocabulary "
                f"{model.vocabulary:,}), {shape} ({SHAPES[shape].prompt} / {SHAPES[shape].response} tokens), "
                f"{model.pairs} pairs an update, {options.rounds} rounds\n"
            )
            print(table(found, model), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        help="default: all in small summary, TRL and the plain step elsewhere",
    )
    parser.add_argument("--rounds", type=int, default=5, help="updates that are timed")
    parser.add_argument("--warm_up", type=int, default=2, help="updates before them")
    parser.add_argument("--pairs", type=int, help="pairs an update (8 for small, 4 for wide)")
    parser.add_argument("--growth", action="store_true", help="length and vocabulary, plain against softpref")
    parser.add_argument("--profile", action="store_true", help="softpref alone: its parts of one update")
    for name in ("worker", "model", "shape"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser.parse_args()


def read(kind: type, text: str) -> Any:
    return kind(**json.loads(text))


# ------------------------------------------------------------------------------------------------------- the race


@dataclasses.dataclass
class Result:
    """Seconds of every timed update, peak memory above the start in MiB, and what the process says of the work."""

    seconds: list[float]
    memory: float
    flops: float = 0.0
    peak: float = 0.0


@dataclasses.dataclass
class Duel:
    """softpref and another, whose updates took turns."""

    ours: Result
    theirs: Result

    def faster(self) -> str:
        """Median of the ratios of seconds, round by round, and the middle half of them."""
        ratios = [theirs / ours for ours, theirs in zip(self.ours.seconds, self.theirs.seconds, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        return f"{middle:.2f}× | {low:.2f} to {high:.2f}"

    def memory(self) -> float:
        """Ours over theirs."""
        return self.ours.memory / max(self.theirs.memory, 1)


class KilledError(Exception):
    """A contender was ended from outside, most likely for the memory that it took."""


def race(model: Model, shape: Shape, contenders: list[str], rounds: int, warm_up: int) -> dict[str, Duel | str]:
    """softpref against every other, two at a time, one update each in turn. (All at once would not fit into memory.)"""
    with tempfile.TemporaryDirectory() as cache:
        # all of ours look reference log-probs up in one cache, which the first of them fills
        os.environ["SOFTPREF_CACHE"] = cache
        found: dict[str, Duel | str] = {}
        for name in contenders:
            if name != "ours":
                try:
                    found[name] = duel(name, model, shape, rounds, warm_up)
                except KilledError as error:
                    found[name] = str(error)
        return found


def duel(name: str, model: Model, shape: Shape, rounds: int, warm_up: int) -> Duel:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(started(who, model, shape, rounds, warm_up)) for who in ("ours", name)]
        seconds: list[list[float]] = [[], []]
        for _ in range(warm_up + rounds):
            for worker, taken in zip(workers, seconds, strict=True):
                taken.append(worker("go")["seconds"])
        ours, theirs = (Result(taken[warm_up:], **worker("end")) for worker, taken in zip(workers, seconds, strict=True))
    return Duel(ours, theirs)


@contextlib.contextmanager
def started(name: str, model: Model, shape: Shape, rounds: int, warm_up: int) -> Iterator[Callable[[str], Any]]:
    """A contender that waits for its turn: what it is told, and what it answers, are lines."""
    command = [
        sys.executable,
        __file__,
        "--worker",
        name,
        "--rounds",
        str(rounds),
        "--warm_up",
        str(warm_up),
        "--model",
        json.dumps(dataclasses.asdict(model)),
        "--shape",
        json.dumps(dataclasses.asdict(shape)),
    ]
    with tempfile.TemporaryFile("w+") as errors:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **ALLOCATOR, "TRL_EXPERIMENTAL_SILENCE": "1"},
        )

        def tell(word: str) -> Any:
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(word + "\n")
                worker.stdin.flush()
            line = worker.stdout.readline()
            if not line and worker.wait() < 0:
                raise KilledError(f"{CONTENDERS[name]} was ended by signal {-worker.returncode}")
            if not line:
                errors.seek(0)
                raise SystemExit(f"{name} ended: {errors.read()[-2000:]}")
            return json.loads(line)

        tell("ready?")
        try:
            yield tell
        finally:
            worker.kill()
            worker.wait()


def table(found: dict[str, Duel | str], model: Model) -> str:
    lines = [
        "| contender | pairs/s | softpref is faster by | middle half of rounds | peak memory | softpref's memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        if isinstance(one, str):
            lines.append(f"| {CONTENDERS[name]} | – | {one} | | | |")
            continue
        theirs = one.theirs
        lines.append(
            f"| {CONTENDERS[name]} | {model.pairs / statistics.median(theirs.seconds):.2f} | {one.faster()} "
            f"| {theirs.memory:,.0f} MiB | {one.memory():.2f}× |"
        )
    ours = [one.ours for one in found.values() if isinstance(one, Duel)]
    if not ours:
        return "\n".join(lines)
    seconds = statistics.median(second for one in ours for second in one.seconds)
    memory, peak = statistics.median(one.memory for one in ours), max(one.peak for one in ours)
    lines.append(f"| **softpref** | {model.pairs / seconds:.2f} | | | {memory:,.0f} MiB | |")
    rate = ours[0].flops / seconds
    lines.append(
        f"\n{rate / 1e9:.0f} useful GFLOP/s, {rate / peak:.0%} of the {peak / 1e9:.0f} that a large matrix product reaches"
    )
    return "\n".join(lines)


def growth(options: argparse.Namespace) -> None:
    """Time and memory of one update against response length, prompt length and vocabulary, the rest as in small/summary."""
    base, shape = dataclasses.replace(MODELS["small"], pairs=4), SHAPES["summary"]
    cases = [(f"response {n}", base, dataclasses.replace(shape, response=n)) for n in (32, 128, 512)]
    cases += [(f"prompt {n}", base, dataclasses.replace(shape, prompt=n)) for n in (100, 400, 1600)]
    cases += [(f"vocabulary {n:,}", dataclasses.replace(base, vocabulary=n), shape) for n in (8_000, 32_000, 128_000)]
    print("| | plain step | softpref | faster | plain memory | softpref's memory |\n|---|---|---|---|---|---|")
    for name, model, case in cases:
        one = duel("plain", model, case, options.rounds, 1)
        plain, ours = one.theirs, one.ours
        print(
            f"| {name} | {statistics.median(plain.seconds):.2f} s | {statistics.median(ours.seconds):.2f} s | "
            f"{one.faster().split(' |')[0]} | {plain.memory:,.0f} MiB | {ours.memory:,.0f} MiB |",
            flush=True,
        )


# ------------------------------------------------------------------------------------------------------ a contender


def work(name: str, model: Model, shape: Shape, updates: int) -> None:
    """Train, one update whenever told to."""
    answers, sys.stdout = sys.stdout, sys.stderr
    turn = Turn(answers)
    rows = make_rows(model, shape, updates)
    if name == "trl-grouped":
        rows = grouped(rows, model.pairs)
    with tempfile.TemporaryDirectory() as folder:
        trainer = (trl_trainer if name.startswith("trl") else our_trainer)(name, model, rows, folder, turn.callback())
        turn.before = memory(reset=True)
        trainer.train()
        ours = name == "ours"
        work_left = flops(model, trainer.train_dataset) / updates if ours else 0.0
        turn.finish(work_left, matrix_peak() if ours else 0.0)


class Turn:
    """Waits before every update, and says afterwards what it took."""

    def __init__(self, answers: Any) -> None:
        self.answers = answers
        self.listen()
        self.before = 0.0

    def listen(self) -> None:
        if sys.stdin.readline() == "":
            raise SystemExit

    def say(self, **what: float) -> None:
        self.answers.write(json.dumps(what) + "\n")
        self.answers.flush()

    def callback(self) -> Any:
        from transformers import TrainerCallback

        turn = self

        class Wait(TrainerCallback):
            def on_train_begin(self, *_: Any, **__: Any) -> None:
                turn.say(ready=1)

            def on_step_begin(self, *_: Any, **__: Any) -> None:
                turn.listen()
                synchronize()
                turn.started = time.perf_counter()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                synchronize()
                turn.say(seconds=time.perf_counter() - turn.started)

        return Wait()

    def finish(self, flops: float, peak: float) -> None:
        self.listen()
        self.say(memory=memory() - self.before, flops=flops, peak=peak)


def make_rows(model: Model, shape: Shape, updates: int) -> list[dict[str, Any]]:
    rng = random.Random(0)  # noqa: S311 - no secret

    def text(mean: int) -> str:
        words = max(1, round(mean * rng.lognormvariate(-(SIGMA**2) / 2, SIGMA)))
        return " ".join(f"w{rng.randrange(model.vocabulary - 3)}" for _ in range(words))

    return [
        {
            "prompt": text(shape.prompt),
            "chosen": " " + text(shape.response),
            "rejected": " " + text(shape.response),
            "soft_label": rng.uniform(0.6, 1.0),
        }
        for _ in range(updates * model.pairs)
    ]


def grouped(rows: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    ordered = sorted(rows, key=lambda row: max(len(row["chosen"]), len(row["rejected"])) + len(row["prompt"]))
    batches = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    random.Random(0).shuffle(batches)  # noqa: S311 - no secret
    return [row for batch in batches for row in batch]


def parts(model: Model) -> tuple[Any, Any]:
    import torch

    from softpref.demo.small_model import small_llama, word_tokenizer

    tokenizer = word_tokenizer(f"w{i}" for i in range(model.vocabulary - 3))
    policy = small_llama(tokenizer, model.hidden, model.layers, model.hidden // 64, 4096)
    return policy.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def settings(model: Model, rows: list[Any], folder: str) -> dict[str, Any]:
    import torch

    return {
        "output_dir": folder,
        "per_device_train_batch_size": model.pairs,
        "max_steps": len(rows) // model.pairs,
        "beta": 0.1,
        "learning_rate": 1e-6,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 10**6,
        "disable_tqdm": True,
        "max_length": 4096,
        "train_sampling_strategy": "sequential",
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
    }


def trl_trainer(_: str, model: Model, rows: list[Any], folder: str, callback: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, tokenizer = parts(model)
    data = Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows])
    args = DPOConfig(
        **settings(model, rows, folder),
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=2,
        gradient_checkpointing=False,
    )
    return DPOTrainer(policy, args=args, train_dataset=data, processing_class=tokenizer, callbacks=[callback])


def our_trainer(name: str, model: Model, rows: list[Any], folder: str, callback: Any) -> Any:
    from softpref import SoftPreferenceConfig, SoftPreferenceTrainer
    from softpref.scoring.self_check import CheckedScorer

    policy, tokenizer = parts(model)
    whole = name.startswith("ours")
    budget = None if whole or name == "budget" else 10**9
    args = SoftPreferenceConfig(
        **settings(model, rows, folder),
        loss_type="gdpo",
        max_tokens_per_batch=budget,
        precompute_ref_log_probs=not name.endswith("live"),
        prefix_sharing="on" if whole else "off",
    )
    trainer = SoftPreferenceTrainer(policy, args, train_dataset=rows, processing_class=tokenizer, callbacks=[callback])
    if not whole:
        trainer.checked = CheckedScorer(scorer(name), None, "a contender's own")
    return trainer


def scorer(name: str) -> Any:
    """The plain path with one saving alone."""
    from softpref.scoring.plain import pair_logps

    return {"positions": positions_only, "packed": Everywhere(False), "shared": Everywhere(True)}.get(name, pair_logps)


def positions_only(model: Any, pairs: Any) -> Any:
    """Padded sequences, with logits only where a response token is predicted."""
    import torch

    from softpref.scoring.plain import padded
    from softpref.scoring.scores import paired

    sequences = [(pair.prompt, side) for pair in pairs for side in (pair.chosen, pair.rejected) if side]
    device = next(model.parameters()).device
    ids, attention, response = (one.to(device) for one in padded(sequences))
    scored = torch.nn.functional.pad(response[:, 1:], (0, 1))
    logits = model(input_ids=ids, attention_mask=attention, use_cache=False, logits_to_keep=scored).logits.float()
    logps = logits.gather(1, ids.roll(-1, 1)[scored][:, None]).squeeze(1) - logits.logsumexp(1)
    which = torch.arange(len(ids), device=device)[:, None].expand_as(scored)[scored]
    return paired(logps.new_zeros(len(ids)).index_add(0, which, logps), response.sum(1).to(logps.dtype), pairs)


class Everywhere:
    """Packed rows, with logits at every position."""

    def __init__(self, share_prompt: bool) -> None:
        self.share_prompt = share_prompt

    def __call__(self, model: Any, pairs: Any) -> Any:
        import torch

        from softpref.scoring.packing import Group, pack
        from softpref.scoring.scores import paired
        from softpref.scoring.shared_prefix import forward_row

        row = pack([Group(pair.prompt, [pair.chosen, pair.rejected]) for pair in pairs], self.share_prompt)
        device = next(model.parameters()).device
        logits = forward_row(model, row, device, torch.arange(row.ids.shape[1], device=device)).logits[0]
        logits = logits[row.predictors.to(device)].float()
        logps = logits.gather(1, row.targets.to(device)[:, None]).squeeze(1) - logits.logsumexp(1)
        sums = logps.new_zeros(len(row.lengths)).index_add(0, row.response_of.to(device), logps)
        return paired(sums, row.lengths.to(sums), pairs)


# ------------------------------------------------------------------------------------------------------- the profile

PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"}


def profile(model: Model, shape: Shape, warm_up: int) -> str:
    """One update after the warm-up, by torch.profiler: every operator's own time, summed by what it is for."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler
    from transformers import TrainerCallback

    if torch.cuda.is_available():
        raise SystemExit("--profile is for a CPU")
    recorded = profiler(activities=[ProfilerActivity.CPU])

    class Record(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step == warm_up:
                recorded.start()

        def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step == warm_up + 1:
                recorded.stop()

    rows = make_rows(model, shape, warm_up + 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SOFTPREF_CACHE"] = folder
        trainer = our_trainer("ours", model, rows, folder, Record())
        trainer.train()
    parts: Counter[str] = Counter()
    for event in recorded.events():
        parts[part(event)] += event.self_cpu_time_total / 1e6
    total = sum(parts.values())
    lines = [f"| {name} | {seconds * 1e3:,.0f} ms | {seconds / total:.0%} |" for name, seconds in parts.most_common()]
    products = sum(seconds for name, seconds in parts.items() if name.endswith("products"))
    rate, peak = flops(model, list(trainer.train_dataset)[-model.pairs :]) / products, matrix_peak()
    lines.append(f"\nmatrix products: {rate / 1e9:.0f} GFLOP/s; a large one reaches {peak / 1e9:.0f}")
    return "\n".join([f"| one update | {total * 1e3:,.0f} ms | |", "|---|---|---|", *lines])


def part(event: Any) -> str:
    """What an operator is for, by its name and by those of what called it."""
    callers = []
    caller = event
    while caller is not None:
        callers.append(caller.name)
        caller = caller.cpu_parent
    within = " ".join(callers)
    if "Optimizer" in within:
        return "optimiser"
    if "_TokenLogps" in within:
        return "head: matrix products" if event.name in PRODUCTS else "head: exponentials, sums"
    if "scaled_dot_product" in event.name:
        return "body: attention"
    return "body: matrix products" if event.name in PRODUCTS else "the rest: norms, rotations, activations, copies"


# -------------------------------------------------------------------------------------------------------- measuring


def flops(model: Model, pairs: Any) -> float:
    """What no exact method can do without: every token of these pairs once through the body, responses through the head."""
    tokens = sum(pair.tokens for pair in pairs)
    scored = sum(len(pair.chosen) + len(pair.rejected) for pair in pairs)
    return 6.0 * (model.body * tokens + model.hidden * model.vocabulary * scored)


def matrix_peak() -> float:
    """FLOP/s of the best of some large matrix products."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    best = 0.0
    for size in (1024, 2048) if device == "cpu" else (8192,):
        a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
        for _ in range(6):
            started = time.perf_counter()
            a @ a
            synchronize()
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory(reset: bool = False) -> float:
    """MiB: peak since the last reset, or what is held now at a reset."""
    import torch

    if torch.cuda.is_available():
        held = torch.cuda.memory_allocated() if reset else torch.cuda.max_memory_allocated()
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return held / 2**20
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    wanted = "VmRSS" if reset else "VmHWM"
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(wanted))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
