# Two commands: `make run` does the main job on real data, `make test` passes everything. Each sets itself up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PYTHONUTF8 := 1
export OMP_WAIT_POLICY ?= passive
unexport PYTHONDONTWRITEBYTECODE # .venv keeps compiled code: without it each process that loads MLflow takes 5 s more
export HOME ?= $(CURDIR)/.run/home
PY ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
BIN := $(CURDIR)/.venv/bin
JOBS ?= 2
NODE_MODULES := ado-tasks/node_modules/.package-lock.json
AZURITE := tests/real/azureml_emulator/node_modules/.package-lock.json

.PHONY: help run test check unit real azure bench soak docs vsix lock sync clean
help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: .venv/complete ## the example's story under real GitHub Actions steps (act); KEEP=1 keeps the endpoint
	@$(BIN)/python .ci/story.py

test: .venv/complete $(NODE_MODULES) $(AZURITE) check unit real ## everything

check: .venv/complete ## formatting, lint, types, layers, generated files
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache | tail -n 3
	@$(BIN)/python .ci/sync.py --check

unit: .venv/complete ## tests that start no process and open no socket
	@$(BIN)/python -m pytest tests/unit tests/contract tests/sync -n $(JOBS) --dist worksteal

real: .venv/complete $(NODE_MODULES) $(AZURITE) ## tests with the real parts: act, MLflow, model servers, processes, a browser
	@.ci/browser.sh
	@$(BIN)/python -m pytest tests/real -n $$(($(JOBS) + 1)) --dist loadfile # they wait as often as they work

azure: .venv/complete ## a few tests on the real workspace that AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP and AZURE_ML_WORKSPACE name
	@GATES_AZURE=1 GATES_AZURE_RUN="-$$(date +%s)" $(BIN)/python -m pytest tests/real/test_azure_workspace.py -n0 --timeout 3600

bench: .venv/complete ## benchmarks beside peers and the limit; results in benchmarks/README.md
	@for b in benchmarks/*.py; do grep -q __main__ $$b && { echo "── $$b"; $(BIN)/python $$b || exit 1; }; done

soak: .venv/complete $(AZURITE) ## a runner killed at every call, every fault at every call, on the Azure emulator; about an hour
	@GATES_SOAK=1 $(BIN)/python -m pytest tests/real/test_azureml_rollout.py -s -k "killed or fault"

docs: .venv/complete ## the site, build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

vsix: .venv/complete $(NODE_MODULES) ## the Azure DevOps extension, dist/*.vsix
	@$(BIN)/python .ci/vsix.py

lock: .venv/complete ## write lock/*.txt anew
	@UV=$(BIN)/uv .ci/lock.sh

sync: .venv/complete ## write the generated files
	@$(BIN)/python .ci/sync.py

clean: ## remove what was built
	rm -rf .venv .run build dist

.venv/complete: lock/dev.txt pyproject.toml
	@test -n "$(PY)" || { echo "error: no Python 3.10 or newer on PATH; install one, or name it: make PY=/path/to/python3" >&2; exit 2; }
	@echo "setting up .venv ($$($(PY) --version))"
	@mkdir -p "$$HOME" && rm -rf .venv && $(PY) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' lock/dev.txt)"
	@$(BIN)/python .ci/install.py
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json .venv/complete
	@echo "setting up $*/node_modules"
	@$(BIN)/python .ci/nodes.py $*
	@touch $@
