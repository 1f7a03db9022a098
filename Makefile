# Each target makes .venv by itself: plain pip, locked versions, nothing outside this folder.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(if $(shell command -v $(name)),$(name))))
ROUNDS ?= 10
BIN := .venv/bin
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: demo test test-cold chaos bench pictures lint format build clean help

demo: $(STAMP) ## Kafka, router, sinks and emulated vendors in one terminal, for 20 seconds
	$(BIN)/streams demo --for 20s

test: $(STAMP) ## All tests, on the best broker that this machine can run (REQUIRE_BROKER=apache: on Apache Kafka or not at all)
	PROMTOOL=$$(sh tools/promtool.sh) $(BIN)/pytest -n 4 --dist worksteal

test-cold: ## `make test` of the last commit in an empty folder with an empty home and cache, as on a new machine
	sh tools/test_cold.sh

chaos: $(STAMP) ## Processes, broker and destinations broken at random, then everything counted (SEED=… ROUNDS=10)
	ROUNDS=$(ROUNDS) $(if $(SEED),SEED=$(SEED)) REQUIRE_BROKER=apache $(BIN)/pytest tests/chaos/test_chaos.py -q -s

bench: $(STAMP) ## Events per second of the router and of each sink, compared with bare loops
	$(BIN)/python -m tests.bench

lint: $(STAMP) ## Style, types, and which room imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: $(STAMP) ## Play the story of dead credentials, and make the README's picture of it
	$(BIN)/python tools/story_picture.py

format: $(STAMP) ## Let ruff lay the code out
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(STAMP) ## Wheel and source archive, into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

clean: ## Remove what the other targets made
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
