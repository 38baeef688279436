# `make demo` and `make test` do all the set-up themselves; they need Python 3.11+ (with venv), git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin

# Images of containers often set it; then each of the many processes that the tests start compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test long test-3.12 test-3.13 pythons lint types floors tests deep torture slurm docs site bench bench-scoring bench-acquisition bench-labels bench-scale bench-durability conformance clean

# One install serves every target; it is redone when the dependencies change. Python compiles what it imports.
EXTRAS ?= dev
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; a few minutes on a slow network)"
	@$(BIN)/python -m pip install --quiet --no-compile --upgrade pip
	@$(BIN)/python -m pip install --quiet --no-compile --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/python examples/digits_pool.py

test: lint types floors tests

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

floors: $(VENV)/.installed
	$(BIN)/lint-imports

# Three processes, for most tests wait more than they compute. `PYTEST_ARGS="-n0 -x -k pool"` uses one.
tests: $(VENV)/.installed
	$(BIN)/python -m pytest -n 3 $(PYTEST_ARGS)

# A short form for the other Pythons, each in an environment with what these tests need: what is written and read, forks
# and signals, asyncio's ways, a disk that fails. `SHORT=tests` runs all that can run.
SHORT ?= tests/store/test_portable.py tests/store/test_formats.py tests/loop/test_signals.py tests/torture/test_faults.py

test-3.12 test-3.13: test-%: .venv-%/.installed
	.venv-$*/bin/python -m pytest -n 2 $(SHORT) $(PYTEST_ARGS)

.venv-%/.installed: pyproject.toml
	@python=$$(.ci/find-python $*) && { test -x .venv-$*/bin/python || $$python -m venv .venv-$*; }
	@echo "installing into .venv-$*"
	@.venv-$*/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[test]'
	@touch $@

# Both, where they are found.
pythons:
	@for version in 3.12 3.13; do \
		if .ci/find-python $$version > /dev/null; then $(MAKE) --no-print-directory test-$$version || exit 1; fi; \
	done

# Hypothesis searches for as long as it takes: 500 examples each, and others every time.
deep: $(VENV)/.installed
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -n 3 -m hypothesis --timeout 3600 $(PYTEST_ARGS)

# Drivers killed 500 times, each write that can fail failing, files cut, histories made up: takes minutes.
torture: $(VENV)/.installed
	$(BIN)/python -m pytest tests/torture -n 2 -rP --show-capture=stdout --torture 500 --timeout 3600 $(TORTURE_ARGS)

# What `make test` leaves out because it takes half a minute a test: on Dask, on Slurm, on every engine, large pools.
long: $(VENV)/.installed
	ROSE_LONG=1 $(BIN)/python -m pytest -n 2 tests/engine tests/slurm tests/identity tests/pool/test_screening.py tests/examples $(PYTEST_ARGS)

# On a real Slurm of two nodes, also with executors that start a job or a job step for each task.
slurm: $(VENV)/.installed
	$(BIN)/python -m pytest tests/slurm --slurm $(PYTEST_ARGS)

docs: $(VENV)/.installed
	$(BIN)/rose metrics --markdown > docs/metrics.md
	$(BIN)/python -m tests.data.document > docs/data.md
	$(BIN)/python -m tests.test_commands > docs/commands.md

# docs/ as a site, in site/: with a reference of docstrings, without the internet; a warning, such as a lost link, fails.
site: $(VENV)/.installed-site
	$(BIN)/python -m tests.docs.reference
	$(BIN)/zensical build --strict --clean

# Nothing is installed where it is there already: pip takes this package away for a moment, below tests that may run.
$(VENV)/.installed-site: $(VENV)/.installed
	@test -x $(BIN)/zensical || $(BIN)/python -m pip install --quiet --no-compile --editable '.[site]'
	@touch $@

# Benchmarks install what they compare with into environments of their own, below benchmarks/.
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/orchestration/compare.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/modules_entered.py
	$(BIN)/python benchmarks/engine_throughput.py
	$(BIN)/python benchmarks/durability.py $(filter --quick,$(BENCH_ARGS))

bench-scoring: $(VENV)/.installed
	$(BIN)/python benchmarks/scoring.py $(BENCH_ARGS)

bench-acquisition: $(VENV)/.installed
	$(BIN)/python benchmarks/acquisition.py $(BENCH_ARGS)

bench-labels: $(VENV)/.installed
	$(BIN)/python benchmarks/labels/compare.py $(BENCH_ARGS)

bench-scale: $(VENV)/.installed
	$(BIN)/python benchmarks/scale.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/scale_memory.py

bench-durability: $(VENV)/.installed
	$(BIN)/python benchmarks/durability.py $(BENCH_ARGS)

# Small programs under ROSE 0.3.0 and under ours: fails if something differs that is not meant to.
conformance: $(VENV)/.installed
	$(BIN)/python benchmarks/conformance/compare.py $(CONFORMANCE_ARGS)

clean:
	rm -rf $(VENV) .venv-3.* site docs/reference .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
