# Every target brings its own set-up; a second call is instant. Only Python 3.11 or 3.12, make and git are needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CORES  ?= all
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-all smoke test test-slow test-cluster lint format lock generate gpu-bundle clean

help:
	@echo "make setup       create $(VENV) with the locked packages"
	@echo "make demo        run the demo and say where its report is"
	@echo "make demo-all    the same on three simulated data sets"
	@echo "make smoke       run every method, tiny, and say whether all of it works"
	@echo "make test        run the tests, but those that take minutes"
	@echo "make test-slow   run those"
	@echo "make test-cluster  run those that start a Slurm here (as root; installs Debian's slurm-wlm and munge)"
	@echo "make lint        check style, workflow and generated files"
	@echo "make gpu-bundle  wheels and data that a bare GPU machine lacks (docs/gpu.md)"
	@echo "make clean       remove results, data, training state (keeps raw volumes and $(VENV))"

setup: $(READY)

# Bytecode is compiled once: each job of the workflow is a process of its own, and where Python must not write bytecode (as in
# many containers) each would compile thousands of modules anew.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "xmodbench needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q xmodbench methods data_prep snakemake_logger_plugin_xmodbench
	@touch $(READY)

demo: setup
	xmodbench run config/demo.yaml --cores $(CORES)

demo-all: setup
	xmodbench run config/demo-all.yaml --cores $(CORES)

smoke: setup
	xmodbench run config/smoke.yaml --cores $(CORES)

test: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not slow and not cluster'

test-slow: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow and not cluster'

# without a Slurm all of them would be skipped, which is no success
test-cluster: setup
	@test "$$(id -u)" = 0 || { echo "only root can start a Slurm"; exit 1; }
	@command -v slurmctld >/dev/null && command -v munged >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null; } || \
		{ echo "no slurmctld and munged: install Debian's slurm-wlm and munge"; exit 1; }
	$(BIN)/python -m pytest -m cluster tests/cluster

lint: setup
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	codespell
	xmodbench generate --check
	snakemake --lint --configfile config/demo.yaml

format: setup
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

# no package index in the lock: it works wherever pip is set up to look
lock: setup
	uv pip compile pyproject.toml --extra test --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet -o requirements.lock
	xmodbench generate

generate: setup
	xmodbench generate

gpu-bundle: setup
	python benchmarks/gpu_bundle.py

clean:
	rm -rf data work .snakemake results/*/
