"""Who wins: against a common opponent, and every method against every other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from softpref.records.evaluation import DuelFigures, EvaluationRecord
from softpref.records.figures import RepetitionFigures
from softpref.report import charts
from softpref.report.collect import Found, HeadToHead
from softpref.report.document import Block, Column, Figure, Matrix, Note, Section, Table
from softpref.report.format import interval, percent
from softpref.report.groups import Group, short, slug
from softpref.report.palette import Colours
from softpref.report.sections.lengths import length_table, side_row

RATES = (
    Column("run", "run"),
    Column("percentage", "percentage", "estimate_percent"),
    Column("binary", "binary (ties win)", "estimate_percent"),
    Column("tie_aware", "tie-aware", "estimate_percent"),
    Column("tie_rate", "ties", "percent"),
    Column("prompts", "prompts", "count"),
    Column("coverage", "coverage", "percent"),
    Column("failed", "failed", "count"),
    Column("position_bias", "position bias", "signed"),
    Column("wilcoxon", "Wilcoxon p", "p_value"),
    Column("permutation", "permutation p", "p_value"),
    Column("reward", "reward", "estimate"),
    Column("kl", "KL, nats", "estimate2"),
)
DUELS = (
    Column("model", "model"),
    Column("against", "against"),
    Column("percentage", "percentage", "estimate_percent"),
    Column("length_controlled", "at equal length", "estimate_percent"),
    Column("tie_rate", "ties", "percent"),
    Column("coverage", "coverage", "percent"),
    Column("prompts", "prompts", "count"),
    Column("seeds", "seeds", "count"),
    Column("wilcoxon", "Wilcoxon p, Holm", "p_value"),
    Column("permutation", "permutation p, Holm", "p_value"),
)
ABOUT_RATES = (
    "Percentage: mean of the judge's p. Binary: share of p ≥ ½, so that a tie wins. Tie-aware: a tie is half a win. "
    "Intervals are 95%, by bootstrap over prompts."
)


def win_rate_section(group: Group, colours: Colours) -> Section:
    """Runs against one opponent, by one judge."""
    rows = [_rates(name, one.record) for name, one in group.rows]
    rewards = {row["reward_name"] for row in rows} - {None}
    columns = [_renamed(c, rewards) for c in RATES if any(row.get(c.key) is not None for row in rows)]
    table = Table(slug("win rates", group.heading), f"Results, {group.heading}", columns, rows, ABOUT_RATES)
    others = [row for row in rows if row["model"] != group.against] or rows
    blocks: list[Block] = [_forest(group, others, colours, "percentage", "percentage win rate", 0.5)]
    if len(rewards) == 1:
        scored = [row for row in rows if row.get("reward")]
        blocks.append(_forest(group, scored, colours, "reward", rewards.pop(), None))
    text = f"Against {group.against}, judged by {short(group.judge)}."
    return Section(slug("results", group.heading), f"Results: {group.heading}", [*blocks, table], text)


def _rates(run: str, record: EvaluationRecord) -> dict[str, Any]:
    return {
        "run": run,
        "model": record.model,
        "prompts": record.prompts,
        **vars(record.win_rates),
        **{name: test.p_value for name, test in record.tests.items()},
        "reward": record.reward,
        "reward_name": record.reward.name if record.reward else None,
        "kl": record.kl,
    }


def _renamed(column: Column, rewards: set[str]) -> Column:
    return Column("reward", next(iter(rewards)), column.form) if column.key == "reward" and len(rewards) == 1 else column


def _forest(
    group: Group, rows: Sequence[Mapping[str, Any]], colours: Colours, key: str, axis: str, middle: float | None
) -> Figure:
    percent = key == "percentage"
    name = slug("forest", key, group.heading)
    what = "Win rates" if percent else "Reward"
    caption = f"{what}, {group.heading}" + (
        f", against {group.against}" if percent and group.against not in group.heading else ""
    )
    drawn = charts.forest([(row["run"], row[key]) for row in rows], colours, axis, middle, caption, f"{name}-", percent)
    said = "; ".join(f"{row['run']} {interval(row[key], '.1%' if percent else '.3f')}" for row in rows)
    columns = [Column("run", "run"), Column(key, axis, "estimate_percent" if percent else "estimate")]
    return Figure(name, caption, f"{axis}: {said}.", drawn, Table(name, caption, columns, rows))


# --- every method against every other ---------------------------------------------------------------------------------------


def head_to_head_section(duel: HeadToHead, colours: Colours) -> Section:
    """The matrix, and what stands behind each of its cells."""
    record = duel.record
    rows = [_duel(pair) for pair in record.pairs]
    columns = [c for c in DUELS if any(row.get(c.key) is not None for row in rows)]
    table = Table(slug(duel.name, "pairs"), "Every pair once", columns, rows, "p-values are corrected for their number (Holm).")
    means = record.mean_win_rates()
    order = sorted(record.models, key=lambda name: -means.get(name, 0))
    blocks: list[Block] = [_matrix(duel, order), _pairs_forest(duel, colours), table]
    if record.lengths:
        blocks.append(_lengths(duel))
    text = f"Every method against every other on the same prompts, judged by {short(record.judge)} in both orders."
    return Section(slug("head to head", duel.name), "Head to head", blocks if rows else [Note("It holds no pair.")], text)


def _lengths(duel: HeadToHead) -> Table:
    record = duel.record
    repetition: Sequence[RepetitionFigures | None] = record.repetition or [None] * len(record.models)
    sides = zip(record.models, record.lengths, repetition, strict=True)
    return length_table(slug(duel.name, "lengths"), "Lengths", [side_row(*one) for one in sides])


def _duel(pair: DuelFigures) -> dict[str, Any]:
    kept = {key: getattr(pair, key) for key in ("model", "against", "prompts", "seeds", "length_controlled")}
    return {**kept, **vars(pair.win_rates), **{name: test.p_holm for name, test in pair.tests.items()}}


def _matrix(duel: HeadToHead, order: Sequence[str]) -> Matrix:
    cells = {}
    for pair in duel.record.pairs:
        cells[pair.model, pair.against] = pair.rate_of(pair.model)
        cells[pair.against, pair.model] = pair.rate_of(pair.against)
    rows = [
        {"model": one, "against": other, "percentage": cells.get((one, other))}
        for one in order
        for other in order
        if one != other
    ]
    name = slug(duel.name, "matrix")
    caption = "How often the model of the row is preferred to the model of the column, strongest first"
    columns = [
        Column("model", "model"),
        Column("against", "against"),
        Column("percentage", "percentage", "estimate_percent"),
    ]
    return Matrix(name, caption, order, cells, Table(name, caption, columns, rows))


def _pairs_forest(duel: HeadToHead, colours: Colours) -> Figure:
    """The winner of each pair first, the clearest on top; where several seeds were trained, each of them as a dot."""
    turned = sorted(map(_winner_first, duel.record.pairs), key=lambda row: -row["percentage"].point)
    name, caption = slug(duel.name, "forest"), "Win rate of the first over the second, 95% intervals"
    by_pair = {row["pair"]: colours.get(row["winner"], charts.PALETTE[0]) for row in turned}
    shown = [(row["pair"], row["percentage"]) for row in turned]
    seeds = {row["pair"]: row["by_seed"] for row in turned if len(row["by_seed"]) > 1}
    dots = {pair: list(rates.values()) for pair, rates in seeds.items()}
    drawn = charts.forest(shown, by_pair, "percentage win rate", 0.5, caption, f"{name}-", percent=True, dots=dots)
    said = "; ".join(f"{pair} {interval(rate, '.1%')}{_spread(seeds.get(pair))}" for pair, rate in shown)
    columns = [Column("pair", "pair"), Column("percentage", "percentage", "estimate_percent")]
    named = dict.fromkeys(seed for rates in seeds.values() for seed in rates)
    columns += [Column(f"seed_{seed}", f"seed {seed}", "percent") for seed in named]
    rows = [{**row, **{f"seed_{seed}": r for seed, r in seeds.get(row["pair"], {}).items()}} for row in turned]
    note = "Small dots are training seeds." if seeds else ""
    return Figure(name, caption, f"{caption}: {said}.", drawn, Table(name, caption, columns, rows, note))


def _winner_first(pair: DuelFigures) -> dict[str, Any]:
    """The pair's name, its winner, and the winner's win rate: over all, and by seed."""
    flip = pair.win_rates.percentage.point < 0.5
    first = pair.against if flip else pair.model
    by_seed = {
        seed.seed: 1 - seed.percentage if flip else seed.percentage for seed in pair.by_seed if seed.percentage is not None
    }
    return {"pair": f"{first} › {pair.other(first)}", "winner": first, "percentage": pair.rate_of(first), "by_seed": by_seed}


def _spread(rates: Mapping[str, float] | None) -> str:
    return f", seeds from {percent(min(rates.values()))} to {percent(max(rates.values()))}" if rates else ""


def results(found: Found, groups: Sequence[Group], colours: Colours) -> list[Section]:
    """Head-to-heads first, then the groups."""
    duels = [head_to_head_section(duel, colours) for duel in found.head_to_heads]
    return duels + [win_rate_section(group, colours) for group in groups]
