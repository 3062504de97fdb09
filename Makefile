# Two commands for a newcomer: `make serve` and `make test`. The rest is for those who measure.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where `make compiled` puts a copy of the package with its hot path compiled to C, and tests beside it.
COMPILED := build/compiled
PYTHON_IN := $(abspath $(BIN)/python)

.PHONY: serve fast test lint types contracts unit compiled unit-compiled bench bench-peers soak clean

serve: $(VENV)/.run-ready
	$(BIN)/python -m gateway serve --repository model_repo --insecure-dev

# The same from the compiled copy: half as much again in requests a second; needs a C compiler.
fast: compiled
	cd $(COMPILED) && $(PYTHON_IN) -m gateway serve --repository $(abspath model_repo) --insecure-dev

test: lint types contracts unit unit-compiled

lint: $(VENV)/.dev-ready
	$(BIN)/ruff check gateway tests model_repo deploy
	$(BIN)/ruff format --check gateway tests model_repo deploy

types: $(VENV)/.dev-ready
	$(BIN)/mypy

contracts: $(VENV)/.dev-ready
	$(BIN)/lint-imports

unit: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -m "not bench and not soak"

compiled: $(COMPILED)/.ready

$(COMPILED)/.ready: $(VENV)/.dev-ready deploy/compile.py $(shell find gateway -name '*.py')
	$(BIN)/python deploy/compile.py $(COMPILED)
	@touch $@

# What drives the hot path, once more over the compiled copy; says so where that cannot be made.
unit-compiled: $(VENV)/.dev-ready
	@missing="$$($(BIN)/python deploy/compile.py --missing)"; if [ -n "$$missing" ]; then \
	  echo "skipped: the compiled hot path is not tested, $$missing"; \
	else $(MAKE) --no-print-directory _unit-compiled; fi

_unit-compiled: compiled
	rm -rf $(COMPILED)/tests && cp -r tests model_repo requirements pyproject.toml $(COMPILED)/
	ln -sfn $(abspath .venvs) $(COMPILED)/.venvs
	cd $(COMPILED) && $(PYTHON_IN) -m pytest -m "not bench and not soak" tests/wire tests/frontends \
	  tests/pipeline tests/scheduling tests/telemetry tests/workers tests/conformance \
	  tests/interop/test_grpcio.py tests/interop/test_attacks.py tests/interop/test_streaming.py

bench: compiled
	$(BIN)/python -m tests.bench
	$(BIN)/python -m pytest -m bench

bench-peers: compiled
	$(BIN)/python -m tests.bench.peers

soak: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -m soak --timeout 900

# Hash-locked: a package whose bytes changed is refused. --no-deps: the lock is the whole truth.
$(VENV)/.run-ready: requirements/run.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/run.lock
	@touch $@

$(VENV)/.dev-ready: requirements/dev.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.lock
	@touch $@ $(VENV)/.run-ready

clean:
	rm -rf $(VENV) .venvs build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
