"""A verdict in a judge's text: where it stands, and for which side it is.

Thinking is set aside first. A prompt's own patterns decide where it has any; else a verdict is a marked one
(``[[1]]``, ``Answer: 1``), the last of them, or one that stands alone ("Response 1", "**1**", "1."). What could be read either
way is no verdict.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

FIRST, SECOND, TIE, NONE = "first", "second", "tie", "none"
GROUPS = (FIRST, SECOND, TIE, NONE)

_THOUGHT_ENDS = re.compile(
    r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]|<\|channel\|>final<\|message\|>|◁/think▷", re.IGNORECASE
)
_THOUGHT_BEGINS = re.compile(
    r"<(?:think|thinking|thought|reasoning)>|\[THINK\]|<\|channel\|>analysis<\|message\|>|◁think▷", re.IGNORECASE
)
# Around an answer: "**(1)**", "“1”", "- 1", "# 1".
_WRAPPING = "*\"'`.:,;!()[]{}<>#_-–—“”‘’「」【】『』\\"
# What a judge calls a response, and what it says before it names one.
_NAMES = (
    "responses?|reply|replies|answer|assistant|option|candidate|output|model|summary|plan|text|number|choice|回答|答案|选择|选项"
)
_BEFORE = (
    rf"(?:(?:the|my|final|verdict|winner|is|was|i|choose|prefer|pick|select|better|best|preferred|one|{_NAMES})(?![A-Za-z_])"
    r"|<\|[^|<>]*\|>|(?!<\|[^|<>]*\|>)[\W_])*?"
)


@dataclass(frozen=True)
class Verdict:
    """``side`` is one of GROUPS, as the answers are spelt; ``start`` is where the answer stands in the text."""

    side: str
    start: int


def after_thinking(text: str) -> int:
    """Where what the judge says begins: behind its last thought; at the end of the text where that goes on for ever."""
    ends = [end.end() for end in _THOUGHT_ENDS.finditer(text)]
    start = ends[-1] if ends else 0
    return len(text) if _THOUGHT_BEGINS.match(text[start:].lstrip()) else start


def visible(text: str) -> str:
    """What the judge says, its thinking set aside."""
    return text[after_thinking(text) :].strip()


def bare(text: str) -> str:
    """A token or a spelling without what wraps it: ``**(1)**`` is ``1``, full width is plain."""
    plain = unicodedata.normalize("NFKC", text).strip()
    return plain.strip(_WRAPPING + " \n\t") or plain


def folded(text: str) -> str:
    """Full-width letters and digits as plain ones, one for one, so that places stay."""
    return "".join(plain if len(plain := unicodedata.normalize("NFKC", c)) == 1 else c for c in text)


def find_verdict(
    text: str, first: tuple[str, ...], second: tuple[str, ...], asks_for: str, patterns: tuple[str, ...] = ()
) -> Verdict | None:
    """The verdict in a text without thinking, or None.

    Args:
        first, second: the spellings of both answers.
        asks_for: ``better`` or ``worse``: with the latter "the worse one is 1" is a verdict, and "the better one" none.
        patterns: the prompt's own, tried in turn; the first that is found anywhere decides, and its last match counts.
    """
    text = folded(text)
    if patterns:
        return next((found for pattern in patterns if (found := _last(re.compile(pattern), text)) is not None), None)
    words = _words(first), _words(second)
    forms = _forms(*words, asks_for)
    return _last(forms.marked, text) or _alone(forms, text, words)


def _last(pattern: re.Pattern[str], text: str) -> Verdict | None:
    matches = list(pattern.finditer(text))
    if not matches:
        return None
    side = next((name for name, value in matches[-1].groupdict().items() if value is not None and name in GROUPS), NONE)
    return Verdict(side, matches[-1].start(side) if side in matches[-1].re.groupindex else matches[-1].start())


def _words(spellings: tuple[str, ...]) -> tuple[str, ...]:
    """The spellings without their wrapping, the longest first."""
    return tuple(sorted({bare(spelling) for spelling in spellings}, key=lambda word: (-len(word), word)))


@dataclass(frozen=True)
class _Forms:
    """A marked verdict, anywhere; one that the text begins with; and what makes a sentence of the latter."""

    marked: re.Pattern[str]
    alone: re.Pattern[str]
    is_it: re.Pattern[str]


@lru_cache(maxsize=64)
def _forms(first: tuple[str, ...], second: tuple[str, ...], asks_for: str) -> _Forms:
    one, other = ("|".join(map(re.escape, words)) for words in (first, second))
    answer = rf"(?:(?P<first>{one})|(?P<second>{other}))(?![A-Za-z0-9_]|[.,/]\d)"
    worse = r"worse|worst|(?:more|most)\s+harmful(?:\s+one)?"
    which = worse if asks_for == "worse" else "winner|preferred|better|best"
    said = rf"(?i:answer|verdict|choice|decision|{which})[\"'*_\s]{{0,9}}(?:(?i:is)|[:=]){{1,3}}[\"'*_\s(\[{{]{{0,9}}"
    marked = (
        rf"(?:\[\[\s*|\\boxed\{{\s*(?:\\text\{{)?|<answer>\s*|{said})(?i:(?:the\s{{1,9}})?(?:{_NAMES})\s{{0,9}})?[\"'*_\s(\[]{{0,9}}{answer}"
        r"(?!\s*(?:or|and|vs\.?|/|,)\s*[\w\[(])"
    )
    before = _BEFORE.replace("better|best|preferred", worse if asks_for == "worse" else "better|best|preferred")
    superior = "" if asks_for == "worse" else "|superior|stronger"
    is_it = (
        rf"\W{{0,9}}(?:{_NAMES})?\s{{0,9}}(?:(?:is|was|seems)\s+(?:\w+\s+){{0,2}}(?:{which}{superior})|wins|更好|更佳)"
        r"(?:\s+(?:response|than)\b[^.\n]*)?[\s.!*]*\Z"
    )
    return _Forms(re.compile(marked), re.compile(rf"\A(?P<before>(?i:{before})){answer}"), re.compile(is_it, re.IGNORECASE))


def _alone(forms: _Forms, text: str, words: tuple[tuple[str, ...], tuple[str, ...]]) -> Verdict | None:
    """What the text begins with, where it ends there, says "is better", or goes on without a word of the other response."""
    match = forms.alone.match(text)
    if match is None:
        return None
    side = FIRST if match[FIRST] is not None else SECOND
    rest = text[match.end() :]
    named = re.search(r"\w", match["before"]) is not None
    other = "|".join(map(re.escape, words[1 if side == FIRST else 0]))
    own_line = re.match(rf"[{re.escape(_WRAPPING)} \t]*(?:\n|\Z)", rest) is not None
    speaks_of_both = re.search(rf"(?<!\w)(?:{other})(?!\w)", rest) is not None
    # "First, …" begins an argument more often than it is a verdict
    spelt_out = len(match[side]) > 1 and match[side].isalpha()
    new_sentence = not spelt_out and re.match(rf"\s*(?:\Z|[{re.escape(_WRAPPING)}\n])", rest) is not None
    if forms.is_it.match(rest) or (own_line and not named) or (new_sentence and not speaks_of_both):
        return Verdict(side, match.start(side))
    return None
