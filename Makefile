# The two commands of this project, and what they stand on. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4

.PHONY: help install demo demo-quick test lint types imports pytest protos clean
.DEFAULT_GOAL := help

help:
	@echo "make demo        install into .venv and walk the whole road on real data (5 to 9 minutes)"
	@echo "make demo-quick  the same in under two minutes, on fewer households and a tiny encoder"
	@echo "make install     everything into .venv: source .venv/bin/activate, then dualtower --help"
	@echo "make test        install into .venv and run ruff, mypy, import-linter and pytest"
	@echo "make protos      generate the client's wire modules anew"
	@echo "make clean       remove .venv and what the tools left behind"
	@echo "WORKERS=2 make test  with fewer processes at a time (4 take about 12 GB of memory)"
	@echo "PYTHON=python3.12 make ... takes another interpreter (3.10 to 3.13)"

install: $(VENV)/.all

demo: $(VENV)/.all
	$(BIN)/dualtower demo

demo-quick: $(VENV)/.all
	$(BIN)/dualtower demo --quick

test: lint types imports pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# more workers than most machines have cores, since many tests wait; bytecode is kept, whatever the
# environment says, for the hundreds of processes that they start
pytest: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(WORKERS) --dist loadfile

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(0 if (3, 10) <= v < (3, 14) else \
	  f"dualtower needs Python 3.10 to 3.13, {sys.executable} is {v[0]}.{v[1]}; try: PYTHON=python3.11 make")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.all: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	@touch $@ $(VENV)/.all

protos:
	clients/dualtower_clients/proto/generate

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist
