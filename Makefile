# make demo   install what is needed and run the demonstration
# make test   install what is needed and run the tests        (PYTEST_FLAGS="-n 0" runs them in one process)
# make check  everything that is checked without running      (style, types, layers, documentation)

PYTHON ?= python3
# A process of one thread each on every core: the arrays of the tests are too small for threads.
# worksteal: each takes a half of the files and, when it is done, of what the other has left. What the tests of a file
# share is so made by one of them alone.
PYTEST_FLAGS ?= -n auto --dist worksteal
# What Python has compiled is kept: the tests start many processes.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test check clean
.DELETE_ON_ERROR:

demo: $(RUN_STAMP)
	$(BIN)/autospine demo

test: $(DEV_STAMP)
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The environment is built once and again only when what is installed in it changes.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $(RUN_STAMP) $@
