# Each target makes its own .venv with the machine's python3 and installs what it needs from the hashed lock files.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# As many tests at once as there are cores, whole files at a time: those of one file share what they are played on.
AT_ONCE := -n auto --maxprocesses 4 --dist loadfile
SHOP := examples/storefront
PAGE := src/adapters/http/storefront/index.html
# What is built here, none of it from a registry: the service, the fake PortOne, and the demo of both.
OURS := -e . -e packages/fake-portone -e packages/gyeolje-demo
PROJECTS := pyproject.toml packages/fake-portone/pyproject.toml packages/gyeolje-demo/pyproject.toml
LOCK := uv pip compile -q --universal --generate-hashes --no-header

.PHONY: demo page test prove simulate mutate check fmt lock

demo: $(VENV)/.runtime $(if $(findstring --once,$(ARGS)),,page) ## buy a ticket offline: `make demo`, or `make demo ARGS=--once`
	$(BIN)/gyeolje demo $(ARGS)

page: $(PAGE) ## the shop page, built with npm where it changed; without it everything else works

# Never fails: the demo goes on with what there is.
$(PAGE): $(wildcard $(SHOP)/*.* $(SHOP)/src/*)
	@if ! command -v npm >/dev/null 2>&1; then \
	  echo "The shop page is not built: that needs Node 20.19 or newer, with npm. The API works without it."; \
	elif ! (cd $(SHOP) && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --fetch-retries=1; } && npm run --silent build); then \
	  echo "The shop page could not be built; what npm says stands above. The API works without it."; \
	fi

test: $(VENV)/.dev page ## every test; brings its own PostgreSQL, and needs chromium for those in a browser
	$(BIN)/pytest $(AT_ONCE) $(ARGS)

prove: $(VENV)/.dev page ## only the tests that prove a property, and the table of what they proved
	$(BIN)/pytest $(AT_ONCE) -m proves $(ARGS)

simulate: $(VENV)/.dev ## histories under a seed: `make simulate ARGS="--histories 10000"`, `ARGS="--seed 4711"` for one
	PYTHONPATH=tests $(BIN)/python -m simulation $(ARGS)

mutate: $(VENV)/.dev ## what the tests of the core do not notice: half an hour or more, see docs/mutants.md; no part of CI
	nice $(BIN)/mutmut run --max-children 2
	nice $(BIN)/python benchmarks/mutants.py
	$(BIN)/python benchmarks/mutants.py --figures

check: $(VENV)/.dev ## style, types, walls
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/mypy packages/fake-portone/tests && $(BIN)/lint-imports

fmt: $(VENV)/.dev
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: ## needs uv; writes no address of any registry
	$(LOCK) pyproject.toml -o requirements.lock # what production installs
	$(LOCK) pyproject.toml packages/fake-portone/pyproject.toml -o requirements-demo.lock # and what the fake needs
	$(LOCK) pyproject.toml packages/fake-portone/pyproject.toml --group dev -o requirements-dev.lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements-demo.lock $(PROJECTS) | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-demo.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps $(OURS)
	touch $@

$(VENV)/.dev: requirements-dev.lock $(PROJECTS) | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps $(OURS)
	touch $@
