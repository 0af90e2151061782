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
FUZZ_ARGS ?= --inputs 200

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The lock of the interpreter's line, as 3.12; none for a line that has no lock.
LINE = $(shell for python in $(BIN)/python $(PYTHON); do $$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null && break; done)
LOCK := $(wildcard requirements/$(LINE).lock)

.DEFAULT_GOAL := help
.PHONY: help demo mine bench soak fuzz test docs lint format lock clean
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

mine: WORKDIR := runs/mine_$(METHOD)
mine: DATA_DIR := runs/mine_data
mine: $(INSTALLED)  ## train METHOD on your videos and report: SOURCE=DIR CLUSTERS=KINDS
	@[ -d "$(SOURCE)" ] || { echo "name your folder of videos and how many kinds of things sound in them: make mine SOURCE=DIR CLUSTERS=KINDS$(if $(SOURCE), ($(SOURCE) is no folder))" >&2; exit 1; }
	$(BIN)/avloc data build video_folder --source "$(SOURCE)" --data-dir $(DATA_DIR)
	$(BIN)/avloc train --config $(METHOD)_folder --workdir $(WORKDIR) --data-dir $(DATA_DIR) $(if $(CLUSTERS),--config.clusters=$(CLUSTERS))

bench: $(INSTALLED)  ## time everything against what you would run instead; BENCH_ARGS="--json FILE"
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

soak: WORKDIR := runs/soak
soak: $(INSTALLED)  ## kill, stop and damage a small training for MINUTES, and count what it survives
	$(BIN)/python scripts/soak.py --workdir $(WORKDIR) --minutes $(MINUTES)

fuzz: $(INSTALLED)  ## give 200 damaged files to the commands; FUZZ_ARGS="--inputs 2000" for more
	$(BIN)/python scripts/fuzz.py $(FUZZ_ARGS)

test: lint  ## lint and all fast tests; PYTEST_ARGS="-m slow" for the long ones
	$(BIN)/python -m pytest -q -n $(PYTEST_JOBS) --dist loadfile $(PYTEST_ARGS)

docs: $(INSTALLED)  ## build the documentation site into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "open build/site/index.html; to search, too: $(BIN)/python -m http.server -d build/site 8000"

lint: $(INSTALLED)  ## check the code with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)  ## fix what ruff can fix
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

# The stamp comes last, so that a broken-off installation is taken up again.
$(INSTALLED): setup.py pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "avloc needs Python 3.11 or newer, which '$(PYTHON)' is not: install it, or name it with 'make PYTHON=/path/to/python3.11'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv package (Debian, Ubuntu: sudo apt install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "making the virtual environment $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@# A line without a lock takes pyproject.toml's ranges.
	$(if $(LOCK),$(PIP) install -r $(LOCK) && $(PIP) install --no-deps -e .,$(PIP) install -e '.[test]')
	@touch $@

lock:  ## renew the lock of PYTHON's line in requirements/ from pyproject.toml's ranges
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PYTHON) -m venv "$$fresh" && PIP_PRE=0 "$$fresh/bin/pip" install -e '.[test]' && \
	line=$$("$$fresh/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	{ echo "# The exact versions that the tests run on with Python $$line, made by \`make lock PYTHON=python$$line\`; ranges: pyproject.toml."; \
	"$$fresh/bin/pip" freeze --all --exclude pip --exclude wheel --exclude-editable; } > "$$fresh/lock" && \
	mkdir -p requirements && cp "$$fresh/lock" "requirements/$$line.lock"

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
