# Needs python3 >= 3.11, make and git; everything else is installed into .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/made.stamp
INSTALLED := $(VENV)/installed.stamp
DEVELOPED := $(VENV)/developed.stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet --quiet
# Tests that share what their fixtures start stay together: see tests/conftest.py.
IN_PARALLEL := -n 3 --dist loadgroup --no-loadscope-reorder
PYTEST_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help serve demo test test-long check test-vllm bench bench-retrieval bench-answers bench-timing replay histories prove-audit prove-erasure prove-crashes measure-finding constraints clean
.DELETE_ON_ERROR:

help: ## say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

serve: $(INSTALLED) ## run everything here until Ctrl-C (AMBIT_DATA_DIR, AMBIT_PORT)
	@$(BIN)/python -m ambit.config.runtime

demo: $(INSTALLED) ## show and check the whole path in a directory of its own, then clean up
	@$(BIN)/python -m ambit.config.demo

test: $(DEVELOPED) ## all tests but those below (PYTEST_ARGS adds options; "-n 0": one at a time)
	@$(BIN)/python -m pytest --ignore=tests/vllm --ignore=tests/bench -m "not long" $(IN_PARALLEL) $(PYTEST_ARGS)

test-long: $(DEVELOPED) ## tests that kill, restore and search again and again, for some minutes more
	@$(BIN)/python -m pytest --ignore=tests/vllm --ignore=tests/bench -m long $(IN_PARALLEL) $(PYTEST_ARGS)

check: $(DEVELOPED) ## style, types, layers, Django's checks, missing migrations
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@data=$$(mktemp -d) && trap 'rm -rf "$$data"' EXIT && export AMBIT_DATA_DIR="$$data/data" && set -e \
	&& $(BIN)/python -m mypy platform/ambit tenants workers tests \
	&& $(BIN)/lint-imports \
	&& $(BIN)/python manage.py check \
	&& $(BIN)/python -W ignore manage.py makemigrations --check --dry-run

test-vllm: $(DEVELOPED) ## the contract with a real vLLM server on the CPU, in .venv-vllm
	@$(BIN)/python -m tests.vllm.environment
	@AMBIT_VLLM_REQUIRED=1 $(BIN)/python -m pytest tests/vllm $(PYTEST_ARGS)

bench: $(DEVELOPED) ## measure; reports figures, asserts nothing
	@$(BIN)/python -m tests.bench

bench-retrieval: $(DEVELOPED) ## retrieval beside its peers, in .venv-bench (BENCH_ARGS="--quick", "--chunks 400k")
	@$(BIN)/python -m tests.bench.retrieval $(BENCH_ARGS)

bench-answers: $(DEVELOPED) ## what Ambit adds to a call of the model server: time, streams, counts (BENCH_ARGS="overhead")
	@$(BIN)/python -m tests.bench.answers $(BENCH_ARGS)

bench-timing: $(DEVELOPED) ## what waiting times tell of other tenants and of hidden documents
	@$(BIN)/python -m pytest -q tests/bench/test_timing.py

replay: $(DEVELOPED) ## replay real grants and revokes of ../shared/data, all allowed sets compared after each
	@$(BIN)/python -m tests.replay

histories: $(DEVELOPED) ## random permission histories against a model (N, SEED), and all of a small world (LENGTH=5)
	@$(BIN)/python -W ignore -m tests.histories $(N) $(if $(SEED),--seed $(SEED)) $(if $(LENGTH),--length $(LENGTH))

prove-audit: $(DEVELOPED) ## rewrite an audit trail in every way, a thousand times each, and count what ambit-verify finds
	@$(BIN)/python -W ignore -m tests.audit $(PROVE_ARGS)

prove-erasure: $(DEVELOPED) ## forget ten thousand people and look for them in every byte of every store
	@$(BIN)/python -W ignore -m tests.erasing $(PROVE_ARGS)

prove-crashes: $(DEVELOPED) ## kill worker, web, Postgres and Redis at every step of an erasure, and see each end well
	@$(BIN)/python -W ignore -m tests.erasing.crashes $(PROVE_ARGS)

measure-finding: $(DEVELOPED) ## plant invented people in notes and count how many mentions of each kind are found
	@$(BIN)/python -W ignore -m tests.finding $(FINDING_ARGS)

constraints: $(DEVELOPED) ## write the installed versions to constraints.txt
	@{ sed -n '/^#/p;/^[^#]/q' constraints.txt; \
	$(BIN)/python -m pip list --format freeze --disable-pip-version-check | grep -vE '^(torch|ambit|pip|setuptools|wheel)=='; \
	sed -n '/^# the build back end/,$$p' constraints.txt; } > constraints.new && mv constraints.new constraints.txt

clean: ## remove environments and caches; your data in .ambit stays
	rm -rf $(VENV) .venv-vllm .venv-vllm.lock .venv-bench .venv-bench.lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment works only where it was made: one that was moved, or lost its Python, is made again.
$(shell [ -x $(BIN)/python ] && [ "$$(cat $(MADE) 2>/dev/null)" = "$(CURDIR)" ] || rm -f $(MADE))

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo "Ambit needs Python 3.11 or newer; \`$(PYTHON)\` is not: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	|| { echo "\`$(PYTHON)\` lacks its venv module: install it (Debian: apt-get install python3-venv) or set PYTHON" >&2; exit 1; }
	@echo "making $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "$(CURDIR)" > $@

# torch first, by itself: the pin keeps pip from bringing gigabytes of CUDA packages where a CPU build is offered.
$(INSTALLED): $(MADE) pyproject.toml constraints.txt
	@echo "installing Ambit (some minutes the first time) …"
	@$(PIP) install -c constraints.txt "$$($(BIN)/python -c 'import tomllib; print(next(d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if d.startswith("torch==")))')"
	@PIP_CONSTRAINT=constraints.txt $(PIP) install -c constraints.txt -e .
	@touch $@

$(DEVELOPED): $(INSTALLED)
	@echo "installing the development tools …"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > $(VENV)/dev.txt
	@$(PIP) install -c constraints.txt -r $(VENV)/dev.txt
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["s3-server"], sep="\n")' > $(VENV)/s3.txt
	@rm -rf $(VENV)/s3 && $(PIP) install -c constraints.txt --target $(VENV)/s3 -r $(VENV)/s3.txt
	@touch $@
