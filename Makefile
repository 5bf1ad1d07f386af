# Everything runs in a virtual environment of its own. constraints.txt holds torch to a build that is
# tested; on Linux a bare torch would bring several gigabytes of CUDA packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check bench crash fuzz qdrant notebooks clean

demo: $(VENV)/demo.stamp  ## install, index the Python language reference, answer questions
	$(BIN)/retrievers demo

test: $(VENV)/test.stamp  ## the whole test suite
	$(BIN)/python -m pytest

check: $(VENV)/check.stamp  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/bench.stamp  ## search speed against other engines; takes long
	$(BIN)/python -m benchmarks.search

crash: $(VENV)/test.stamp  ## kill a writing process 500 times
	$(BIN)/python -m tests.crash.harness --kills 500

fuzz: $(VENV)/test.stamp  ## open 20 000 damaged collections
	$(BIN)/python -m tests.fuzz.mutate --count 20000

qdrant: $(VENV)/test.stamp  ## kill a writer to Qdrant 300 times on two engines, 200 faults, thousands of filters
	$(BIN)/python -m tests.qdrant.harness --kills 300 --faults 200
	RETRIEVERS_FILTERS=1500 $(BIN)/python -m pytest -q tests/qdrant/test_qdrant_filters.py

# torch goes first and alone: a resolver that meets it as a dependency may choose another build.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(PIP) torch

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[langchain,llama-index,offline]"
	touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[all]" --group test
	touch $@

$(VENV)/check.stamp: $(VENV)/test.stamp
	$(PIP) --group check
	touch $@

$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(PIP) --group bench
	touch $@

clean:
	rm -rf $(VENV) demo-index .pytest_cache .mypy_cache .ruff_cache .hypothesis
