# Everything runs in a virtual environment of its own. constraints.txt holds torch to a build that is
# tested; on Linux a bare torch would bring several gigabytes of CUDA packages.
ifeq ($(OS),Windows_NT)
SHELL := bash.exe
PYTHON ?= python
SCRIPTS := Scripts
EXE := .exe
else
PYTHON ?= python3
SCRIPTS := bin
EXE :=
endif
VENV := .venv
BIN := $(VENV)/$(SCRIPTS)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# For pytest: make test ARGS="--ignore=tests/crash"
ARGS ?=
# Processes that share the tests, one more than most computers of CI have cores: some wait for a disk, or for each
# other. make test WORKERS=0 runs them in one, where a debugger works.
WORKERS ?= 3

# For Sphinx: make docs DOCS=site
DOCS ?= docs/_build

.PHONY: demo docs test oldest coverage check check-format check-lint check-types check-layers package bench ray-client triton crash fuzz field qdrant clean

demo: $(VENV)/demo.stamp  ## install, index the Python language reference, answer questions
	$(BIN)/retrievers demo

test: $(VENV)/test.stamp  ## the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

coverage: $(VENV)/test.stamp  ## the test suite, and which lines of retrievers/ it ran: coverage.md
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov=retrievers --cov-report=term $(ARGS)
	$(BIN)/python -m coverage report --format=markdown --skip-covered > coverage.md

check: check-format check-lint check-types check-layers  ## format, lint, types, layers

check-format: $(VENV)/check.stamp
	$(BIN)/ruff format --check .

check-lint: $(VENV)/check.stamp
	$(BIN)/ruff check .

check-types: $(VENV)/check.stamp
	$(BIN)/mypy

check-layers: $(VENV)/check.stamp
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp  ## the documentation site, into docs/_build: a warning is an error, and nothing is fetched
	$(BIN)/python -m sphinx --builder html --conf-dir docs --fail-on-warning --keep-going --quiet . $(DOCS)

package: $(VENV)/package.stamp  ## build wheel and sdist into dist/, install each bare, try import and search
	$(BIN)/python .ci/package.py

bench: $(VENV)/bench.stamp  ## speed, with the engines that install; hours. KIND=zen4 names the processor in the pages
	$(BIN)/python -m benchmarks.search $(if $(KIND),--processor $(KIND))
	$(BIN)/python -m benchmarks.account $(if $(KIND),--processor $(KIND))
	$(BIN)/python -m benchmarks.planes $(if $(KIND),--processor $(KIND))
	$(BIN)/python -m benchmarks.published
	$(BIN)/python -m benchmarks.bits
	$(BIN)/python -m benchmarks.inverted --sizes 10000 20000 40000 200000 1000000 --questions 120
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.busy
	$(BIN)/python -m benchmarks.encoding speed --data ../shared/data
	$(BIN)/python -m benchmarks.int8 --data ../shared/data

oldest: $(VENV)-oldest/stamp  ## the encoder's tests against the oldest transformers that we support; `make test` has the newest
	$(VENV)-oldest/bin/python -m pytest tests/encoder --ignore tests/encoder/offline

$(VENV)-oldest/stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		transformers==5.0.0 -e ".[offline]" --group test
	touch $@

ray-client: $(VENV)/test.stamp  ## the tests of a program outside of Ray's cluster, beside a head on this computer
	$(PIP) "ray[client,default]>=2.60"
	RAY_AUTH_MODE=disabled $(BIN)/ray start --head --num-cpus=2 --disable-usage-stats
	RAY_AUTH_MODE=disabled RAY_CLIENT=ray://127.0.0.1:10001 $(BIN)/python -m pytest tests/ray/test_ray_client.py; \
		status=$$?; $(BIN)/ray stop --force; exit $$status

triton: $(VENV)/test.stamp  ## the kernel for GPUs: compiled, and run by Triton's interpreter; installs Triton, for Linux on x86-64
	$(PIP) triton
	$(BIN)/python -m pytest tests/kernels/test_triton.py
	TRITON_INTERPRET=1 $(BIN)/python -m pytest tests/search/test_gpu.py

crash: $(VENV)/test.stamp  ## kill a writing process 1000 times
	$(BIN)/python -m tests.crash.harness --kills 1000

field: $(VENV)/test.stamp  ## two processes, four handles, kills, full disks and swapped directories for an hour
	$(BIN)/python -m tests.field.machine --minutes 60

fuzz: $(VENV)/test.stamp  ## open 20 000 damaged collections, and 5 000 damaged where no checksum shows it
	$(BIN)/python -m tests.fuzz.mutate --count 20000
	$(BIN)/python -m tests.fuzz.consistent --count 5000

qdrant: $(VENV)/test.stamp  ## kill a writer to Qdrant 300 times on two engines, 200 faults, thousands of filters; scifact there and back
	$(BIN)/python -m tests.qdrant.harness --kills 300 --faults 200
	RETRIEVERS_FILTERS=1500 $(BIN)/python -m pytest -q --timeout 7200 tests/qdrant/test_qdrant_filters.py
	$(BIN)/python -m tests.qdrant.moving --kills 10

# torch goes first and alone: a resolver that meets it as a dependency may choose another build.
$(BIN)/python$(EXE):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(PIP) torch

$(VENV)/demo.stamp: $(BIN)/python$(EXE) pyproject.toml constraints.txt
	$(PIP) -e ".[langchain,llama-index,offline]"
	touch $@

$(VENV)/test.stamp: $(BIN)/python$(EXE) pyproject.toml constraints.txt
	$(PIP) -e ".[all]" --group test
	touch $@

$(VENV)/check.stamp: $(VENV)/test.stamp
	$(PIP) --group check
	touch $@

$(VENV)/docs.stamp: $(VENV)/test.stamp
	$(PIP) --group docs
	touch $@

$(VENV)/package.stamp: $(BIN)/python$(EXE) pyproject.toml constraints.txt
	$(PIP) --group package
	touch $@

$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(PIP) --group bench
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest demo-index docs/_build docs/jupyter_execute dist coverage.md .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
