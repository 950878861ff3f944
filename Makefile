# Everything runs in a virtual environment of its own, built from requirements.lock.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
DATA ?=
WORKERS ?= 3

.PHONY: help venv run demo test lint bench soak lock openapi profile catalogs clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.lock client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing from requirements.lock"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./client
	@touch $@

venv: $(VENV)/.ready ## Build the virtual environment

run: venv ## Start an empty service on http://127.0.0.1:8000 (data in ./var; keys are made at first start)
	$(PY) -m app serve $(ARGS)

demo: venv ## Play the whole story (ARGS=--once ends by itself; DATA=trees.jsonl plays an OpenAssistant export)
	$(PY) -m app demo $(ARGS) $(if $(DATA),--data $(DATA))

# Whatever the environment says, what is imported is compiled once: the tests start hundreds of processes.
test: export PYTHONDONTWRITEBYTECODE =
test: lint ## All tests, on SQLite and on a real PostgreSQL that comes from pip
	$(PY) -m pytest -n $(WORKERS) $(ARGS)

lint: venv ## Style, types and the import contracts
	$(PY) -m ruff check app client tests benchmarks migrations
	$(VENV)/bin/lint-imports --no-cache
	$(PY) -m mypy

bench: venv ## What the claims of speed rest on: ratios against limits in the same run (ARGS=--quick)
	$(PY) -m benchmarks.run $(ARGS)

soak: venv ## The larger sizes, by hand: thousands of kills and races, a million decisions
	SAYSO_TEST_SIZE=soak $(PY) -m pytest tests/faults tests/contributions/test_fastchat_hook.py tests/releases tests/agreements tests/core tests/client/test_recount.py tests/collectives tests/docs/test_invented_requests.py $(ARGS)

lock: ## Write requirements.lock anew from requirements.in (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements.in -o requirements.lock

openapi: venv ## Write openapi/openapi.json and openapi/problems.md anew
	$(PY) -m app export-openapi

profile: venv ## Write the generated files of policies/ anew: context, profile, JSON Schema
	$(PY) -m app export-profile

catalogs: venv ## Bring the catalogs of the pages' languages up to date (ARGS="--add fr" begins one)
	$(PY) -m app catalogs $(ARGS)

clean: ## Remove the environment and all local data
	rm -rf $(VENV) var
