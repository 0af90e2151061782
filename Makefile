# `make` lists the targets; each one first sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
METHOD ?= csol
WORKDIR ?= $(if $(filter csol,$(METHOD)),runs/demo,runs/demo_$(METHOD))
DATA_DIR ?= runs/data
PYTEST_JOBS ?= 2
PYTEST_ARGS ?=
MINUTES ?= 20
BENCH_ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo bench soak test lint format lock clean
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The scenes that each method's toy config trains on.
DATA_csol := toy_orchestra
DATA_ier := toy_orchestra/wild

demo: $(INSTALLED)  ## build the embedded data set, train METHOD (csol, ier), write WORKDIR/report.html
	@[ -n "$(DATA_$(METHOD))" ] || { echo "METHOD is csol or ier, not '$(METHOD)'" >&2; exit 1; }
	$(BIN)/avloc data build $(DATA_$(METHOD)) --data-dir $(DATA_DIR)
	$(BIN)/avloc train --config configs/$(METHOD)_toy.py --workdir $(WORKDIR) --data-dir $(DATA_DIR)

bench: $(INSTALLED)  ## time everything against what you would run instead; BENCH_ARGS="--json FILE"
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

soak: WORKDIR := runs/soak
soak: $(INSTALLED)  ## kill, stop and damage a small training for MINUTES, and count what it survives
	$(BIN)/python scripts/soak.py --workdir $(WORKDIR) --minutes $(MINUTES)

test: lint  ## lint and all fast tests; PYTEST_ARGS="-m slow" for the long ones
	$(BIN)/python -m pytest -q -n $(PYTEST_JOBS) --dist loadfile $(PYTEST_ARGS)

lint: $(INSTALLED)  ## check the code with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)  ## fix what ruff can fix
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

# The stamp comes last, so that a broken-off installation is taken up again.
$(INSTALLED): setup.py pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "avloc needs Python 3.11 or newer, which '$(PYTHON)' is not: install it, or name it with 'make PYTHON=/path/to/python3.11'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv package (Debian, Ubuntu: sudo apt install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "making the virtual environment $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@# The lock's wheels exist for Python 3.11 to 3.14; a newer one takes setup.py's ranges.
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 15))'; \
	then $(PIP) install -r requirements.lock && $(PIP) install --no-deps -e .; \
	else $(PIP) install -e '.[test]'; fi
	@touch $@

lock:  ## renew requirements.lock from setup.py's ranges
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PYTHON) -m venv "$$fresh" && "$$fresh/bin/pip" install -e '.[test]' && \
	{ head -1 requirements.lock; "$$fresh/bin/pip" freeze --exclude-editable; } > "$$fresh/lock" && \
	cp "$$fresh/lock" requirements.lock

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
