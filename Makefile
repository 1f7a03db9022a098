# Each target makes .venv by itself: plain pip, locked versions, nothing outside this folder.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(if $(shell command -v $(name)),$(name))))
ROUNDS ?= 10
CONVERGENCE_RUNS ?= 500
CLUSTER ?= 1
HOURS ?= 2
RATE ?= 100
CHAOS_TEST = $(or $(CHAOS_TEST_$(CLUSTER)),$(error CLUSTER=$(CLUSTER): chaos runs on 1 or 3 brokers))
CHAOS_TEST_1 = tests/chaos/test_chaos.py
CHAOS_TEST_3 = tests/chaos/test_cluster_chaos.py tests/chaos/test_cluster_ways_in.py
BIN := .venv/bin
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: demo test test-again test-cold chaos simulate soak inlet-large bench compile uncompile pictures lint format build clean help

demo: $(STAMP) ## Kafka, router, sinks and emulated vendors in one terminal, for 20 seconds
	$(BIN)/streams demo --for 20s

test: $(STAMP) ## All tests, on the best broker that this machine can run (REQUIRE_BROKER=apache: on Apache Kafka or not at all)
	@# Tests start hundreds of processes. Where PYTHONDONTWRITEBYTECODE is set, each of them would parse every module again.
	$(BIN)/python -m compileall -q -j 0 streams tests
	PROMTOOL=$$(sh tools/promtool.sh) $(BIN)/pytest -n 4 --dist worksteal

test-again: $(STAMP) ## What failed in the last `make test`, one test at a time: is it broken, or does it fail only beside others?
	PROMTOOL=$$(sh tools/promtool.sh) $(BIN)/pytest --last-failed --last-failed-no-failures none

test-cold: ## `make test` of the last commit in an empty folder with an empty home and cache, as on a new machine
	sh tools/test_cold.sh

chaos: $(STAMP) ## Processes, brokers and destinations broken at random, then everything counted (SEED=… ROUNDS=10 CLUSTER=3)
	ROUNDS=$(ROUNDS) $(if $(SEED),SEED=$(SEED)) REQUIRE_BROKER=apache $(BIN)/pytest $(CHAOS_TEST) -q -s
	CONVERGENCE_RUNS=$(CONVERGENCE_RUNS) $(if $(SEED),CONVERGENCE_SEED=$(SEED)) $(BIN)/pytest tests/wayback/test_convergence.py -q

soak: $(STAMP) ## All roles under a steady load for HOURS=2, read each minute: leaks, lag, accounts (RATE=100 events/s, SEED=1)
	REQUIRE_BROKER=apache $(BIN)/python -m tests.soak --hours $(HOURS) --rate $(RATE) --seed $(or $(SEED),1)

simulate: $(STAMP) ## The whole as one deterministic world: kills, zombies, lost answers; a seed that fails is shortened (SEED=… STEPS=… WORLD=way-back or inlets)
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS)) $(if $(ACTS),--acts $(ACTS)) $(if $(WORLD),--world $(WORLD))

inlet-large: $(STAMP) ## Peak of memory in MiB while an inlet takes a file of 10 GB (needs that much of /tmp)
	$(BIN)/python -m tests.inlets.large file 10e9

bench: $(STAMP) ## Events per second of the router and of each sink, compared with bare loops (PLOTS=1: how cost grows, drawn)
	$(BIN)/python -m tests.bench $(if $(PLOTS),--plots)

compile: $(STAMP) ## Compile the hot modules in place: two to three times as fast (needs a C compiler)
	$(BIN)/python tools/compile.py

uncompile: $(STAMP) ## Back to plain Python
	$(BIN)/python tools/compile.py --undo

lint: $(STAMP) ## Style, types, and which room imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: $(STAMP) ## Play both stories, and make the README's pictures of them
	$(BIN)/python tools/story_picture.py credentials
	$(BIN)/python tools/story_picture.py loop

format: $(STAMP) ## Let ruff lay the code out
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(STAMP) ## Wheel and source archive, into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

clean: ## Remove what the other targets made
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "streams needs Python 3.11 or later, and there is no python3 on PATH" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "streams needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@echo "Setting up .venv: about $$(grep -c == requirements/dev.txt) packages. The first time they are downloaded, which takes a minute or two."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
