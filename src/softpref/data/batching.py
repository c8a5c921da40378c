"""One rank's share of an update becomes micro-batches of about equal cost. How it is split changes nothing that is learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from softpref.data.tokenization import TokenizedPair

# Enough tokens for full speed; more cost memory and bring nothing.
CPU_TOKENS, DEVICE_TOKENS = 2048, 16384


def default_tokens(device: str) -> int:
    """Tokens that are computed at a time on a kind of device ("cpu", "cuda", …) where nobody says otherwise."""
    return CPU_TOKENS if device == "cpu" else DEVICE_TOKENS


def micro_batches(
    rows: Sequence[TokenizedPair], max_tokens: int, cost: Callable[[Sequence[TokenizedPair]], int] | None = None
) -> list[list[TokenizedPair]]:
    """Rows by falling length, cut where the next one would exceed the budget; a row beyond it stands alone.

    The longest come first: what does not fit into memory shows at once.

    Args:
        max_tokens: of one micro-batch.
        cost: tokens that scoring these rows together computes; ``packed_tokens`` if not given.
    """
    cost = cost or packed_tokens
    batches: list[list[TokenizedPair]] = []
    for row in sorted(rows, key=lambda row: -row.tokens):
        if batches and cost([*batches[-1], row]) <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def packed_tokens(rows: Sequence[TokenizedPair]) -> int:
    """Tokens of rows without padding, each prompt once."""
    return sum(row.tokens for row in rows)


def padded_tokens(rows: Sequence[TokenizedPair]) -> int:
    """Tokens of rows as two padded sequences each."""
    sides = [len(row.prompt) + len(side) for row in rows for side in (row.chosen, row.rejected) if side]
    return len(sides) * max(sides, default=0)
