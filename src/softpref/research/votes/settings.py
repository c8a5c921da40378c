"""The study of real votes: its losses and its sizes."""

from __future__ import annotations

from dataclasses import dataclass

from softpref.demo.paper_betas import PLAN_BETAS
from softpref.errors import OptionError

METHODS = PLAN_BETAS
HARD_TWIN = {"cdpo": "dpo", "gdpo": "dpo", "cipo": "ipo", "gipo": "ipo", "gropo": "ropo"}


@dataclass(frozen=True)
class RealSettings:
    """Sizes of the study.

    ``model`` is a folder or Hub name to start from; None makes a tokenizer and a small Llama from scratch in every fold.
    ``debates`` is how many of the debates are left out in turn, by name; None is all. Shares are of *arguments*, inside
    each side of a debate. ``micro_batch``: pairs in memory at once; an update has ``batch`` of them all the same.
    """

    seed: int = 1
    model: str | None = None
    methods: tuple[str, ...] = tuple(METHODS)
    debates: int | None = None
    test_share: float = 0.3
    validation_share: float = 0.2
    sft_updates: int = 20
    sft_learning_rate: float = 3e-3
    updates: int = 48
    learning_rate: float = 3e-4
    batch: int = 32
    micro_batch: int = 32
    vocabulary: int = 500
    hidden: int = 32
    layers: int = 1
    heads: int = 2
    resamples: int = 1000

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise OptionError(f"methods holds {method!r}; this study runs {', '.join(METHODS)}")
        if self.batch % self.micro_batch:
            raise OptionError(f"micro_batch {self.micro_batch} does not divide an update of {self.batch} pairs")


QUICK = RealSettings(
    methods=("dpo", "gdpo"), debates=0, sft_updates=2, updates=2, vocabulary=300, hidden=16, layers=1, resamples=50
)
