# Each target makes its own .venv with the machine's python3 and installs what it needs from the hashed lock files.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check fmt lock

demo: $(VENV)/.runtime ## buy a ticket offline: `make demo`, or `make demo ARGS=--once`
	$(BIN)/gyeolje demo $(ARGS)

test: $(VENV)/.dev ## every test; brings its own PostgreSQL
	$(BIN)/pytest $(ARGS)

check: $(VENV)/.dev ## style, types, walls, known vulnerabilities of what is locked
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

fmt: $(VENV)/.dev
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: ## needs uv; writes no address of any registry
	uv pip compile -q --universal --generate-hashes --no-header pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header pyproject.toml --group dev -o requirements-dev.lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@
