# Each target does its own set-up: a fresh machine needs nothing but Python (3.10 or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo real test lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   the whole way on a small generated world; ends with the path of the report"
	@echo "make real   the same losses on real votes (SOFTPREF_DATA names the folder with the data)"
	@echo "make test   the whole test suite"
	@echo "make lint   ruff, mypy and the import order"

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/softpref demo --output demo

real: $(INSTALLED)
	$(BIN)/softpref real --output real

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_package.py

clean:
	rm -rf $(VENV) demo real
