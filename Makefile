# From a fresh clone: CPython 3.11 to 3.13 (TensorFlow's range) with venv, git, make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BACKEND ?= tensorflow jax torch
BENCH ?= projections conversion verification
PY := .venv/bin/python
RECURRENCE = $(PY) benchmarks/recurrence.py --backend $(BACKEND)
INSTALL := $(PY) -m pip install --quiet --constraint constraints.txt
# TensorFlow 2.21 logs harmless graph-optimizer errors for every ReLU RNN, Keras' own too.
QUIET := 3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long fuzz mutants bench lint format docs clean
.PHONY: bench-projections bench-recurrence bench-growth

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/demo.stamp  ## train on real digits, convert, compare: writes demo/
	@echo "== demo: examples/demo.py --dataset digits --output demo"
	TF_CPP_MIN_LOG_LEVEL=$(QUIET) $(PY) examples/demo.py --dataset digits --output demo

test: .venv/dev.stamp  ## run the tests on the three backends, or on BACKEND=jax
	@echo "== test: $(BACKEND)"
	$(PY) -m tests.run_backends $(BACKEND)

test-long: .venv/dev.stamp  ## run what takes longer, record it in tests/results/
	@echo "== test-long: $(BACKEND)"
	$(PY) -m tests.run_backends --long $(BACKEND)

fuzz: .venv/dev.stamp  ## 50,000 calls and 2,500 pairs, recorded in tests/results/
	@echo "== fuzz: tests/fuzz.py, tests/certificate_hunt.py"
	$(PY) -m tests.fuzz --record
	$(PY) -m tests.certificate_hunt --record

mutants: .venv/dev.stamp  ## break the package line by line: each must be caught
	@echo "== mutants: tests/mutants/mutants.toml"
	$(PY) tests/mutants/run.py

# Two or more of these at once would time each other: one after the other, in this order.
bench: .venv/benchmark.stamp  ## time what BENCH names: see benchmarks/README.md
	@for name in $(BENCH); do $(MAKE) --no-print-directory "bench-$$name" || exit 1; done

bench-projections:
	@echo "== bench: benchmarks/recurrence.py, the projections at one shape"
	$(RECURRENCE) --shape pmnist --phases training projection \
	  --contestants SimpleRNN "SimpleRNN, plain SVD" UnitaryRNN ContractiveRNN \
	  --output benchmarks/results/projections.json

bench-recurrence:
	@echo "== bench: benchmarks/recurrence.py, against its peers: some two hours"
	$(RECURRENCE) --resume

bench-growth:
	@echo "== bench: benchmarks/recurrence.py --growth: some 40 minutes"
	$(RECURRENCE) --growth --resume

bench-%: benchmarks/%.py
	@echo "== bench: $<"
	$(PY) $<

lint: .venv/dev.stamp  ## ruff (check and format) and mypy
	@echo "== lint: ruff check, ruff format --check, mypy"
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: .venv/dev.stamp  ## let ruff rewrite what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: .venv/dev.stamp  ## build the site into site/
	@echo "== docs: mkdocs build --strict"
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

clean:  ## remove what the other targets made
	rm -rf .venv build demo dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo needs neither JAX nor PyTorch, so it does not wait for them.
.venv/demo.stamp: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make needs Python 3.11 to 3.13: none on PATH"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "$(PYTHON) must be Python 3.11 to 3.13 with venv; set PYTHON=..."; exit 1; }
	@echo "== set-up: the package and what the examples need, into .venv"
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[examples]'
	@touch $@

.venv/dev.stamp: .venv/demo.stamp
	@echo "== set-up: JAX, PyTorch and the tools, into .venv"
	$(INSTALL) --editable '.[examples,jax,torch,docs,dev]'
	@touch $@

.venv/benchmark.stamp: .venv/dev.stamp
	@echo "== set-up: geotorch, the peer that the benchmark needs, into .venv"
	$(INSTALL) --editable '.[benchmarks]'
	@touch $@
