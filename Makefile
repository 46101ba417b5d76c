# Each target alone sets up all it needs: a virtual environment in .venv with pinned dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FEDERATED := .venv-federated
FEDERATED_READY := $(FEDERATED)/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
FLOWER := src/ostinato/applications/federated/flower.py
FLOWER_TESTS := tests/applications/federated/test_flower.py tests/applications/federated/test_loopback.py
SOURCES := src tests examples

.PHONY: demo test test-all check format bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

# Flower asks for an older typer, rich and protobuf than the rest is tested with, so that it has an environment of its own.
$(FEDERATED_READY): pyproject.toml constraints-federated.txt
	$(PYTHON) -m venv $(FEDERATED)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(FEDERATED)/bin/python -m pip install --quiet --constraint constraints-federated.txt --editable ".[federated]" pytest pytest-timeout hypothesis
	touch $(FEDERATED_READY)

demo: $(READY)  ## train on digits under a plan with five voices, and write the report
	$(BIN)/ostinato train examples/digits.toml

test: $(READY) $(FEDERATED_READY)  ## everything that must hold before a change lands
	$(PYTEST) -m "not slow" tests
	$(PYTEST) --doctest-modules --ignore $(FLOWER) src
	$(FEDERATED)/bin/python -m pytest $(FLOWER_TESTS)

test-all: $(READY) $(FEDERATED_READY)  ## the longer checks too
	$(PYTEST) tests
	$(PYTEST) --doctest-modules --ignore $(FLOWER) src
	$(FEDERATED)/bin/python -m pytest $(FLOWER_TESTS)

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
	rm -rf $(VENV) $(FEDERATED) .mypy_cache .ruff_cache .pytest_cache .hypothesis
