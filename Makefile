# errata's everyday commands. Each sets up what it needs first; `make` alone lists them.
#
#   PY=python3.12 make setup     choose the Python (3.10 to 3.13); by default the first one found
#   make test ARGS="-k ledger"   pass something on to pytest
#   make demo ARGS="--seed 1"    ... or to the demo

PY ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
  "$$p" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v "$$p"; break; }; done)
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
export PIP_NO_INPUT := 1

.PHONY: help setup demo test lint docs format bench clean
.DEFAULT_GOAL := help

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(READY) ## make .venv with everything that is needed, if it isn't there or no longer up to date

$(READY): pyproject.toml constraints.txt
	@test -n "$(PY)" || { echo "errata needs Python 3.10 to 3.13, and none was found. Name one: make setup PY=/path/to/python3"; exit 2; }
	@echo "Setting up .venv with $(PY); the first time this takes a few minutes."
	@test -x $(BIN)/python || "$(PY)" -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: $(READY) ## the whole loop in a minute or two, on data that come with the installation
	@$(BIN)/errata demo $(ARGS)

# Two processes of one thread each: threads of small tensors wait for each other more than they work.
test: $(READY) ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(READY) ## ruff, mypy, the floors of the house, and the documents' numbers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docs_numbers.py

docs: $(READY) ## the site, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict

format: $(READY) ## let ruff mend what it can, and render the results into the documents
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tools/render_results.py

bench: $(READY) ## make bench SYSTEM=elr: measure a system's claim here
	@test -n "$(SYSTEM)" || { echo "Say which: make bench SYSTEM=elr"; exit 2; }
	$(BIN)/errata bench $(SYSTEM) $(ARGS)

clean: ## remove what the commands above have made, but for .venv
	rm -rf site build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis lightning_logs
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
