# Two commands for a newcomer: `make serve` and `make test`. The rest is for those who measure.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: serve test lint types contracts unit bench bench-peers soak clean

serve: $(VENV)/.run-ready
	$(BIN)/python -m gateway serve --repository model_repo --insecure-dev

test: lint types contracts unit

lint: $(VENV)/.dev-ready
	$(BIN)/ruff check gateway tests model_repo
	$(BIN)/ruff format --check gateway tests model_repo

types: $(VENV)/.dev-ready
	$(BIN)/mypy

contracts: $(VENV)/.dev-ready
	$(BIN)/lint-imports

unit: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -m "not bench and not soak"

bench: $(VENV)/.dev-ready
	$(BIN)/python -m tests.bench

bench-peers: $(VENV)/.dev-ready
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
	rm -rf $(VENV) .venvs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
