"""A Hub card of a data set of pairs: front matter that the Hub reads, where the labels come from, and how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from softpref import __version__
from softpref.data.inspection import LABEL_BINS, inspect_pairs
from softpref.data.pairs import PairSet
from softpref.report.markdown import code, escaped

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
BAR = 40


@dataclass(frozen=True)
class DatasetCardOptions:
    """What a file cannot know: the title, the licence by the Hub's identifier, and the Hub id of what it was made of."""

    title: str
    license: str = "other"
    source: str | None = None


def dataset_card(pairs: PairSet, options: DatasetCardOptions) -> str:
    """The card as Markdown with YAML front matter."""
    front = yaml.safe_dump(_front_matter(pairs, options), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{front}---", f"# {escaped(options.title)}", _what(pairs), _columns(), _provenance(pairs, options)]
    parts += [_coverage(pairs), _histogram(pairs)] if pairs.labelled else []
    return "\n\n".join([*parts, _licence(options)]) + "\n"


def _front_matter(pairs: PairSet, options: DatasetCardOptions) -> dict[str, Any]:
    size = next((name for limit, name in SIZES if len(pairs) < limit), "n>1M")
    front: dict[str, Any] = {
        "license": options.license,
        "tags": ["preference", "soft-labels", "softpref"],
        "size_categories": [size],
    }
    front |= {"source_datasets": [options.source]} if options.source else {}
    return {**front, "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train.parquet"}]}]}


def _what(pairs: PairSet) -> str:
    found = inspect_pairs(pairs)
    labels = " with a soft label p = P(chosen is preferred)" if pairs.labelled else ", without labels"
    return f"{found.pairs:,} pairs of {found.prompts:,} prompts{labels}. Written by softpref {__version__}."


def _columns() -> str:
    return (
        "| column | meaning |\n|---|---|\n"
        "| `prompt`, `chosen`, `rejected` | texts, or messages |\n"
        "| `soft_label` | p = P(chosen is preferred), at least ½ |\n"
        "| `weight` | factor of the pair's loss |\n"
        "| `label_source`, `meta` | JSON: where p comes from, and notes; they are about the sides as they were before "
        "`sides_exchanged` |"
    )


def _provenance(pairs: PairSet, options: DatasetCardOptions) -> str:
    methods = Counter(str(pair.label_source.get("method", "unknown")) for pair in pairs) if pairs.labelled else Counter[str]()
    lines = [f"- labels: {escaped(method)}, {count:,} pairs" for method, count in methods.most_common()]
    judges = sorted({str(pair.label_source["judge"]) for pair in pairs if isinstance(pair.label_source.get("judge"), str)})
    lines += [f"- judge: {code(judge)}" for judge in judges]
    if pairs.reading.vote_prior is not None:
        lines.append(f"- votes became p by the prior Beta({pairs.reading.vote_prior:.3g}, {pairs.reading.vote_prior:.3g})")
    lines += [f"- made of {code(options.source)}"] if options.source else []
    return "\n".join(["## Where it comes from", "", *(lines or ["- not known"])])


def _coverage(pairs: PairSet) -> str:
    reading = pairs.reading
    lines = [f"- {reading.rows:,} rows were read, {len(pairs):,} pairs are kept"]
    counts: Mapping[str, int] = {
        "were put together with another row of the same pair": reading.merged,
        "had two identical sides and were left out": reading.identical_dropped,
        "had verdicts that neither side is good and were left out": reading.both_bad_dropped,
        "are ties, p = ½": reading.ties,
        "had their sides exchanged to bring p to at least ½": reading.swapped,
    }
    lines += [f"- {count:,} {what}" for what, count in counts.items() if count]
    return "\n".join(["## Coverage", "", *lines])


def _histogram(pairs: PairSet) -> str:
    summary = inspect_pairs(pairs).labels
    counts = summary["histogram"]
    lines = [
        f"{k / LABEL_BINS:.2f} to {(k + 1) / LABEL_BINS:.2f}  {count:>9,}  {'█' * round(BAR * count / max(counts))}"
        for k, count in enumerate(counts)
        if k >= LABEL_BINS // 2
    ]
    mean = f"Mean |2p − 1| = {summary['effective_weight']:.3f}: 0 is all ties, 1 all certain."
    return "\n".join(["## Labels", "", "```", *lines, "```", "", mean])


def _licence(options: DatasetCardOptions) -> str:
    choose = " Nobody has chosen one yet: set `license` above to that of the texts." if options.license == "other" else ""
    return (
        f"## Licence\n\n`{options.license}`.{choose} The prompts and responses keep the terms of whoever wrote them, and what a "
        "model wrote may be under its maker's."
    )
