"""The figures of a study as Markdown tables, each under the question that it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any

from softpref.research.markdown_table import table
from softpref.research.study.results import DECODINGS, KL_LEVELS

Summary = Mapping[str, Any]

# As in the paper (arXiv 2409.06691, §5).
ALPHA = 0.01


def as_markdown(summary: Summary, command: str) -> str:
    """Every table that the study has figures for."""
    training = summary["training"]
    parts = {
        "comparison": _comparison,
        "two_criteria": _two_criteria,
        "conditions": _conditions,
        "noise": _noise,
    }
    head = (
        f"`{command}`. {training['updates']} updates of {training['per_update']} pairs; {training['prompts']} held-out tasks; "
        "95% intervals over seeds and prompts."
    )
    shown = [text for part, make in parts.items() if part in summary for text in make(summary[part])]
    return "\n".join([head, "", *_betas(summary["betas"]), *_labels(summary["labels"]), *shown])


def _betas(betas: Summary) -> list[str]:
    grid = list(next(iter(betas.values()))["scores"])
    if not grid:
        return [table([["method", "beta (the paper's)"], *([name, f"{one['beta']:g}"] for name, one in betas.items())])]
    rows = [[name, *(_score(one, beta) for beta in grid), _chosen(one)] for name, one in betas.items()]
    caption = "**Betas.** The judge's percentage win rate against SFT on validation tasks, greedy and sampled averaged."
    return [caption, "", table([["method", *(f"β {beta}" for beta in grid), "chosen"], *rows])]


def _score(one: Summary, beta: str) -> str:
    return f"{one['scores'][beta]:.3f}"


def _chosen(one: Summary) -> str:
    return f"{one['beta']:g}" + (" (edge of the grid)" if one["at_edge"] else "")


def _labels(labels: Summary) -> list[str]:
    head = ["label set", "pairs", "mean \\|2p − 1\\|", "side is right (½ if gold ties)", "Brier score against true p"]
    rows = [
        [name, f"{one['pairs']:.0f}", f"{one['confidence']:.2f}", _or_dash(one, "accuracy"), _or_dash(one, "brier")]
        for name, one in labels.items()
    ]
    return ["**Labels**, averaged over seeds.", "", table([head, *rows])]


def _or_dash(one: Summary, key: str) -> str:
    return f"{one[key]:.3f}" if key in one else "–"


# --- the comparison -----------------------------------------------------------------------------------------------------


def _comparison(comparison: Summary) -> list[str]:
    return [
        text
        for labels, compared in comparison.items()
        for (about, how_to_read), table in _shown(compared).items()
        for text in (f"**{labels} labels: {about}.** {how_to_read}".rstrip(), "", table)
    ]


def _shown(compared: Summary) -> dict[tuple[str, str], str]:
    """By what it is about and how it is read: every table of one label set."""
    matches = compared.get("head_to_head", {})
    return {
        (f"against the SFT model, by the faulty judge, {_seeds(compared['methods'])}", ""): _against_sft(compared),
        ("gold, KL and words", ""): _gold(compared),
        ("geometric less the other, in gold", ""): _differences(compared["differences"]),
        ("gold of samples at equal KL", ""): _at_kl(compared),
        **{(f"head to head, greedy, {_JUDGES[j]}", _READ_MATRIX): _matrix(match) for j, match in matches.items()},
        ("classification of held-out pairs by βh", _READ_CLASSIFIED): _classified(compared),
    }


def _seeds(methods: Summary) -> str:
    return f"{len(next(iter(methods.values()))['seeds'])} seeds"


# A tie counts as a binary win, and samples drawn alike are often the same text: binary is read beside its ties.
_RATES = {
    "binary": "binary",
    "tie_rate": "ties",
    "percentage": "percentage",
    "tie_aware": "tie-aware",
    "by_truth": "by true p",
}


def _against_sft(compared: Summary) -> str:
    head = ["", *(f"{decoding}: {name}" for decoding in DECODINGS for name in _RATES.values())]
    rows = [
        [name, *(_rate(one["win_rates"][decoding][kind]) for decoding in DECODINGS for kind in _RATES)]
        for name, one in compared["methods"].items()
    ]
    return table([head, *rows])


def _rate(rate: Summary | float) -> str:
    return _interval(rate) if isinstance(rate, Mapping) else f"{rate:.3f}"


def _gold(compared: Summary) -> str:
    sft = ["sft", *(_interval(compared["sft"][decoding]) for decoding in DECODINGS), "0", ""]
    rows = [
        [name, *(_interval(one["gold"][d]) for d in DECODINGS), _interval(one["kl"], 2), f"{one['words']:.1f}"]
        for name, one in compared["methods"].items()
    ]
    return table([["", "gold, greedy", "gold, sampled", "KL, nats", "words, greedy"], sft, *rows])


def _differences(differences: Summary) -> str:
    along = any("at_kl" in one for one in differences.values())
    levels = [f"{level:g}" for level in KL_LEVELS] if along else []
    head = ["", *(f"{d}, seeds above 0" for d in DECODINGS), *(f"sampled, at {level} nats" for level in levels)]
    rows = [
        [name, *(_signed_by_seed(one[d]) for d in DECODINGS), *(_signed(one["at_kl"][level]) for level in levels)]
        for name, one in differences.items()
    ]
    return table([head, *rows])


def _at_kl(compared: Summary) -> str:
    levels = list(compared["at_kl"])
    rows = [[name, *(_interval(compared["at_kl"][level].get(name)) for level in levels)] for name in compared["methods"]]
    return table([["", *(f"{level} nats" for level in levels)], *rows])


_JUDGES = {"judge": "by the faulty judge", "truth": "by the true p"}
_READ_MATRIX = (
    f"Percentage win rate of row against column. \\*\\*: p < {ALPHA} (Wilcoxon over prompts, each averaged over seeds; Holm over "
    "all pairs), which says nothing of other seeds."
)
_READ_CLASSIFIED = (
    "Intervals over seeds and pairs; pairs without a better side are left out of accuracy and AUC. Brier scores do not compare "
    "across losses: nothing in IPO or a geometric loss asks s(βh) to be a probability."
)


def _matrix(match: Summary) -> str:
    """See ``_READ_MATRIX``."""
    won: dict[tuple[str, str], str] = {}
    for pair in match["pairs"]:
        sure = "**" if pair["p_holm"] < ALPHA else ""
        rate = pair["percentage"]["value"]
        won[pair["model"], pair["against"]] = f"{rate:.3f}{sure}"
        won[pair["against"], pair["model"]] = f"{1 - rate:.3f}{sure}"
    names = match["methods"]
    return table([["", *names], *([row, *(won.get((row, column), "–") for column in names)] for row in names)])


def _classified(compared: Summary) -> str:
    kinds = compared["classification"]
    figures = ("accuracy", "auc", "brier")
    head = ["", *(f"{kind}: {figure.upper() if figure == 'auc' else figure}" for kind in kinds for figure in figures)]
    rows = [
        [name, *(_interval(kinds[kind][name][figure]) for kind in kinds for figure in figures)] for name in compared["methods"]
    ]
    return table([head, *rows])


# --- the other parts ----------------------------------------------------------------------------------------------------


def _two_criteria(methods: Summary) -> list[str]:
    criteria = list(next(iter(methods.values()))["greedy"]["worth"])
    head = [
        "",
        *(f"{d}: {what}" for d in DECODINGS for what in (*(f"won by {c}" for c in criteria), *criteria, "mean")),
    ]
    rows = [[name, *(cell for d in DECODINGS for cell in _both(one[d], criteria))] for name, one in methods.items()]
    caption = (
        f"**Two criteria**, {_seeds(methods)}: half of the pairs labelled by {criteria[0]}, half by {criteria[1]}. "
        "Percentage win rates against the SFT model by a faulty judge of each, and what responses are worth by each."
    )
    return [caption, "", table([head, *rows])]


def _both(one: Summary, criteria: Sequence[str]) -> list[str]:
    won = [_interval(one["win_rates"][criterion]["percentage"]) for criterion in criteria]
    worth = [_interval(one["worth"][criterion]) for criterion in criteria]
    return [*won, *worth, _interval(one["mean_worth"])]


def _conditions(by_labels: Summary) -> list[str]:
    return [f"**What is wrong with the labels**, gold; {_seeds_of(by_labels)}.", "", _by_labels(by_labels)]


def _noise(by_labels: Summary) -> list[str]:
    caption = (
        f"**Label noise**, gold; {_seeds_of(by_labels)}. After a binary flip every p is 0 or 1, where the three losses are one "
        "but for beta: those rows compare betas."
    )
    return [caption, "", _by_labels(by_labels)]


def _seeds_of(by_labels: Summary) -> str:
    return _seeds(next(iter(by_labels.values()))["methods"])


def _by_labels(by_labels: Summary) -> str:
    methods = list(next(iter(by_labels.values()))["methods"])
    gaps = list(next(iter(by_labels.values()))["differences"])
    head = ["labels", *(f"{name}: {d}" for d in DECODINGS for name in (*methods, *gaps))]
    rows = [[labels, *_cells(one, methods, gaps)] for labels, one in by_labels.items()]
    return table([head, *rows])


def _cells(one: Summary, methods: Iterable[str], gaps: Iterable[str]) -> list[str]:
    gaps, methods = list(gaps), list(methods)
    found = []
    for decoding in DECODINGS:
        found += [f"{one['methods'][name]['gold'][decoding]['value']:.3f}" for name in methods]
        found += [_signed_by_seed(one["differences"][name][decoding]) for name in gaps]
    return found


# --- cells --------------------------------------------------------------------------------------------------------------


def _interval(estimate: Summary | None, decimals: int = 3) -> str:
    if estimate is None or isnan(estimate["value"]):
        return "–"
    value, low, high = (f"{estimate[key]:.{decimals}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _signed(estimate: Summary | None) -> str:
    if estimate is None:
        return "–"
    value, low, high = (f"{estimate[key]:+.3f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _signed_by_seed(estimate: Summary) -> str:
    return f"{_signed(estimate)} {estimate['seeds_above']}/{estimate['seeds']}"
