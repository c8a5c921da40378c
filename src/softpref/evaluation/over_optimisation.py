"""Over-optimisation (arXiv 2409.06691, §5.3): where training took the log-probs of both sides, and how far from the reference.

A preference loss sees the difference of two log-ratios alone. It may widen it by pushing the rejected response down faster
than the chosen one falls: the gap grows, accuracy too, and the model forgets how to write what people prefer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softpref.core.arrays import Floats
from softpref.data.formats import read_pairs
from softpref.data.pairs import PairSet, PreferencePair
from softpref.data.places import with_prior_of
from softpref.data.read_options import ReadOptions
from softpref.data.rendering import AnyPrompt
from softpref.data.tokenization import TokenizedPair
from softpref.errors import InputError, OptionError
from softpref.evaluation.classification import SideScores, side_scores
from softpref.evaluation.classify import label_bins, mean_or_none, require_labels
from softpref.evaluation.implicit_reward import reference_of_run, run_record
from softpref.generation.sampling import Response, Sampling
from softpref.loading.models import check_model, load_policy, load_tokenizer
from softpref.loading.vocabulary import embedding_rows, refuse_unknown_ids
from softpref.records.evaluation import (
    EvaluationRecord,
    OverOptimisationRecord,
    RatioBin,
    RatioCheckpoint,
    RatioStep,
    SampledKL,
)
from softpref.records.record import command_line
from softpref.records.run import FrontierRecord
from softpref.run_folder import (
    EVALUATION_FILE,
    EVALUATIONS_FOLDER,
    FRONTIER_FILE,
    METRICS_FILE,
    OVER_OPTIMISATION_FILE,
    checkpoints_of,
    read_lines,
)

# Nats per response token by which the chosen responses may fall below the reference: at ½, every one of their tokens has
# become e^½ = 1.65 times less likely on average, and their perplexity has grown by as much.
COLLAPSE = 0.5


def over_optimisation(
    run: str | Path,
    data: str | Path | None = None,
    reference: str | None = None,
    checkpoints: bool = False,
    output: str | Path | None = None,
    reading: ReadOptions | None = None,
) -> OverOptimisationRecord:
    """Log-ratios of both sides of labelled pairs under a finished run, by label bin and over training.

    Args:
        run: a run folder.
        data: labelled pairs; those that the run was trained on if not given.
        reference: the run's own if not given.
        checkpoints: score every checkpoint that lies in the run folder too, by label bin.
        output: folder for ``over_optimisation.json``; the run folder if not given.

    Returns what the file holds. Log-ratios are sums over a response's tokens, in nats. Raises InputError where the folder
    holds no run that compares two responses, or the data has no labels.
    """
    run = Path(run)
    record = run_record(run)
    if record is None:
        raise InputError(f"{run}: holds no run; give the output_dir of softpref train")
    if record.method.base == "sft":
        raise InputError(f"{run}: was trained by sft, which compares nothing: there is no gap to look at")
    data = data or record.data.file
    if not Path(data).is_file():
        raise OptionError(f"{data}: no such file; give the labelled pairs to look at with --data")
    pairs = read_pairs(data, with_prior_of(reading or ReadOptions(), record.data.reading))
    require_labels(pairs)
    reference = reference or reference_of_run(run, record)
    for model in (str(run), *map(str, checkpoints_of(run).values() if checkpoints else ())):
        check_model(model)
    against = side_scores(reference, pairs)
    bins = by_bin(side_scores(str(run), pairs), against, pairs)
    result = OverOptimisationRecord(
        run=str(run),
        reference=reference,
        data=str(data),
        pairs=len(pairs),
        by_bin=bins,
        over_training=over_training(run),
        checkpoints=_checkpoints(run, against, pairs) if checkpoints else [],
        kl=_sampled_kl(run, reference),
        warning=collapse_warning(bins),
        command=command_line(),
    )
    result.write(Path(output or run) / OVER_OPTIMISATION_FILE)
    return result


# --- log-ratios -----------------------------------------------------------------------------------------------------------


def by_bin(policy: SideScores, reference: SideScores, pairs: Sequence[PreferencePair]) -> list[RatioBin]:
    """Means over the pairs of each label bin; ``chosen`` is the side that the label prefers. None where a bin is empty.

    ``margin`` is h in nats, without beta: the difference of the two log-ratios.
    """
    ratios = policy.logps - reference.logps
    p = np.array([pair.soft_label for pair in pairs], dtype=np.float64)
    rows = []
    for bounds, inside in label_bins(p):
        chosen, rejected = ratios[inside, 0], ratios[inside, 1]
        per_token = chosen / reference.lengths[inside, 0]
        means = (mean_or_none(values) for values in (chosen, rejected, chosen - rejected, per_token))
        rows.append(RatioBin(bounds.low, bounds.high, bounds.count, *means))
    return rows


def collapse_warning(bins: Sequence[RatioBin]) -> str | None:
    """What to tell a person whose chosen responses have become much less likely, over all pairs or in one label bin."""
    falls = [(row.chosen_logratio_per_token, row) for row in bins if row.chosen_logratio_per_token is not None]
    total = sum(row.count for _, row in falls)
    mean = sum(row.count * fall for fall, row in falls) / total
    deepest, worst = min(falls, key=lambda one: one[0])
    if mean < -COLLAPSE:
        where, fall = "", mean
    elif deepest < -COLLAPSE and worst.count > total / 100:
        where, fall = f" where the label lies in {worst.low} to {worst.high}", deepest
    else:
        return None
    return (
        f"the chosen responses have collapsed{where}: their log-prob fell by {-fall:.2f} nats per token below the reference "
        f"(more than {COLLAPSE}). Train for fewer steps, at a lower learning rate, or with a larger beta"
    )


def over_training(run: Path) -> list[RatioStep]:
    """The training log's log-ratios by step, with the KL of the frontier's checkpoints where they were sampled."""
    file = run / FRONTIER_FILE
    kl = {point.step: point.kl for point in FrontierRecord.read(file).points} if file.is_file() else {}
    return [
        RatioStep(line["step"], line.get("chosen_logratio"), line.get("rejected_logratio"), line["margin"], kl.get(line["step"]))
        for line in read_lines(run / METRICS_FILE)
        if "margin" in line and "loss" in line
    ]


def _checkpoints(run: Path, reference: SideScores, pairs: PairSet) -> list[RatioCheckpoint]:
    return [
        RatioCheckpoint(step, by_bin(side_scores(str(folder), pairs), reference, pairs))
        for step, folder in checkpoints_of(run).items()
    ]


# --- KL -------------------------------------------------------------------------------------------------------------------


def _sampled_kl(run: Path, reference: str) -> SampledKL | None:
    """The KL of an evaluation that lies in the run folder and was sampled against this reference, with its name."""
    for file in sorted(run.glob(f"{EVALUATIONS_FOLDER}/*/{EVALUATION_FILE}")):
        record = EvaluationRecord.read(file)
        if record.kl is not None and list(record.models[1:]) == [reference]:
            return SampledKL(**vars(record.kl), evaluation=file.parent.name)
    return None


def sample_log_ratios(
    model: str,
    reference: str,
    prompts: Sequence[AnyPrompt],
    responses: Sequence[Response],
    sampling: Sampling | None = None,
) -> Floats:
    """log π(y|x) − log π_ref(y|x) of each response, (N,) in nats; ``responses`` point into ``prompts``.

    ``sampling`` is what drew them: its template arguments are part of the prompts. Their mean over samples of the model at
    temperature 1 estimates KL(π ‖ π_ref) without bias; at any other temperature it does not.
    """
    encoder = (sampling or Sampling()).encoder(load_tokenizer(model))
    samples = [
        TokenizedPair(encoder.prompt(prompts[r.prompt]), list(r.tokens), [], None, 1.0, i) for i, r in enumerate(responses)
    ]
    ratios: Floats = _sample_logps(model, samples) - _sample_logps(reference, samples)
    return ratios


def _sample_logps(model: str, samples: Sequence[TokenizedPair]) -> Floats:
    from softpref.scoring.score_all import score_all

    policy = load_policy(model)
    refuse_unknown_ids((ids for sample in samples for ids in sample.sequences), embedding_rows(policy), model)
    logps: Floats = score_all(policy, samples).chosen.double().cpu().numpy()
    return logps
