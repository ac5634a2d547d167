# Two commands are enough: `make loadtest` and `make test`. Everything they need is installed into .venv.
PYTHON   ?= python3
PROFILE  ?=
CLUSTER  ?= embedded
CONTEXT  ?=
FUZZ     ?=
BENCH    ?=
CLAIMS   ?=
KUBE_BURNER ?=
SCENARIO ?= smoke
BIN      := .venv/bin
STAMP    := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup loadtest test test-faults test-kind test-browser lint fuzz image audit bench bench-growth soak accuracy nightly \
  claims clean requirements docs wheel \
  dashboards-up dashboards-down

help: ## show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d; 3.11 or newer is needed: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "installing Python packages into .venv (pinned, hashed)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## install into .venv and build what later commands need (control plane: minutes, once)
	@$(BIN)/python -m harness.toolchain

loadtest: setup ## run the main job: SCENARIO=smoke PROFILE= CLUSTER=embedded|kind|kubeconfig CONTEXT=
	@$(BIN)/harness run $(SCENARIO) --cluster $(CLUSTER) $(if $(PROFILE),--profile $(PROFILE)) $(if $(CONTEXT),--context $(CONTEXT))

test: setup ## run the tests: unit, then integration on a real control plane
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-faults: setup ## run the tests in which something goes wrong around a run: docs/reliability.md
	@$(BIN)/python -m pytest tests/faults -n auto --maxprocesses 2 --dist loadfile

test-kind: setup ## run the tests that need a real kind cluster: Docker, kind, and a node image
	@. ./.ci/kind-env && $(BIN)/python -m pytest tests/kind

test-browser: setup ## run the tests of the pages in a real browser: Chromium
	@$(BIN)/python -m pytest tests/browser

lint: $(STAMP) ## ruff, mypy, the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m dashboards --check

fuzz: $(STAMP) ## bad input to every parser: 100,000 cases and more, FUZZ='--cases N --only NAME --seed N'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt \
	  || echo "no atheris for this machine: property-based cases only"
	@$(BIN)/python -m tests.fuzz $(FUZZ)

image: $(STAMP) ## the harness's own image, to run in a cluster (docs/in-cluster.md): TAG=
	@$(BIN)/python -m harness.toolchain.image $(TAG)

audit: $(STAMP) ## known vulnerabilities of the pinned packages; asks the data source of pip-audit on the network
	@test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet \
	  --disable-pip-version-check --require-hashes -r requirements/audit.txt; }
	@for name in main dev inject controllers; do .venv-audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r requirements/$$name.txt || exit 1; done

bench: setup ## measure the harness itself against its goals, 25 minutes at most: KUBE_BURNER=path to compare with, BENCH='--only NAME --rounds N --json'
	@KUBE_BURNER='$(KUBE_BURNER)' $(BIN)/python -m tests.bench $(BENCH)

soak: setup ## an hour of churn; the harness itself must stay as it is: PROFILE=quick for two minutes
	@$(BIN)/harness run soak --on-busy warn $(if $(PROFILE),--profile $(PROFILE))

bench-growth: setup ## how each figure of `make bench` grows with 1, 10, 100 times the work: growth.html
	@$(BIN)/python -m tests.bench.growth --html growth.html

accuracy: setup ## what the harness measures against what is true: docs/accuracy.md
	@$(BIN)/python -m tests.accuracy

dashboards-up: $(STAMP) ## Prometheus, Grafana and Pyroscope beside the harness, provisioned, on loopback
	@$(BIN)/harness dashboards up

dashboards-down: $(STAMP) ## end them
	@$(BIN)/harness dashboards down

nightly: setup ## judge HEAD against the last good commit: CLUSTER=embedded|kind GATES= BASELINE= NIGHTLY='further options'
	@$(if $(filter kind,$(CLUSTER)),. ./.ci/kind-env &&) $(BIN)/harness nightly $(GATES) --cluster $(CLUSTER) \
	  $(if $(KIND_NAME),--kind-name $(KIND_NAME)) $(if $(BASELINE),--baseline $(BASELINE)) $(NIGHTLY)

claims: setup ## measure published cases: PROFILE=quick|full CLAIMS='further options'
	@$(BIN)/harness claims --profile $(or $(PROFILE),quick) $(CLAIMS)

wheel: $(STAMP) ## wheel and source distribution in dist/, with what the wheel needs, pinned: docs/howto.md
	@rm -rf dist
	@$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python
	@cp requirements/main.txt dist/requirements.txt
	@ls -1 dist/*

docs: $(STAMP) ## write the generated pages and schemas again
	@$(BIN)/python -m harness.record.schemas
	@$(BIN)/python -m harness.scenario.schema
	@$(BIN)/python -m harness.core.metrics > docs/metrics.md
	@$(BIN)/python -m harness.cli.page > docs/cli.md
	@$(BIN)/python -m harness.cli.page exit-codes > docs/exit-codes.md
	@$(BIN)/python -m dashboards

requirements: $(STAMP) ## pin requirements/*.in again, with hashes
	@for name in main dev inject go controllers fuzz audit; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links --no-annotate requirements/$$name.in --output-file requirements/$$name.txt; done

clean: ## remove run output and caches in this folder, and leftovers of runs on this machine
	@test ! -x $(BIN)/harness || $(BIN)/harness clean
	@rm -rf runs experiments nightly build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .venv-audit
