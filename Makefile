# The developer's manual: `make` lists the targets. All they need is Python 3.11 to 3.13.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready
STATE ?= .perpmart
# Sizes of `make bench`, for example BENCH='--days 180 --only build'
BENCH ?=

.PHONY: help setup demo test proof lint audit format types build up down docs bench lock clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## Make .venv with the locked packages; again only when the lock has changed
	@:

$(READY): requirements.lock pyproject.toml
	@bash .ci/setup.sh
	@touch $@

demo: setup ## The main job end to end on a synthetic market; ends with a table and a page to look at
	@$(BIN)/perpmart demo

test: setup lint types ## Everything that proves the product on a small universe
	@$(BIN)/pytest -m "not proof" -n 2 --dist loadfile

proof: setup ## The long proofs; the result, with date and versions, goes to docs/proof.md
	@$(BIN)/python .ci/proof.py

lint: setup ## Style of Python and SQL
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONWARNINGS=ignore $(BIN)/sqlfluff lint --disable-progress-bar --processes 2 dbt_project/models

audit: setup ## Known vulnerabilities of the locked packages (skipped loudly without a network), their licences
	@$(BIN)/python .ci/audit.py

format: setup ## Rewrite Python in the one style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup ## Type hints
	@$(BIN)/mypy

build: up ## Build the feature mart from what is in raw
	@$(BIN)/perpmart build

up: setup ## Start the embedded PostgreSQL and Redis
	@$(BIN)/perpmart up

down: ## Stop them; their data stay
	@if [ -x $(BIN)/perpmart ]; then $(BIN)/perpmart down; fi

docs: up ## dbt's documentation as one page, target/static_index.html
	@. $(STATE)/env; $(BIN)/dbt docs generate --static

bench: up ## The same work by perpmart and by what you would pick instead; figures go to docs/benchmarks.md
	@$(BIN)/python -u -m benchmarks --write docs/benchmarks.md $(BENCH)

lock: setup ## Write requirements.lock anew from pyproject.toml, for every Python and platform
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra ml --extra bench --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock

clean: down ## Stop the servers; remove their data, the environment and all caches
	@rm -rf $(STATE) .venv target logs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
