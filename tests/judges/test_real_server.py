"""Labels from a real OpenAI-compatible server are those that the model's own log-probs make: ``make test-vllm``.

The server (vLLM on the CPU) lives in an environment of its own, and SOFTPREF_JUDGE_SERVER names the Python of that.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from softpref.cli.main import main
from softpref.demo.small_model import bpe_tokenizer, save
from softpref.judges.base import Comparison
from softpref.judges.both_orders import orders
from softpref.judges.prompt import load_prompt

PYTHON = os.environ.get("SOFTPREF_JUDGE_SERVER")
pytestmark = pytest.mark.skipif(PYTHON is None, reason="no real server to label with: make test-vllm installs one")

PROMPT = load_prompt("general")
TOP = 20
PAIRS = [
    ("How do I make tea?", "Boil water, add leaves, wait.", "Buy a car and drive to the sea."),
    ("Name a fruit.", "An apple.", "A hammer, because it is made of steel and wood."),
    ("What is 2 + 2?", "Four.", "1 or 2, perhaps (3)."),
    ("Größe in Zürich?", "Über 400.000 Menschen wohnen dort.", "いいえ 🙂"),
    ("Say nothing.", "", "Nothing."),
    ("Write a line of verse.", "The water waits; the leaves are warm.", "Two for tea, and tea for two."),
    ("Which is heavier?", "A pot.", "A leaf."),
    ("Say it twice.", "It. It.", "It."),
]
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    texts = [text for pair in PAIRS for text in pair] + [PROMPT.text, PROMPT.user, PROMPT.criterion] * 3
    tokenizer = bpe_tokenizer([*texts, *(["1 2 one two first second"] * 10)], 500)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.fixture(scope="module")
def model(tokenizer):
    """Random, but for one thing: it answers. Wide weights, so that what it reads moves its answer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.15,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for api in ("chat", "completions"):
            asked = [ids_of(tokenizer, question, api) for question in questions()]
            last = torch.stack([model.model(torch.tensor([ids])).last_hidden_state[0, -1] for ids in asked]).mean(0)
            model.lm_head.weight[answer_ids(tokenizer)] += 9 * last / last.norm() ** 2
    return model


@pytest.fixture(scope="module")
def base_url(model, tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("server")
    save(model, tokenizer, root / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        PYTHON,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(root / "tiny"),
        "--served-model-name",
        "tiny",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--max-model-len",
        "1024",
        "--max-logprobs",
        str(TOP),
    ]
    settings = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with (root / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})
    try:
        wait_for(port, server, root / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def wait_for(port, server, log, seconds=300):
    end = time.monotonic() + seconds
    while not is_up(port):
        if server.poll() is not None or time.monotonic() > end:
            pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.5)


def is_up(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def questions():
    return [question for i, pair in enumerate(PAIRS) for question in orders(Comparison(str(i), *pair))]


def ids_of(tokenizer, question, api):
    text = PROMPT.as_text(question)
    if api == "chat":
        text = tokenizer.apply_chat_template(PROMPT.as_messages(question), tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def answer_ids(tokenizer):
    return [i for side in (PROMPT.first, PROMPT.second) for i in spelt(tokenizer, side)]


def spelt(tokenizer, side):
    return [i for i in range(len(tokenizer)) if tokenizer.decode([i]).strip() in side]


def own_p(model, tokenizer, question, api):
    """p(first) by the model itself in float64: every spelling among its 20 likeliest next tokens."""
    logits = model(torch.tensor([ids_of(tokenizer, question, api)])).logits[0, -1]
    p = logits.double().softmax(-1)
    seen = set(p.topk(TOP).indices.tolist())
    first, second = (sum(float(p[i]) for i in spelt(tokenizer, side) if i in seen) for side in (PROMPT.first, PROMPT.second))
    assert min(first, second) > 0.001
    assert first + second > 0.5
    return first / (first + second), first + second


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_labels_are_the_models_own_probabilities(api, base_url, model, tokenizer, tmp_path):
    """p = (p_12 + 1 − p_21) / 2, and both of its parts, and the mass, from one forward in transformers per question."""
    data, output = tmp_path / "pairs.jsonl", tmp_path / "labelled.jsonl"
    rows = [dict(zip(("prompt", "response_1", "response_2"), pair, strict=True)) for pair in PAIRS]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = {
        "data": data,
        "output": output,
        "judge": "server",
        "base_url": base_url,
        "judge_model": "tiny",
        "api": api,
        "judge_prompt": "general",
        "timeout": 120,
        "yes": "true",
    }
    assert main(["label", *(word for name, value in arguments.items() for word in (f"--{name}", str(value)))]) == 0
    labelled = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(row["prompt"], row["response_1"], row["response_2"]) for row in labelled] == PAIRS
    asked = iter(questions())
    for row in labelled:
        with torch.no_grad():
            (p_12, mass_12), (p_21, mass_21) = (own_p(model, tokenizer, next(asked), api) for _ in range(2))
        source = row["label_source"]
        assert source["answers"] == "log-probs"
        assert row["soft_label"] == pytest.approx((p_12 + 1 - p_21) / 2, abs=1e-5)
        assert (source["first_shown"], source["second_shown"]) == pytest.approx((p_12, p_21), abs=1e-5)
        assert source["mass"] == pytest.approx(min(mass_12, mass_21), abs=1e-5)
    # a comparison of constants would prove little
    shown = [row["label_source"]["first_shown"] for row in labelled]
    assert max(shown) - min(shown) > 0.05
