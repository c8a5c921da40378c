# Each target does its own set-up: a fresh machine needs nothing but Python (3.10 or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
VLLM := .vllm

.PHONY: demo real study bench test test-vllm lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   the whole way on a small generated world; ends with the path of the report"
	@echo "make real   the same losses on real votes (SOFTPREF_DATA names the folder with the data)"
	@echo "make study  the paper's comparison with seeds and intervals (under two hours on two cores; goes on where it stopped)"
	@echo "make test   the whole test suite"
	@echo "make test-vllm   labels and responses from a real vLLM (on the CPU, 2.7 GB in an environment of its own)"
	@echo "make bench  one training update beside TRL's and a plain one: speed and memory (wants a quiet machine)"
	@echo "make lint   ruff, mypy and the import order"

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/softpref demo --output demo

real: $(INSTALLED)
	$(BIN)/softpref real --output real

study: $(INSTALLED)
	$(BIN)/softpref study --output study

bench: $(INSTALLED)
	$(BIN)/python benchmarks/step.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# --no-deps: the list is whole, and leaves out what judging text needs no more than a camera (torchvision, torchaudio, …)
$(VLLM)/.installed: tests/vllm.txt
	rm -rf $(VLLM)
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

test-vllm: $(INSTALLED) $(VLLM)/.installed
	SOFTPREF_JUDGE_SERVER=$(CURDIR)/$(VLLM)/bin/python $(BIN)/python -m pytest tests/judges/test_real_server.py
	PYTHONPATH=src HF_HUB_OFFLINE=1 $(VLLM)/bin/python -m pytest tests/evaluation/test_vllm_responses.py tests/training/test_vllm_sampler.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --strict --follow-imports=silent tests/typing/user.py
	$(BIN)/pyright --pythonpath $(BIN)/python tests/typing/user.py
	$(BIN)/python -m pytest -q tests/test_package.py

clean:
	rm -rf $(VENV) $(VLLM) demo real study
