"""Messages become text by the tokenizer's chat template, with tools and other arguments; what the template would drop is refused.

The rendering is that of ``tokenizer.apply_chat_template``, so of TRL's ``DPOTrainer``. Added to it: a prefill can be continued
in training too (``continue_final_message``).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import Environment, TemplateError, meta

from softpref.data.pairs import Message, Text
from softpref.errors import InputError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTINUE = "continue_final_message"
# What a template may raise on messages that it was not written for.
_TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError)
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


class SideError(InputError):
    """One side of a row cannot become tokens: which, what is wrong, and how to mend it."""

    def __init__(self, side: str, problem: str, mend: str) -> None:
        super().__init__(f"{side}: {problem}; {mend}")
        self.side, self.problem, self.mend = side, problem, mend


@dataclass(frozen=True)
class Prompt:
    """A prompt, and what its chat template is given beside the messages.

    Attributes:
        arguments: ``tools`` and any other variable of the template, by name.
    """

    text: Text
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bare(self) -> AnyPrompt:
        """The text alone where there is nothing beside it."""
        return self if self.arguments else self.text

    @cached_property
    def key(self) -> str:
        """The same for prompts that are rendered alike."""
        return json.dumps([self.text, self.arguments] if self.arguments else self.text, default=repr)


AnyPrompt: TypeAlias = Text | Prompt


def prompt_with(text: Text, tools: Any = None, chat_template_kwargs: Mapping[str, Any] | None = None) -> Prompt:
    """A prompt with its row's ``tools`` (a list, or its JSON) and ``chat_template_kwargs``; what is None is left out."""
    if isinstance(tools, str):
        tools = json.loads(tools)
    given = {"tools": tools or None, **(chat_template_kwargs or {})}
    return Prompt(text, {name: value for name, value in given.items() if value is not None})


def text_prompt(prompt: AnyPrompt) -> Text:
    """The prompt's own text or messages."""
    return prompt.text if isinstance(prompt, Prompt) else prompt


class Renderer:
    """Renders messages with one tokenizer's chat template.

    Args:
        arguments: variables of the template for every row; a row's own come before them.

    Raises InputError where the template has no such variable.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        self.arguments = dict(arguments or {})
        for name in self.arguments:
            problem = self._unread_argument(name)
            if problem:
                raise InputError(f"chat_template_kwargs.{name}: {problem}")

    @property
    def renders(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return self.tokenizer.chat_template is not None

    def text(self, prompt: Prompt, response: Text | None = None, side: str = "prompt") -> str:
        """The prompt with the generation prompt behind it, or the whole conversation where there is a response.

        Raises SideError naming ``side``.
        """
        return str(self._applied(prompt, response, side, tokenize=False))

    def ids_of_data(self, prompt: Prompt, response: Text | None = None, side: str = "prompt") -> list[int]:
        """Ids of ``text``, special tokens in messages, tools and arguments encoded as the text that they are."""
        if not can_encode_as_text(self.tokenizer):
            raise SideError(side, "holds special tokens", "remove them, or install transformers 5.23 or later")
        return list(self._applied(prompt, response, side, tokenize=True, return_dict=False, sanitize_control_tokens=True))

    def _applied(self, prompt: Prompt, response: Text | None, side: str, **how: Any) -> Any:
        if not self.renders:
            raise InputError("the data are messages, but the tokenizer has no chat template: give text, or set a template")
        arguments = {**self.arguments, **prompt.arguments}
        self._check_arguments(prompt.arguments, side)
        messages = list(_messages(prompt.text, "prompt"))
        continued = bool(arguments.pop(CONTINUE, False)) and messages[-1]["role"] == "assistant"
        answer = None if response is None else _messages(response, side)
        if answer is not None:
            messages, continued = (_joined(messages, answer) if continued else [*messages, *answer]), False
        how = {**arguments, **how, CONTINUE: continued, "add_generation_prompt": answer is None and not continued}
        rendered = self._from_template(messages, side, how)
        self._refuse_dropped_calls(messages, side, how, rendered)
        return rendered

    def _from_template(self, messages: list[Message], side: str, how: Mapping[str, Any]) -> Any:
        try:
            return self.tokenizer.apply_chat_template(messages, **how)
        except _TEMPLATE_FAULTS as error:
            bare = [{"content": "", **{k: v for k, v in message.items() if v is not None}} for message in messages]
            if bare != messages:
                return self._from_template(bare, side, how)
            mend = "give messages of the roles and in the order that it knows, or set another template"
            raise SideError(side, f"the chat template refuses it ({error})", mend) from None

    # --- what a template would drop

    def _check_arguments(self, arguments: Mapping[str, Any], side: str) -> None:
        for name in arguments:
            problem = self._unread_argument(name)
            if problem:
                mend = "leave it out, or set a chat template that has it"
                raise SideError(name if name == "tools" else f"chat_template_kwargs.{name}", problem, mend)

    def _unread_argument(self, name: str) -> str | None:
        """Why this argument would change nothing."""
        if not self.renders:
            return "the tokenizer has no chat template to give it to"
        known = template_variables(self._template(name == "tools"))
        if known is None or name in known or name == CONTINUE:
            return None
        if name == "tools":
            return "the chat template does not render tools, so the model would not see them"
        return f"the chat template has no variable {name!r}{nearest(name, sorted(known))}"

    def _refuse_dropped_calls(self, messages: list[Message], side: str, how: Mapping[str, Any], rendered: Any) -> None:
        """A template that does not know tool calls would render an answer that is one as an empty answer."""
        calling = any(message.get("tool_calls") for message in messages)
        if not calling or "tool_calls" in self._template("tools" in how):
            return
        bare = [{key: value for key, value in message.items() if key != "tool_calls"} for message in messages]
        if self._from_template(bare, side, how) == rendered:
            mend = "set a chat template that does, or write the call into content as the model is to write it"
            raise SideError(side, "the chat template does not render tool_calls", mend)

    def _template(self, with_tools: bool) -> str:
        return str(self.tokenizer.get_chat_template(tools=[{}] if with_tools else None))


def _messages(text: Text, side: str) -> list[Message]:
    if isinstance(text, str):
        raise SideError(side, "is a string beside messages", "give messages on all sides, or strings on all sides")
    return text


def _joined(messages: list[Message], answer: list[Message]) -> list[Message]:
    """The answer's first message continues the prompt's last."""
    started, goes_on = messages[-1], answer[0]
    content = f"{started.get('content') or ''}{goes_on.get('content') or ''}"
    return [*messages[:-1], {**started, **goes_on, "content": content}, *answer[1:]]


def texts_in(value: Any) -> Iterator[str]:
    """Every string in a message's values, however deep; keys and roles are not data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key != "role":
                yield from texts_in(one)
    elif isinstance(value, Iterable):
        for one in value:
            yield from texts_in(one)


def can_encode_as_text(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether ``apply_chat_template`` knows how to take special tokens in messages as text (transformers 5.23)."""
    return "sanitize_control_tokens" in inspect.signature(tokenizer.apply_chat_template).parameters


@lru_cache(maxsize=64)
def template_variables(template: str) -> frozenset[str] | None:
    """The variables that a chat template reads; None for one that only transformers can parse."""
    environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False)  # noqa: S701 (parsed, never rendered)
    try:
        return frozenset(meta.find_undeclared_variables(environment.parse(_GENERATION_TAG.sub("", template))))
    except TemplateError:
        return None
