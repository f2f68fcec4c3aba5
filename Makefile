# Entry points for developers and CI. `make help` lists them; longer recipes are in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# targets run one after the other even with -j, because they share the machine's engines
.NOTPARALLEL:

VENV ?= .venv
CELLS ?= core
# of `make soak`: simulated histories, minutes of chaos and of churn
SOAK_SEEDS ?= 10000
SOAK_FROM ?= 0
CHAOS_MINUTES ?= 60
SOAK_MINUTES ?= 60
# of `make fuzz`: minutes for each target
FUZZ_MINUTES ?= 2
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
IMAGE ?= dockerv6:$(VERSION)
# test processes; LAB_WORKERS for tests with the kernel and engines, which mostly wait
WORKERS ?= 2
LAB_WORKERS ?= 6
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# only the directories that have tests of the stage, because every test process imports what it collects
E2E := $(PYTEST) -m 'e2e and not dist' --numprocesses $(LAB_WORKERS)
E2E_TESTS := tests/e2e tests/contract
RECORDED := --matrix-results=docs/engines

# Python would compile every module again in each of hundreds of processes: a daemon then needs twice its time to start
export PYTHONDONTWRITEBYTECODE :=

.PHONY: root help setup test lint unit host e2e test-matrix engines soak fuzz bench demo crds dist packages image test-dist lock sbom audit clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

root:
	@[ "$$(id -u)" = 0 ] || { echo "make $(MAKECMDGOALS): needs root, for network namespaces and engines" >&2; exit 1; }

setup: ## install what is missing: system packages (as root, with apt) and the virtual environment
	@VENV='$(VENV)' scripts/setup

test: root lint unit host e2e ## everything that must pass: lint, then the tests from the fastest to the slowest

lint: setup ## style, format, types and layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## tests without root and engines: unit, property, golden, simulation, and contracts on the fakes
	$(PYTEST) -m 'not host and not e2e' --numprocesses $(WORKERS) --ignore=tests/host --ignore=tests/e2e

host: root setup ## tests and contracts against the kernel, in separate network namespaces (root)
	$(PYTEST) -m host --numprocesses $(LAB_WORKERS) tests/host tests/contract

e2e: root setup ## tests and contracts with real engines and real packets (root); CELLS=core, all, or names of tests/lab/cells.py
	$(BIN)/python -m tests.lab build '$(CELLS)'
	$(E2E) --cells='$(CELLS)' $(E2E_TESTS)

test-matrix: root setup ## end-to-end tests on every engine, scenarios of the matrix in every cell; writes docs/engines.md (root)
	$(BIN)/python -m tests.lab build all
	status=0; $(E2E) --cells=all $(RECORDED) $(E2E_TESTS) || status=$$?; $(BIN)/python -m scripts.engines_page; exit $$status

engines: root setup ## only the scenarios of the matrix, on CELLS; writes their results to docs/engines.md (root)
	$(BIN)/python -m tests.lab build '$(CELLS)'
	status=0; $(E2E) --cells='$(CELLS)' $(RECORDED) tests/e2e/matrix || status=$$?; $(BIN)/python -m scripts.engines_page; exit $$status

# the long runs of what `make test` samples; each starts even if the one before failed
soak: root setup ## ten times the examples of property tests; SOAK_SEEDS simulated histories; faults for CHAOS_MINUTES and churn for SOAK_MINUTES on a real engine; writes docs/reliability.md (root)
	$(BIN)/python -m tests.lab build 28.5
	status=0; \
	$(PYTEST) -m 'hypothesis and not host' --hypothesis-profile soak --timeout 3600 --numprocesses $(WORKERS) || status=$$?; \
	seq $(SOAK_FROM) 250 $$(($(SOAK_FROM) + $(SOAK_SEEDS) - 1)) | xargs -P $(WORKERS) -I FROM $(BIN)/python -m tests.simulation --seeds 250 --from FROM || status=$$?; \
	$(BIN)/python -m tests.chaos --minutes $(CHAOS_MINUTES) --record || status=$$?; \
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) --record || status=$$?; \
	$(BIN)/python -m scripts.reliability_page; exit $$status

fuzz: setup ## look for inputs on which decoders fail, FUZZ_MINUTES for each (network, for atheris); see tests/fuzz
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --minutes $(FUZZ_MINUTES)

bench: root setup ## measure against the budgets (root)
	$(BIN)/python -m benchmarks

demo: root setup ## demonstrate networks from YAML files and their repair; leaves the machine unchanged (root)
	scripts/demo

crds: setup ## write the CustomResourceDefinitions and the JSON Schema from the models
	$(BIN)/dockerv6 crds --dir crds

dist: packages image ## write all artefacts of this version to dist/, with SBOMs and checksums

packages: setup ## write wheel, sdist, Debian package, their SBOM and checksums to dist/ (network, when the lock files change)
	$(BIN)/python -m scripts.dist

image: setup ## build IMAGE, and write it with its SBOM and checksums to dist/; needs docker
	mkdir -p dist
	epoch=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}; \
	docker build --tag '$(IMAGE)' --build-arg SOURCE_DATE_EPOCH=$$epoch \
		--label org.opencontainers.image.created=$$(date --utc --date=@$$epoch +%FT%TZ) \
		--label org.opencontainers.image.revision=$$(git rev-parse HEAD) .
	docker save '$(IMAGE)' | gzip -9n >dist/dockerv6-image.tar.gz
	$(BIN)/python -m scripts.sbom '$(IMAGE)' >dist/dockerv6-image.cdx.json
	$(BIN)/python -c 'from scripts.dist import write_checksums; write_checksums()'

test-dist: root packages ## install the packages of dist/ in fresh Debian roots, and run them with engines and systemd (root)
	$(BIN)/python -m tests.lab build 28.5
	$(PYTEST) -m dist --numprocesses $(WORKERS) tests/e2e/packaging

lock: setup ## write requirements*.lock: the distributions that the image installs, with their hashes (network)
	scripts/lock

sbom: setup ## write dist/sbom.json, the parts of IMAGE (CycloneDX); needs docker and the image
	mkdir -p dist
	$(BIN)/python -m scripts.sbom '$(IMAGE)' >dist/sbom.json

audit: setup ## look up known vulnerabilities of the locked distributions (network: PyPI)
	$(BIN)/uv tool run pip-audit --require-hashes --disable-pip --requirement requirements.lock --requirement requirements-build.lock

clean: ## remove what setup and the tests created in this directory (engines' trees stay in /var/tmp/dockerv6-lab)
	rm -rf '$(VENV)' .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
