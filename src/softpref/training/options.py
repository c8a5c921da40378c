"""The options of preference training that a recipe and the trainer's arguments share. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(kw_only=True)
class PreferenceOptions:
    """Which loss on which labels, and how its log-probs are computed.

    Attributes:
        loss_type: A base loss (dpo, ipo, simpo, orpo, …) or a published name (gdpo, cdpo, gipo, …); softpref losses lists them.
            A list trains the weighted sum of several.
        label_treatment: hard, conservative or geometric; the published name's own, or hard, if not given. Data without soft
            labels need an explicit hard.
        beta: Strength of the pull to the reference; the loss's own (softpref losses; 0.1 for most) if not given.
        loss_weights: With a list of losses, how much each counts; 1 if not given.
        sft_weight: Weight of the chosen side's negative log-likelihood per token beside the loss; what the loss was published
            with (1 for cpo and orpo, 0 for the others) if not given.
        length_penalty: R-DPO's alpha: this times the difference of the lengths in tokens is added to beta times the margin.
        flip_rate: How often a label points the wrong way: p becomes (1 − rate)·p + rate·(1 − p). Below 0.5.
        min_certainty: Pairs with |2p − 1| below this get weight 0, and are counted.
        policy_weighting: WPO: a pair counts as much as its responses' mean token probabilities under the policy, multiplied.
        reference_free: As if the reference gave every response the same probability; none is loaded.
        loss_args: The base loss's own arguments, such as alpha and gamma of ropo; checked against its signature.
            With a list of losses: below each one's name.
        reduction: Log-probs as sum or mean over response tokens; the loss's own if not given.
        ties: Under hard a pair with p = 0.5 has no better side: drop (weight 0, counted; so if not given) or keep it.
        max_length: Tokens of prompt and one response; null for no limit.
        truncation: drop pairs that do not fit (counted), or keep them with their responses cut.
        boundary: Where a prompt is no token prefix of its row: error, drop (counted), or common, to end it where TRL does.
        chat_template_kwargs: Variables of the chat template, such as {enable_thinking: false}; a row's own come before them.
        special_tokens: A special token's text inside a message: error, or text, to encode it as the text that it is.
        prefix_sharing: Compute each pair's prompt once, without padding: auto where the first rows show that it gives the
            model's own numbers, on (an error where it does not), off.
        max_tokens_per_batch: Tokens computed at a time; for speed and memory only. 2048 on a CPU and 16384 elsewhere if not
            given.
        precompute_ref_log_probs: Score all pairs under the reference before training, or read them from the cache, and let
            the reference go; if not given, where the run sees every pair at least once.
        reference_cache: Folder of those scores, shared by all runs; softpref in the user's cache folder, or
            $SOFTPREF_CACHE, if not given.
        reference_tolerance: Nats by which the policy may differ from its own reference at step 0.
    """

    loss_type: str | list[str] = "gdpo"
    label_treatment: Literal["hard", "conservative", "geometric"] | None = None
    beta: float | None = None
    loss_weights: list[float] | None = None
    sft_weight: float | None = None
    length_penalty: float = 0.0
    flip_rate: float = 0.0
    min_certainty: float = 0.0
    policy_weighting: bool = False
    reference_free: bool = False
    loss_args: dict[str, Any] = field(default_factory=dict)
    reduction: Literal["sum", "mean"] | None = None
    ties: Literal["drop", "keep"] | None = None
    max_length: int | None = 1024
    truncation: Literal["drop", "keep"] = "drop"
    boundary: Literal["error", "drop", "common"] = "error"
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    special_tokens: Literal["error", "text"] = "error"
    prefix_sharing: Literal["auto", "on", "off"] = "auto"
    max_tokens_per_batch: int | None = None
    precompute_ref_log_probs: bool | None = None
    reference_cache: str | None = None
    reference_tolerance: float = 0.01
