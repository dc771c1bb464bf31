# Two commands on a fresh machine: `make demo` and `make test`. Each sets up .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Each of two workers computes with one thread: more would only wait for cores.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
  TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=

.PHONY: setup demo test slow coverage check bench fuzz starter lock format clean

setup: $(STAMP)

# uv takes the registry's build of torch; the CPU-only build does not fit torchvision.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(STAMP)

demo: setup
	$(BIN)/hitl demo

# The quick tests, then those marked slow; both count towards the coverage that must be kept.
test: setup
	$(PYTEST) -m "not slow"

slow: setup
	$(PYTEST) --dist worksteal -m slow --cov-append

coverage: setup
	$(BIN)/coverage report

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

bench: setup
	$(BIN)/python -m scripts.bench

# Damaged files for every reader, for some minutes: make fuzz MINUTES=10
MINUTES ?= 1
fuzz: setup
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

# The shipped starter models again: an hour or two on two cores.
starter: setup
	$(BIN)/python -m scripts.train_starter unet3d starter/unet3d
	$(BIN)/python -m scripts.train_starter stardist3d starter/stardist3d

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url \
	  --no-header --no-annotate pyproject.toml -o requirements.lock

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
