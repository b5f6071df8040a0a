# The development of rzero; the loop itself, and `make demo`, come from the package's own recipe.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RZERO := $(BIN)/rzero
INSTALLED := $(VENV)/.installed

include src/rzero_cli/recipes/loop.mk

.PHONY: setup test check format lint types bench clean docs

setup: $(INSTALLED) ## a virtual environment with the pinned versions, in .venv
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,eval,report,dev]'
	touch $@

# Whatever runs a stage needs the installation first.
demo evidence run base-challenger no-penalty no-filter shuffled-labels report: | $(INSTALLED)
needs-model: | $(INSTALLED)

test: $(INSTALLED) ## every test, the fast ones first
	$(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadfile
	$(BIN)/python -m pytest -q -m slow -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

format: $(INSTALLED) ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint types test ## format, lint, types, tests

bench: $(INSTALLED) ## timings of our own code against named references
	$(BIN)/python -m pytest -q tests/benchmarks -p no:cacheprovider -o python_files='bench_*.py' -o python_functions='bench_*' -s

docs: $(INSTALLED) ## regenerate the pages that are made from the code
	$(BIN)/python docs/generate.py

clean: ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist src/*.egg-info
