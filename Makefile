# Entry points for developers and for CI. `make help` lists them; what takes more than a few lines is in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# targets run in the order they are written in, whatever -j says: all of them share one machine's engines
.NOTPARALLEL:

VENV ?= .venv
CELLS ?= core
SOAK_ROUNDS ?= 20
# test processes: the tests with kernel and engines wait more than they work
WORKERS ?= 2
LAB_WORKERS ?= 3
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
E2E := $(PYTEST) -m e2e --numprocesses $(LAB_WORKERS)
RECORDED := --matrix-results=docs/engines

.PHONY: root help setup test lint unit host e2e test-matrix engines soak bench demo crds clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

root:
	@[ "$$(id -u)" = 0 ] || { echo "make $(MAKECMDGOALS): needs root, for network namespaces and engines" >&2; exit 1; }

setup: ## install what is missing: system packages (as root, by apt) and the virtual environment
	@VENV='$(VENV)' scripts/setup

test: root lint unit host e2e ## everything that has to pass: lint, then the tests from the quickest to the slowest

lint: setup ## style, format, types and layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## tests without root and engines: unit, property, golden, and contracts on the fakes
	$(PYTEST) -m 'not host and not e2e' --numprocesses $(WORKERS)

host: root setup ## tests and contracts against the kernel, in network namespaces of their own (root)
	$(PYTEST) -m host --numprocesses $(LAB_WORKERS)

e2e: root setup ## tests and contracts with real engines and real packets (root); CELLS=core, all, or names of tests/lab/cells.py
	$(BIN)/python -m tests.lab build '$(CELLS)'
	$(E2E) --cells='$(CELLS)'

test-matrix: root setup ## the end-to-end tests on every engine, the scenarios of the matrix in every cell; writes docs/engines.md (root)
	$(BIN)/python -m tests.lab build all
	status=0; $(E2E) --cells=all $(RECORDED) || status=$$?; $(BIN)/python -m scripts.engines_page; exit $$status

engines: root setup ## the scenarios of the matrix alone, on CELLS; writes what these cells gave into docs/engines.md (root)
	$(BIN)/python -m tests.lab build '$(CELLS)'
	status=0; $(E2E) --cells='$(CELLS)' $(RECORDED) tests/e2e/matrix || status=$$?; $(BIN)/python -m scripts.engines_page; exit $$status

soak: root setup ## the host and end-to-end tests SOAK_ROUNDS times, until one fails (root)
	for ((round = 1; round <= $(SOAK_ROUNDS); round++)); do echo "round $$round of $(SOAK_ROUNDS)"; $(PYTEST) -q -m 'host or e2e' --cells='$(CELLS)'; done

bench: root setup ## measure against the budgets (root)
	$(BIN)/python -m benchmarks

demo: root setup ## watch a YAML file become an IPv6 network that heals itself; leaves the machine as it was (root)
	scripts/demo

crds: setup ## write the CustomResourceDefinitions and the JSON Schema from the models
	$(BIN)/dockerv6 crds --dir crds

clean: ## remove what setup and the tests made in here (engines' trees stay: /var/tmp/dockerv6-lab)
	rm -rf '$(VENV)' .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
