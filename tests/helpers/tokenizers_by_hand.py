"""Tokenizers with the habits that real ones have: merges, a bos, an appended eos, chat templates."""

from softpref.demo.small_model import END, bpe_tokenizer, word_tokenizer

WORDS = ["make", "tea", "boil", "the", "water", "wait", "pot", "yes", "no", ".", ","]
TURN, TURN_END = "<|turn|>", "<|turn_end|>"

# ChatML-like: the end of a turn, then a newline that no one trains on.
CHATML = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|turn_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
# The generation prompt opens an empty thought, which a finished answer does not have.
THINKING = CHATML.replace("<|turn|>assistant\n{% endif %}", "<|turn|>assistant\n<think>\n\n</think>\n\n{% endif %}")
# A date that stands only where an answer is still to come.
SHIFTING = "{% if add_generation_prompt %}today: {% endif %}" + CHATML
# No end of turn at all.
BARE = (
    "{% for m in messages %}{{ m['role'] }}:\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
# An end of turn and, after the last answer, the end of the text: Phi-3's.
BOTH = CHATML.replace(
    "{% if add_generation_prompt %}",
    "{% if not add_generation_prompt and messages[-1]['role'] == 'assistant' %}<end>{% endif %}{% if add_generation_prompt %}",
)

# White space round a message is cut off.
TRIMMING = CHATML.replace("m['content']", "m['content'] | trim")
REFUSAL = "{%% for m in messages %%}{%% if m['role'] == '%s' %%}{{ raise_exception('%s') }}{%% endif %%}{%% endfor %%}"
NO_SYSTEM = REFUSAL % ("system", "no system role") + CHATML
NO_TOOLS = REFUSAL % ("tool", "no tools") + CHATML

TEXTS = ["make tea: boil the water. ", "wait, wait. the tea is hot: ", "abc abc abc abc "] * 20


def words(bos=False, eos=False, first="<bos>"):
    """One id per word; with ``bos`` and ``eos`` the tokenizer writes them around everything, as Llama's and T5's do."""
    tokenizer = word_tokenizer(WORDS)
    if bos:
        tokenizer.add_special_tokens({"bos_token": first})
    if bos or eos:
        from tokenizers.processors import TemplateProcessing

        names = ([first] if bos else []) + ["$A"] + ([END] if eos else [])
        special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in dict.fromkeys(names) if name != "$A"]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=" ".join(names), special_tokens=special)
    return tokenizer


def chat(template, eos=None, special=True):
    """Byte-level BPE with turn markers, special or only added, and a chat template; ``eos`` replaces the eos token."""
    tokenizer = bpe_tokenizer(TEXTS, vocabulary_size=330)
    tokenizer.add_tokens([TURN, TURN_END], special_tokens=special)
    if eos is not None:
        tokenizer.eos_token = eos
    tokenizer.chat_template = template
    return tokenizer
