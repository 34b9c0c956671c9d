# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where wheels for CUDA are not wanted: make demo INSTALL="uv pip install --python .venv --torch-backend cpu"
INSTALL ?= $(BIN)/python -m pip install --quiet --disable-pip-version-check
ZOO ?= $(HOME)/.cache/plmscan-zoo
TEXTS ?= sst2
PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lint fix zoo bench docs docs-check build clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# torch goes first and alone: a later step would resolve it to the newest release.
$(BIN)/plmscan:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -c constraints.txt torch
	$(INSTALL) -c constraints.txt -e '.[demo]'

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/plmscan
	$(INSTALL) -c constraints.txt -e '.[dev]'
	touch $@

demo: $(BIN)/plmscan ## check a real MiniLM (pass) and its poisoned twin (fail)
	$(BIN)/python demo/run.py

test: lint ## lint, types, contracts and the whole test suite
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

lint: $(VENV)/.dev ## ruff, mypy, import contracts, docstrings, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy action/gate.py
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet scanner tests demo tools action
	$(BIN)/python tools/generate_docs.py --check

fix: $(VENV)/.dev ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

zoo: $(VENV)/.dev ## build the small tier of the zoo in $(ZOO) from SST-2 in $(TEXTS) (40 minutes)
	$(BIN)/python -m tests.zoo build --tier small --out $(ZOO) --texts $(TEXTS)

bench: zoo ## check every model of the zoo (half an hour)
	$(BIN)/python -m tests.benchmarks.detection --zoo $(ZOO)

docs: $(VENV)/.dev ## write the generated pages and schemas, and build the site in site/
	$(BIN)/python tools/generate_docs.py
	$(BIN)/zensical build --clean --strict

docs-check: $(VENV)/.dev ## fail if the generated parts are stale
	$(BIN)/python tools/generate_docs.py --check

build: $(BIN)/plmscan ## wheel and sdist in dist/, checked
	$(INSTALL) -c constraints.txt -e '.[release]'
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

clean: ## remove the environment and what was built
	rm -rf $(VENV) dist build site .cache
