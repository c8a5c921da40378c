"""The names of losses and treatments: the published ones are entries of a table, and nothing is parsed out of a name."""

from __future__ import annotations

from softpref.core.base_losses import LOSSES
from softpref.errors import OptionError, nearest

TREATMENTS = ("hard", "conservative", "geometric")
# Of a loss that reads p itself. Not an option: such a loss has no other.
OWN = "own"

# Published names only; a method without a published name has none here. None leaves the treatment to the caller.
# GDPO is the paper's; another GDPO (arXiv 2601.05242) is unrelated.
ALIASES: dict[str, tuple[str, str | None]] = {
    "cdpo": ("dpo", "conservative"),
    "gdpo": ("dpo", "geometric"),
    "cipo": ("ipo", "conservative"),
    "gipo": ("ipo", "geometric"),
    "gropo": ("ropo", "geometric"),
    # TRL's
    "sigmoid": ("dpo", None),
    "sigmoid_norm": ("dpo_norm", None),
    "hinge": ("slic", None),
    "exo_pair": ("exo", None),
    "nca_pair": ("nca", None),
    "bco_pair": ("bco", None),
    "sppo_hard": ("sppo", "hard"),
    # EXO with rewards; reward-aware preference optimisation (arXiv 2406.11704, 2502.00203) less a constant of the label
    "exo_rw": ("exo", "conservative"),
    "rpo_bwd_kl": ("dpo", "conservative"),
    "rpo_fwd_kl": ("exo", "conservative"),
    "rpo_sqloss": ("reward_distillation", None),
    "rebel": ("reward_distillation", None),
    # of counts with a pseudo-count, which the Beta prior of votes is (arXiv 2410.22891)
    "vdpo": ("dpo", "conservative"),
    "vipo": ("ipo", "conservative"),
    "dpo_positive": ("dpop", None),
}


def resolve_names(loss_type: str, treatment: str | None) -> tuple[str, str]:
    """The base loss and the treatment. Raises OptionError for an unknown name, or a treatment that an alias contradicts."""
    if treatment is not None and treatment not in TREATMENTS:
        raise OptionError(f"label_treatment {treatment!r} is unknown{nearest(treatment, TREATMENTS)}")
    if loss_type not in LOSSES and loss_type not in ALIASES:
        raise OptionError(f"loss_type {loss_type!r} is unknown{nearest(loss_type, [*LOSSES, *ALIASES])}")
    name, own = ALIASES.get(loss_type, (loss_type, None))
    if LOSSES[name].reads_label:
        if treatment is not None:
            raise OptionError(f"{name} reads the soft label itself: leave label_treatment out")
        return name, OWN
    if own is not None and treatment not in (None, own):
        raise OptionError(
            f"loss_type {loss_type!r} is {name} with label_treatment {own!r}, but label_treatment {treatment!r} was given: "
            f"leave it out, or write loss_type {name!r}"
        )
    return name, treatment or own or "hard"


def has_beta(loss_type: str) -> bool:
    """Whether the loss behind this name takes a beta. Unknown names are said to, so that ``resolve`` names the fault."""
    name, _ = ALIASES.get(loss_type, (loss_type, None))
    return name not in LOSSES or "beta" in LOSSES[name].parameters


def default_beta(loss_type: str) -> float | None:
    """The beta of a run that names none; None for a loss that has no beta."""
    name, _ = ALIASES.get(loss_type, (loss_type, None))
    return LOSSES[name].beta if name in LOSSES and has_beta(name) else None
