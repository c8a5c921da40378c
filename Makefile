# Each target does its own set-up: a fresh machine needs nothing but Python (3.10 or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
VLLM := .vllm
LOWEST := .lowest
NEWEST := .newest
# The interpreters that pyproject.toml claims; those that are not here are left out, with a line that says so.
PYTHONS := python3.10 python3.11 python3.12 python3.13
TEST_TOOLS := hypothesis playwright pytest pytest-timeout pytest-xdist scikit-learn "trl>=1.14"
LOWEST_PYTHON ?= $(firstword $(foreach python,$(PYTHONS),$(shell $(python) --version >/dev/null 2>&1 && echo $(python))) $(PYTHON))

.PHONY: demo real study bench test test-research test-lowest test-newest test-pythons test-vllm lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   the whole way on a small generated world; ends with the path of the report"
	@echo "make real   the same losses on real votes (SOFTPREF_DATA names the folder with the data)"
	@echo "make study  the paper's comparison with seeds and intervals (under two hours on two cores; goes on where it stopped)"
	@echo "make test   the whole test suite, with the versions of constraints.txt"
	@echo "make test-research   its part about reproducing the paper"
	@echo "make test-lowest     the suite with the lowest versions of pyproject.toml (an environment of its own, 5 GB)"
	@echo "make test-newest     the suite with the newest versions (likewise)"
	@echo "make test-pythons    what needs no torch, on every Python that pyproject.toml claims and this machine has"
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

test-research: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/research

$(LOWEST)/.installed: pyproject.toml scripts/lower_bounds.py | $(INSTALLED)
	rm -rf $(LOWEST)
	$(LOWEST_PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip
	$(BIN)/python scripts/lower_bounds.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet -c $(LOWEST)/constraints.txt -e ".[all]" $(TEST_TOOLS)
	@touch $@

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile

test-newest:
	test -d $(NEWEST) || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager pip -e ".[all]" $(TEST_TOOLS)
	$(NEWEST)/bin/python -m pytest -n 2 --dist loadfile

# tests that need an extra which is not installed are skipped (tests/conftest.py)
test-pythons:
	@for python in $(PYTHONS); do \
	  if ! $$python --version >/dev/null 2>&1; then echo "$$python is not here: not tested"; continue; fi; \
	  echo "$$python"; \
	  test -d .pythons/$$python || $$python -m venv .pythons/$$python || exit 1; \
	  .pythons/$$python/bin/python -m pip install --quiet -e ".[judge,report]" hypothesis pytest pytest-timeout || exit 1; \
	  .pythons/$$python/bin/python -m pytest -q -r fE || exit 1; \
	done

# --no-deps: the list is whole, and leaves out what judging text needs no more than a camera (torchvision, torchaudio, …)
$(VLLM)/.installed: tests/vllm.txt
	rm -rf $(VLLM)
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

test-vllm: $(INSTALLED) $(VLLM)/.installed
	SOFTPREF_JUDGE_SERVER=$(CURDIR)/$(VLLM)/bin/python $(BIN)/python -m pytest tests/judges/test_real_server.py
	PYTHONPATH=src HF_HUB_OFFLINE=1 $(VLLM)/bin/python -m pytest tests/generation/test_vllm_seam.py tests/evaluation/test_vllm_responses.py tests/training/test_vllm_sampler.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --strict --follow-imports=silent tests/typing/user.py
	$(BIN)/pyright --pythonpath $(BIN)/python tests/typing/user.py
	$(BIN)/python -m pytest -q tests/test_package.py

clean:
	rm -rf $(VENV) $(VLLM) $(LOWEST) $(NEWEST) .pythons demo real study
