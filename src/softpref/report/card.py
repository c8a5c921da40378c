"""A Hub model card of one run: front matter that the Hub reads, then the run in words, with its results and their limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from softpref.records.run import MethodFigures
from softpref.report.collect import Found, RunResult, read_run
from softpref.report.document import Section
from softpref.report.groups import group_evaluations
from softpref.report.markdown import code, escaped, section_parts
from softpref.report.palette import colours_of
from softpref.report.sections.implicit_reward import implicit_reward
from softpref.report.sections.labels import labels
from softpref.report.sections.lengths import lengths
from softpref.report.sections.over_optimisation import over_optimisation
from softpref.report.sections.provenance import provenance
from softpref.report.sections.results import win_rate_section
from softpref.report.verdict import cautions, verdict

PAPER = "[arXiv 2409.06691](https://arxiv.org/abs/2409.06691)"
GEOMETRIC = {"dpo": "GDPO", "ipo": "GIPO", "ropo": "GROPO"}
# owner/name, or the old models without an owner: gpt2.
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")
TREATMENTS = {
    "hard": "the label only says which side is better",
    "conservative": "a mixture of the loss and its mirror image, weighted by the label",
    "own": "p stands inside the loss",
    "geometric": "a weighted geometric average of the two sides' likelihoods, so that a pair of equals teaches nothing",
}


@dataclass(frozen=True)
class CardOptions:
    """What a run folder cannot know.

    Attributes:
        base_model: Hub id of the model that training started from, where the run names a folder.
        dataset: Hub id of the pairs, where the run names a file.
        license: identifier of the licence of the weights; the placeholder says that somebody has to choose.
    """

    base_model: str | None = None
    dataset: str | None = None
    license: str = "other"


def model_card(folder: str | Path, options: CardOptions | None = None) -> str:
    """The card as Markdown with YAML front matter.

    Raises InputError where the folder holds no run, ModuleNotFoundError without huggingface_hub (``softpref[hub]``).
    """
    from huggingface_hub import ModelCardData

    run, options = read_run(folder), options or CardOptions()
    data = ModelCardData(
        model_name=run.name,
        license=options.license,
        library_name="peft" if (Path(folder) / "adapter_config.json").is_file() else "transformers",
        base_model=options.base_model or _hub_id(run.run.model.start),
        datasets=[dataset] if (dataset := options.dataset or _hub_id(run.run.data.file)) else None,
        pipeline_tag="text-generation",
        tags=_tags(run.run.method),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_body(run)}"


def _hub_id(name: str) -> str | None:
    """The name where it can be one of the Hub: no path that exists here, no file, nothing absolute."""
    is_id = HUB_ID.match(name) and not Path(name).exists() and Path(name).suffix not in (".jsonl", ".csv", ".parquet")
    return name if is_id else None


def _tags(method: MethodFigures) -> list[str]:
    named = GEOMETRIC.get(method.base, "").lower() if method.label_treatment == "geometric" else ""
    found = ["softpref", method.base, named, *(["soft-labels", "preference"] if method.base != "sft" else [])]
    return list(dict.fromkeys(tag for tag in found if tag))


def _body(run: RunResult) -> str:
    found = Found([run])
    groups = group_evaluations([run])
    colours = colours_of([run.name])
    sections = [
        labels(found),
        *(win_rate_section(group, colours) for group in groups),
        lengths(groups, colours),
        implicit_reward(found, colours),
        over_optimisation(found, colours),
    ]
    said = verdict(found, groups)
    limits = [f"- {escaped(text)}" for text in [*cautions(found, groups), *_limits(run)]]
    parts = [
        f"# {escaped(run.name)}",
        _what(run),
        f"**{escaped(said.sentence)}** {escaped(said.detail)}"
        if run.evaluations or run.classifications
        else "It was not evaluated.",
        *(part for section in sections for part in section_parts(section)),
        *section_parts(_settings(found)),
        "## Limits",
        "\n".join(limits),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(run: RunResult) -> str:
    method = run.run.method
    start = code(run.run.model.start)
    if method.base == "sft":
        return f"Fine-tuned from {start} on {code(run.run.data.file)} by imitation, with softpref."
    name = (
        GEOMETRIC.get(method.base, method.base.upper())
        if method.label_treatment == "geometric"
        else method.loss_type or method.base
    )
    arguments = ", ".join(f"{key} = {value}" for key, value in method.arguments.items())
    return (
        f"Trained from {start} on preferences with soft labels, by softpref: loss {escaped(name)} "
        f"({escaped(method.base)}, {escaped(method.label_treatment)} treatment: {TREATMENTS[method.label_treatment]}; "
        f"{PAPER}), {escaped(arguments)}, on {code(run.run.data.file)}."
    )


def _settings(found: Found) -> Section:
    section = provenance(found)
    return Section("settings", "Training and provenance", section.blocks)


def _limits(run: RunResult) -> list[str]:
    said = []
    if run.run.data.labelling:
        said.append("The labels come from a judge model, whose biases the policy may have learned.")
    if run.evaluations:
        said.append("Win rates are those of a judge, not of people, and hold for these prompts and this way of decoding.")
    said.append("One run with one seed: another seed gives other figures.")
    said.append("Nothing here was tested for safety.")
    return said
