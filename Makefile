# Everything a person needs: demo, test, ui, bench. Only Python 3.11+, make and a package index are required.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export SEGASSETS_RAW ?= $(CURDIR)/demo/raw
export SEGASSETS_STORE ?= $(CURDIR)/demo/store
export DAGSTER_HOME ?= $(CURDIR)/demo/home

.PHONY: demo test ui bench lint lock install clean-demo

demo: $(STAMP)
	@$(BIN)/segassets sample
	@$(BIN)/segassets materialize '*'
	@$(BIN)/segassets status
	@echo
	@echo "Published to $(SEGASSETS_STORE). Look at it with: make ui   (http://127.0.0.1:3000)"

test: $(STAMP)
	@env -u SEGASSETS_RAW -u SEGASSETS_STORE -u DAGSTER_HOME $(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

ui: $(STAMP)
	@$(BIN)/segassets ui

bench: $(STAMP)
	@$(BIN)/python -m segassets_tests.benchmarks $(BENCH_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

install: $(STAMP)

# The pins are for every platform and Python version; pip takes the lines that fit and checks every hash.
$(STAMP): requirements/dev.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("segassets needs Python 3.11 or newer, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Pin anew from the ranges in setup.cfg (needs uv). Extras are kept: pip refuses a hash for gql where gql[requests] is asked.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-header --no-emit-index-url --no-emit-find-links --no-annotate setup.cfg
lock:
	$(LOCK) --extra dev -o requirements/dev.txt
	$(LOCK) requirements/team.in -c requirements/dev.txt -o requirements/team.txt

clean-demo:
	rm -rf demo
