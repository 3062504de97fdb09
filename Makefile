# Two commands for a newcomer: `make serve` and `make test`. The rest is for those who measure.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where `make compiled` puts a copy of the package with its hot path compiled to C, and tests beside it.
COMPILED := build/compiled
PYTHON_IN := $(abspath $(BIN)/python)

# What starts whole gateways and waits for them, beside what computes: `make test` runs both at once.
GATEWAYS := tests/interop tests/processes tests/conformance
PYTEST := -m pytest -rs -m "not bench and not soak"

.PHONY: serve fast test lint types contracts unit gateways compiled unit-compiled bench bench-peers soak clean

serve: $(VENV)/.run-ready
	$(BIN)/python -m gateway serve --repository model_repo --insecure-dev

# The same from the compiled copy: half as much again in requests a second; needs a C compiler.
fast: compiled
	cd $(COMPILED) && $(PYTHON_IN) -m gateway serve --repository $(abspath model_repo) --insecure-dev

# Two at a time, each printed whole when it is done; one that fails does not stop the others.
test: lint types contracts
	@echo "testing: 'unit', 'gateways' and 'unit-compiled' print what they find when they are done (minutes)"
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=recurse --keep-going unit gateways unit-compiled

lint: $(VENV)/.dev-ready
	$(BIN)/ruff check gateway plugins tests model_repo deploy
	$(BIN)/ruff format --check gateway plugins tests model_repo deploy

types: $(VENV)/.dev-ready
	$(BIN)/mypy

contracts: $(VENV)/.dev-ready
	$(BIN)/lint-imports

unit: $(VENV)/.dev-ready
	$(BIN)/python $(PYTEST) $(addprefix --ignore=,$(GATEWAYS))

gateways: $(VENV)/.dev-ready
	$(BIN)/python $(PYTEST) $(GATEWAYS)

compiled: $(COMPILED)/.ready

$(COMPILED)/.ready: $(VENV)/.dev-ready deploy/compile.py $(shell find gateway plugins -name '*.py')
	$(BIN)/python deploy/compile.py $(COMPILED)
	@touch $@

# Of the workers: what starts and ends processes, and takes its time over it, is compiled nowhere.
NOT_HOT := supervisor zygote processes standby arena

# What drives the hot path, once more over the compiled copy; says so where that cannot be made.
unit-compiled: $(VENV)/.dev-ready
	@missing="$$($(BIN)/python deploy/compile.py --missing)"; if [ -n "$$missing" ]; then \
	  echo "skipped: the compiled hot path is not tested, $$missing"; \
	else $(MAKE) --no-print-directory _unit-compiled; fi

_unit-compiled: compiled
	rm -rf $(COMPILED)/tests && cp -r tests model_repo requirements pyproject.toml $(COMPILED)/
	mkdir -p .venvs && ln -sfn $(abspath .venvs) $(COMPILED)/.venvs
	cd $(COMPILED) && $(PYTHON_IN) $(PYTEST) tests/wire tests/frontends tests/pipeline tests/scheduling \
	  tests/telemetry tests/workers $(addprefix --ignore=tests/workers/test_,$(addsuffix .py,$(NOT_HOT))) \
	  tests/conformance tests/interop/test_grpcio.py tests/interop/test_attacks.py tests/interop/test_streaming.py

# What must be done within a second is given much longer by `make test`, whose machine may be busy.
WITHIN_A_SECOND := tests/processes/test_start.py tests/processes/test_faults.py tests/processes/test_drain.py \
  tests/lifecycle/test_fronts.py tests/workers/test_supervisor.py tests/workers/test_zygote.py tests/test_controller.py

bench: compiled
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.serverless
	$(BIN)/python -m pytest -m bench
	GATEWAY_TESTS_PATIENCE=1 $(BIN)/python $(PYTEST) $(WITHIN_A_SECOND)

bench-peers: compiled
	$(BIN)/python -m tests.bench.peers
	$(BIN)/python -m tests.bench.serverless.peers

soak: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -m soak --timeout 900

# Hash-locked: a package whose bytes changed is refused. --no-deps: the lock is the whole truth.
# The tree itself is installed too, editable: plugins are found by their entry points, the built-in ones too.
INSTALL_TREE = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .

$(VENV)/.run-ready: requirements/run.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/run.lock
	$(INSTALL_TREE)
	@touch $@

$(VENV)/.dev-ready: requirements/dev.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.lock
	$(INSTALL_TREE)
	@touch $@ $(VENV)/.run-ready

clean:
	rm -rf $(VENV) .venvs build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
