# Everything that a person does with this repository. Each target sets up what it needs; `make help` lists them.

PYTHON ?= python3
CLUSTER ?= embedded
ARGS ?=
BENCH ?= lab
BIN := .venv/bin
LAB := $(BIN)/mesh-lab

.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

install: ## Make .venv with the pinned packages; install missing system packages
	@PYTHON='$(PYTHON)' tools/bootstrap.sh

lab-up: install ## Bring the lab up until all of it is ready
	@$(LAB) up --cluster $(CLUSTER)

running: install
	@$(LAB) up --quiet --cluster $(CLUSTER)

lab-down: install ## Take the lab down; its objects are kept
	@$(LAB) down --cluster $(CLUSTER)

lab-reset: install ## Take the lab down and delete all it has kept
	@$(LAB) reset --cluster $(CLUSTER)

test: unit e2e ## Run the unit tests, then the end-to-end tests on a lab that is brought up for them

unit: install ## Run the unit tests (one of them: make unit ARGS='-k NAME'; on all processors: ARGS='-n auto')
	$(BIN)/pytest tests/unit $(ARGS)

quick: install ## Run the unit tests of pure functions, for the inner loop: a quarter of them, in seconds
	@$(BIN)/pytest tests/unit --quick -q -n 2 --dist loadfile $(ARGS)

coverage: install ## Run the unit tests and tell which lines of the package they do not reach (report: reports/coverage/)
	$(BIN)/pytest tests/unit -n auto --dist loadfile --cov mesh_lab --cov-report term:skip-covered --cov-report html:reports/coverage $(ARGS)

# On the lab's own cluster the end-to-end tests speak all of the mesh's vocabularies.
ifeq ($(CLUSTER),embedded)
e2e behaviour: export MESH_LAB_DIALECTS ?= istio,gateway,consul
endif
e2e: running ## Run the end-to-end tests (one of them: make e2e ARGS='-k NAME')
	$(BIN)/pytest tests/e2e --mesh-cluster $(CLUSTER) --mesh-kubeconfig="$$($(LAB) status --cluster $(CLUSTER) -o kubeconfig)" $(ARGS)

behaviour: running ## Run the end-to-end tests that show a feature of the mesh; reports/conformance.html has the verdicts
	$(BIN)/pytest tests/e2e -m mesh_feature --mesh-conformance=reports --mesh-cluster $(CLUSTER) --mesh-kubeconfig="$$($(LAB) status --cluster $(CLUSTER) -o kubeconfig)" $(ARGS)

lessons: running ## Try each lesson: its start and wrong solutions fail, its solution passes (one: make lessons ARGS='-k canary')
	$(BIN)/pytest tests/e2e/test_lessons.py -s --durations=0 --mesh-cluster $(CLUSTER) --mesh-kubeconfig="$$($(LAB) status --cluster $(CLUSTER) -o kubeconfig)" $(ARGS)

load: running ## Put load on the lab and report figures and limits (options: ARGS='--help')
	@$(LAB) load --cluster $(CLUSTER) $(ARGS)

load-ui: running ## Open Locust's page on the host
	@$(LAB) load --cluster $(CLUSTER) --ui $(ARGS)

images: install ## Build the container images for kind and other clusters (options: ARGS='--platform linux/arm64')
	@$(LAB) images $(ARGS)

conformance: install ## Run the Gateway API's conformance suite, where Go is installed (ARGS='--profile GATEWAY-HTTP --run-test NAME')
	$(BIN)/python -m tests.conformance $(ARGS)

bench: ## Measure the lab, print the figures and write reports/bench.json (of a part: BENCH=churn or another tests/bench/bench_*.py)
	@PYTHON='$(PYTHON)' tools/bootstrap.sh wrk
	$(BIN)/python -m tests.bench.bench_$(BENCH) $(ARGS)

lint: install ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install ## Write docs/differences.md from its table, and the features of docs/conformance.md from the tests
	@$(BIN)/python -m mesh_lab.differences > docs/differences.md.new
	@mv docs/differences.md.new docs/differences.md
	@$(BIN)/python -m tests.featurespage

lock: install ## Write requirements.lock from what .venv holds
	@echo "# Every package of .venv, pinned: \`make lock\` writes this file from a .venv that works." > $@.new
	@$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip >> $@.new
	@mv $@.new requirements.lock

.PHONY: behaviour conformance help install lab-up running lab-down lab-reset test unit quick coverage e2e lessons load load-ui images bench lint docs lock
