"""All figures of a study in one tree of plain values: what ``study.json`` holds, and what tables and pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from softpref.research.study.conduct import Found
from softpref.research.study.labels import label_set
from softpref.research.study.results import (
    DECODINGS,
    KL_LEVELS,
    Method,
    against_sft,
    at_equal_kl,
    classification,
    difference,
    frontier_of,
    gap_at_kl,
    mean_of,
    methods_of,
    of_sft,
    prompts_in,
    standing,
)
from softpref.research.study.settings import FAMILIES
from softpref.research.study.world import CLASSIFIED


def summary_of(found: Found) -> dict[str, Any]:
    """Every part that was conducted, by its name."""
    betas = {method: chosen.beta for method, chosen in found.betas.items()}
    makers = {"comparison": _comparison, "two_criteria": _two_criteria, "noise": _parts, "conditions": _parts}
    return {
        "training": asdict(found.size.training),
        "betas": {method: chosen.as_dict() for method, chosen in found.betas.items()},
        "labels": _labels(found.labels),
        **{part: makers[part](methods_of(runs), betas) for part, runs in found.parts.items()},
    }


def _labels(labels: Mapping[tuple[str, int], Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """What each set's labels are like, averaged over seeds."""
    of_set: dict[str, list[Mapping[str, Any]]] = {}
    for (name, _), likeness in labels.items():
        of_set.setdefault(name, []).append(likeness)
    return {
        name: {key: float(np.mean([likeness[key] for likeness in every])) for key in every[0]} for name, every in of_set.items()
    }


def _comparison(by_labels: Mapping[str, Mapping[str, Method]], betas: Mapping[str, float]) -> dict[str, Any]:
    return {labels: _compared(methods, betas) for labels, methods in by_labels.items()}


def _compared(methods: Mapping[str, Method], betas: Mapping[str, float]) -> dict[str, Any]:
    any_method = next(iter(methods.values()))
    return {
        "sft": of_sft(any_method),
        "methods": {name: standing(method) for name, method in methods.items()},
        "differences": _differences(methods, along=True),
        "at_kl": at_equal_kl(methods),
        "frontier": {name: frontier_of(method) for name, method in methods.items()},
        "classification": {
            kind: {name: classification(method, kind, betas[name]) for name, method in methods.items()} for kind in CLASSIFIED
        },
    }


def _differences(methods: Mapping[str, Method], along: bool = False) -> dict[str, Any]:
    """Geometric less hard, and less conservative, of every family that has both."""
    found: dict[str, Any] = {}
    for geometric, others in FAMILIES.items():
        for other in others:
            if {geometric, other} <= methods.keys():
                one, against = methods[geometric], methods[other]
                gaps: dict[str, Any] = {decoding: difference(one, against, decoding) for decoding in DECODINGS}
                if along:
                    gaps["at_kl"] = {f"{level:g}": gap_at_kl(one, against, level) for level in KL_LEVELS}
                found[f"{geometric} − {other}"] = gaps
    return found


def _parts(by_labels: Mapping[str, Mapping[str, Method]], _: Mapping[str, float]) -> dict[str, Any]:
    """Gold, KL and the differences: what the parts show that look at the DPO family alone."""
    return {
        labels: {
            "sft": of_sft(next(iter(methods.values()))),
            "methods": {name: _short(method) for name, method in methods.items()},
            "differences": _differences(methods),
        }
        for labels, methods in by_labels.items()
    }


def _short(method: Method) -> dict[str, Any]:
    prompts = prompts_in(method)
    gold = {decoding: mean_of(method.scores(decoding), prompts).as_dict() for decoding in DECODINGS}
    return {"seeds": list(method.seeds), "gold": gold, "kl": mean_of(method.log_ratios(), prompts).as_dict()}


def _two_criteria(by_labels: Mapping[str, Mapping[str, Method]], _: Mapping[str, float]) -> dict[str, Any]:
    """Each method against the SFT model by either criterion, and its worth by both."""
    [(labels, methods)] = by_labels.items()
    criteria = label_set(labels).criteria
    return {name: _by_criteria(method, criteria) for name, method in methods.items()}


def _by_criteria(method: Method, criteria: Sequence[str]) -> dict[str, Any]:
    prompts = prompts_in(method)
    found: dict[str, Any] = {"seeds": list(method.seeds), "kl": mean_of(method.log_ratios(), prompts).as_dict()}
    for decoding in DECODINGS:
        worth = {name: method.scores(decoding, name) for name in criteria}
        found[decoding] = {
            "win_rates": {name: against_sft(method, decoding, name) for name in criteria},
            "worth": {name: mean_of(values, prompts).as_dict() for name, values in worth.items()},
            "mean_worth": mean_of(np.mean(list(worth.values()), axis=0), prompts).as_dict(),
        }
    return found
