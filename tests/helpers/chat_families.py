"""Tokenizers of the families that people fine-tune: each with the essential form of its chat template and its own marks."""

from __future__ import annotations

from functools import cache

PAD, UNKNOWN = "<pad>", "<unk>"

TEXTS = ["What is the capital of France? The capital is Paris. ", "weather in Paris: 21 degrees. two plus two is four. "] * 20

CHATML = (
    "{%- if tools %}{{ '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}"
    "{%- endif %}{{ '<tools>' }}{%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{%- endfor %}"
    "{{ '\\n</tools><|im_end|>\\n' }}"
    "{%- elif messages[0].role == 'system' %}{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- for m in messages %}{%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}"
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- elif m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}ANSWER"
    "{%- for call in m.tool_calls or [] %}{% set call = call.function %}"
    "{{ '\\n<tool_call>\\n{\"name\": \"' + call.name + '\", \"arguments\": ' + (call.arguments | tojson) + '}\\n</tool_call>' }}"
    "{%- endfor %}{{ '<|im_end|>\\n' }}"
    "{%- elif m.role == 'tool' %}{{ '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}OPENING{%- endif %}"
)
QWEN25 = CHATML.replace("ANSWER", "{%- if m.content %}{{ m.content }}{%- endif %}").replace("OPENING", "")
# The last answer is given its thought, empty where it has none; without thinking the generation prompt closes it already.
QWEN3 = CHATML.replace(
    "ANSWER",
    "{% set content = m.content if m.content is string else '' %}{% set thought = m.reasoning_content or '' %}"
    "{%- if '</think>' in content and not thought %}"
    "{% set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}{% endif %}"
    "{% set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{%- if loop.last %}{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}{{ content }}",
).replace(
    "OPENING", "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
)
SMOLLM3 = CHATML.replace(
    "ANSWER",
    "{%- if (enable_thinking | default(true)) is false %}{{ '<think>\\n\\n</think>\\n' }}{%- endif %}"
    "{%- if m.content is string %}{{ m.content.lstrip('\\n') }}{%- endif %}",
).replace("OPENING", "{%- if (enable_thinking | default(true)) is false %}{{ '<think>\\n\\n</think>\\n' }}{%- endif %}")

LLAMA3 = (
    "{{ bos_token }}{%- if tools %}{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' + (tools | tojson) }}{{ '<|eot_id|>' }}"
    "{%- endif %}{%- for m in messages %}{{ '<|start_header_id|>' + ('ipython' if m.role == 'tool' else m.role) }}"
    "{{ '<|end_header_id|>\\n\\n' }}"
    "{%- if m.tool_calls %}{% set call = m.tool_calls[0].function %}"
    "{{ '{\"name\": \"' + call.name + '\", \"parameters\": ' + (call.arguments | tojson) + '}' }}"
    "{%- else %}{{ m.content | trim }}{%- endif %}{{ '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% set asked = messages | selectattr('role', 'equalto', 'user') | list %}"
    "{%- for m in messages %}{%- if m.role == 'user' %}"
    "{%- if tools and m == asked[-1] %}{{ '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{%- endif %}"
    "{{ '[INST] ' + m.content + '[/INST]' }}"
    "{%- elif m.tool_calls %}{{ '[TOOL_CALLS] [' }}{%- for call in m.tool_calls %}{{ call.function | tojson }}{%- endfor %}"
    "{{ ']' + eos_token }}{%- elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{%- elif m.role == 'tool' %}{{ '[TOOL_RESULTS] ' + m.content + '[/TOOL_RESULTS]' }}"
    "{%- else %}{{ raise_exception('Only user, assistant and tool roles are supported') }}{%- endif %}{%- endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
# Two terminators: one of the turn, one of the text.
PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# The generation prompt opens a thought that no finished answer has.
DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'assistant' %}"
    "{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)
# An answer ends in <|return|>, a call in <|call|>, an earlier message in <|end|>.
HARMONY = (
    "{{ '<|start|>system<|message|>Reasoning: ' + (reasoning_effort or 'medium') + '<|end|>' }}"
    "{% if tools %}{{ '<|start|>developer<|message|>' + (tools | tojson) + '<|end|>' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if m.thinking %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}"
    "{% if m.tool_calls %}{% set call = m.tool_calls[0].function %}"
    "{{ '<|start|>assistant to=functions.' + call.name + '<|channel|>commentary json<|message|>' }}"
    "{{ (call.arguments | tojson) + '<|call|>' }}"
    "{% else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}{% endif %}"
    "{% elif m.role == 'tool' %}{{ '<|start|>functions<|channel|>commentary<|message|>' + (m.content | tojson) + '<|end|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
COMMAND = (
    "{{ bos_token }}{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' }}"
    "{{ {'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>', 'system': '<|SYSTEM_TOKEN|>'}[m.role] }}"
    "{{ m.content | trim + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
)

_IM, _THINK = ["<|im_start|>", "<|im_end|>"], ["<think>", "</think>", "<tool_call>", "</tool_call>"]
# template, bos, eos, special tokens, tokens that are added and not special, whether it is SentencePiece-like
FAMILIES = {
    "qwen2.5": (QWEN25, None, "<|im_end|>", _IM, _THINK[2:], False),
    "qwen3": (QWEN3, None, "<|im_end|>", _IM, _THINK, False),
    "smollm3": (SMOLLM3, None, "<|im_end|>", _IM, _THINK, False),
    "llama3": (LLAMA3, "<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>"], [], False),
    "mistral": (MISTRAL, "<s>", "</s>", ["[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"], [], True),
    "gemma": (GEMMA, "<bos>", "<eos>", ["<start_of_turn>", "<end_of_turn>"], [], True),
    "phi3": (PHI3, "<s>", "<|endoftext|>", ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"], [], True),
    "deepseek-r1": (
        DEEPSEEK,
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        [],
        ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
        False,
    ),
    "harmony": (HARMONY, None, "<|return|>", ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"], [], False),
    "zephyr": (ZEPHYR, "<s>", "</s>", [], [], True),
    "command-r": (
        COMMAND,
        "<BOS_TOKEN>",
        "<|END_OF_TURN_TOKEN|>",
        ["<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"],
        [],
        False,
    ),
}


@cache
def tokenizer(name: str):
    """A small tokenizer of this family: byte-level BPE, or BPE over ▁-marked words, with its special tokens and template."""
    from transformers import PreTrainedTokenizerFast

    template, bos, eos, special, added, pieces = FAMILIES[name]
    made = PreTrainedTokenizerFast(
        tokenizer_object=_pieces() if pieces else _bytes(), eos_token=eos, bos_token=bos, pad_token=PAD, unk_token=UNKNOWN
    )
    made.add_tokens(special, special_tokens=True)
    made.add_tokens(added)
    made.chat_template = template
    return made


def _bytes():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def _pieces():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[UNKNOWN, *bytes_], show_progress=False)
    tokenizer.train_from_iterator([text[:60] for text in TEXTS], trainer)
    return tokenizer
