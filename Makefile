# Everything that is done with this project by hand or in CI. Each target makes the .venv that it needs.
#   make demo     the main job, from an empty folder to a rolled-back release, without a network
#   make test     the tests       (one: make test ARGS="tests/e2e -k rollback -x")
#                 (campaigns whole: make test THOROUGH=1)
#   make quick    those that need no server, browser, machine or campaign: a minute, after every edit
#   make lint     ruff, mypy, import-linter, shellcheck
#   make check    lint and test
#   make screenshots  the page as docs/web.md shows it, by the browser's tests
#   make docs      the documentation as a site, in build/site
#   make reference  docs/reference and the man pages from the code: after a change of a command's help or a setting
#   make messages  the sentences of the sources into the catalogues of translations, and compiled
#   make bench    the figures of docs/performance.md    (ARGS=--quick for a look)
#   make release  sdist, wheel and SBOM of VERSION=x.y.z in dist/, checked; uploads nothing
#   make crash    kill it N times: make crash N=2000 SEED=1
# Another Python: make test PYTHON=python3.12. The venv elsewhere, for a clone that can't be written to: VENV=/path.
# JOBS: processes at once, one more than two cores: a test often waits for a service.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
N ?= 200
SEED ?= 1
JOBS ?= 3

ifneq ($(words $(VENV)),1)
$(error VENV must be a path without blanks)
endif
# A server sets none of these; what they hide must show here, too.
unexport PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME
# Before 3.13 Python reads the path of an editable install in the locale's encoding: in C, a clone below 项目 would not start.
export LC_ALL := C.UTF-8
export MAKECMDGOALS

.PHONY: docs messages demo test quick lint check bench crash lock locked release clean screenshots reference

demo: $(VENV)/.base
	$(BIN)/gitdeploy demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) -o cache_dir=$(VENV)/.pytest_cache $(ARGS)

quick: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) -m quick $(ARGS)

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

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

messages: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m language.catalogue $(ARGS)

reference: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m reference.make

crash: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m crash --kills $(N) --seed $(SEED) --jobs $(JOBS) $(ARGS)

# What development and CI may be installed from, byte for byte the same everywhere: anew after each change of pyproject.toml.
lock: $(VENV)/.dev
	echo editables | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --extra dev --output-file requirements-dev.lock pyproject.toml -

locked: | $(BIN)/python $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.dev $(VENV)/.base

release: $(VENV)/.dev
	@VENV="$(VENV)" .ci/release "$(VERSION)"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

$(BIN)/python $(BIN)/pip &:
	@.ci/needed $(PYTHON) $(VENV)
	@echo "Making $(VENV), once: a minute or so."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(BIN)/python $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.base
