# Everything that is done with this project by hand or in CI. Each target makes the .venv that it needs.
#   make demo     the main job, from an empty folder to a rolled-back release, without a network
#   make test     the tests       (one: make test ARGS="tests/e2e -k rollback -x")
#   make lint     ruff, mypy, import-linter, shellcheck
#   make check    lint and test
#   make screenshots  the page as docs/web.md shows it, by the browser's tests
#   make bench    the figures of docs/performance.md    (ARGS=--quick for a look)
#   make crash    kill it N times: make crash N=2000 SEED=1

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
N ?= 200
SEED ?= 1
JOBS ?= 2

.PHONY: demo test lint check bench crash clean screenshots

demo: $(VENV)/.base
	$(BIN)/gitdeploy demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

screenshots: $(VENV)/.dev
	PAGE_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/web/browser $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v shellcheck >/dev/null; then .ci/shell-scripts | xargs shellcheck; \
	else echo "shellcheck is not installed (Debian package shellcheck): shell scripts are not checked"; fi

check: lint test

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

crash: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m crash --kills $(N) --seed $(SEED) --jobs $(JOBS) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gitdeploy needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making .venv, once: a minute or so."
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "No venv could be made. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.base
