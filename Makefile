# Each target alone sets up all it needs: a virtual environment in .venv with pinned dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
SOURCES := src tests

.PHONY: demo test test-all check format bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)  ## train on digits under a plan with five voices, and write the report
	$(BIN)/ostinato train examples/digits.toml

test: $(READY)  ## everything that must hold before a change lands
	$(PYTEST) -m "not slow" tests
	$(PYTEST) --doctest-modules src

test-all: $(READY)  ## the longer checks too
	$(PYTEST) tests
	$(PYTEST) --doctest-modules src

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(READY)  ## ratios against the peers, side by side in one process; leave the machine alone meanwhile
	$(BIN)/ostinato bench all

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
