# `make demo` and `make test` need nothing but Python 3.11 or later and its package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Test processes at once: twice two cores, as half of a test is waiting. 0 for one without workers, which debuggers want.
WORKERS ?= 4
PYTEST := $(BIN)/python -m pytest
TOGETHER = -n $(WORKERS) --dist loadgroup
# Tests start hundreds of processes; without this, each would compile the library anew.
unexport PYTHONDONTWRITEBYTECODE
# Of `make fuzz`, which shows the seed: the same one makes the same requests.
FUZZ_EXAMPLES ?= 100
FUZZ_SEED := $(or $(FUZZ_SEED),$(shell date +%s))
DOCS_STAMP := $(VENV)/.docs-installed

.DEFAULT_GOAL := help
.PHONY: help venv demo check test test-infra acceptance fuzz lint format lambdas e2e bench bench-quick docs clean

help: ## show the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 20

# The stamp is newer than pyproject.toml exactly when what that asks for is installed.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

venv: $(STAMP) ## make .venv with everything that development needs

demo: $(STAMP) ## five models, two consumers, real results; ARGS='--jobs 2000 --json'
	$(BIN)/inference-engine demo $(ARGS)

lint: $(STAMP) ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## write the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Unit tests wait for nothing, and of the stacks' tests most share one stack.
check test-infra: WORKERS = 2

check: lint ## lint, then the unit tests: 90 seconds; ARGS='tests/jobs -k codec'
	$(PYTEST) $(TOGETHER) -m unit $(ARGS)

test: lint ## lint, then all that needs no more than this machine: 6 minutes
	$(PYTEST) $(TOGETHER) -m 'unit or integration or faults' $(ARGS)

test-infra: $(STAMP) ## the tests of terraform/ alone, against emulators
	TESTS_REQUIRE_TERRAFORM=1 $(PYTEST) $(TOGETHER) -m infra $(ARGS)

# Chosen tests say nothing of how much of the code all of them run.
acceptance: lint ## all tests, the slow ones too, thoroughly, and how much of the code they run; ARGS='-m acceptance' for some
	TESTS_THOROUGH=1 $(PYTEST) $(TOGETHER) $(or $(ARGS),--cov --cov-report=term:skip-covered)

fuzz: $(STAMP) ## many made-up requests to a gateway, others each time; FUZZ_EXAMPLES=500 FUZZ_SEED=5
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) FUZZ_SEED=$(FUZZ_SEED) $(PYTEST) tests/gateway/apis/test_openapi_live.py $(ARGS)

lambdas: $(STAMP) ## the Lambdas' zips, in lambdas/dist; ARGS='--architecture x86_64'
	$(BIN)/python -m lambdas.package $(ARGS)

e2e: $(STAMP) ## a deployed environment; ENVIRONMENT=prod
	$(PYTEST) e2e_test --environment '$(ENVIRONMENT)' $(ARGS)

bench: $(STAMP) ## all benchmarks, about twenty-five minutes; ARGS='throughput' for some
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(STAMP) ## the same with small sizes, about three minutes
	$(BIN)/python -m benchmarks --quick $(ARGS)

docs: $(DOCS_STAMP) ## the documentation, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean: ## remove everything that the targets above made here
	rm -rf $(VENV) lambdas/dist docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
