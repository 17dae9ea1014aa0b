# Each target makes .venv and installs what it needs by itself; `make compare` and `make test` are all there is to know.
PYTHON ?= python3
BIN := .venv/bin
JOBS := $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))")
ARGS ?=
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Most of what is installed is never imported; what is, Python compiles once and keeps.
export PIP_NO_COMPILE := 1
export PYTHONDONTWRITEBYTECODE :=
PIP := -m pip install -qq
# uv, which needs seconds where pip needs minutes; pip where uv does not find something. Torch, whose build for the processor
# alone may lie where only pip looks, is installed by pip before.
export UV_CONSTRAINT := $(PIP_CONSTRAINT)
export UV_LINK_MODE := copy
define install
$(1) $(PIP) uv && $(1) -m uv pip install -q --python $(1) $(2) || $(1) $(PIP) $(2)
endef

.PHONY: compare study test test-triton lint types docs dist bench nightly clean help
.DEFAULT_GOAL := help

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) torch
	$(call install,$(BIN)/python,--editable ".[dev]")
	$(call install,$(BIN)/python,--no-deps timm)
	$(BIN)/python $(PIP) --no-deps --upgrade --target .venv/torchvision torchvision  # out of others' sight
	touch $@

compare: .venv/installed  ## compare MoEx, MixStyle, Mixup and CutMix on real digits (ARGS="..." passes arguments on)
	$(BIN)/featmix compare $(ARGS)

test: .venv/installed  ## lint, types, documentation, doctests, laws and all other tests
	$(MAKE) --no-print-directory --jobs $(JOBS) lint types docs  # side by side, for each takes one core
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal featmix tests --doctest-modules

.venv-triton/installed: constraints.txt
	test -x .venv-triton/bin/python || $(PYTHON) -m venv .venv-triton
	.venv-triton/bin/python $(PIP) torch
	$(call install,.venv-triton/bin/python,triton numpy pytest pytest-xdist hypothesis)
	touch $@

test-triton: .venv-triton/installed  ## the kernels for GPUs, in Triton's interpreter, or on a GPU where there is one
	.venv-triton/bin/python -m pytest -n $(JOBS) --dist loadgroup tests/kernels/gpu

lint: .venv/installed  ## ruff, what is generated, and which part may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/stubs.py --check
	$(BIN)/python tools/readme_table.py --check
	$(BIN)/lint-imports --no-logo --no-cache

types: .venv/installed  ## mypy --strict
	$(BIN)/mypy

docs: .venv/installed  ## build the documentation into docs/_build/html, warnings as errors
	$(BIN)/sphinx-build -W --keep-going -q -j $(JOBS) -b html docs docs/_build/html

dist: .venv/installed  ## build the wheel and the sdist into dist, and try both where nothing else is installed
	rm -rf dist
	$(BIN)/python -m build --outdir dist > /dev/null
	$(BIN)/python tools/try_dist.py dist

bench: .venv/installed  ## measure featmix against other libraries on a quiet machine; the documentation shows what comes out
	$(BIN)/python $(PIP) --no-deps mixup
	$(BIN)/python -m benchmarks --out docs/benchmarks $(ARGS)
	$(BIN)/python tools/readme_table.py

study: .venv/installed  ## about two hours: run what the page Evidence shows; interrupted, go on (ARGS="digits --seeds 6" for less)
	$(BIN)/python -m study $(ARGS)

nightly: .venv/installed  ## the laws with 5,000 random examples each, an hour of files from strangers, and Ray Train, which is large
	FEATMIX_EXAMPLES=5000 HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/testing
	FEATMIX_FUZZ=100000 FEATMIX_STATE_MUTANTS=20000 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/configuration/test_fuzz.py tests/mixer/test_state_mutants.py
	$(BIN)/python tools/fuzz_configuration.py --seconds 3600 --seed "$$(date +%j)"
	$(BIN)/python $(PIP) "ray[train]"
	FEATMIX_RAY_TRAIN=1 $(BIN)/python -m pytest tests/trainers/test_recipes.py

clean:  ## remove what was built
	rm -rf .venv .venv-triton build dist docs/_build docs/_generated .mypy_cache .pytest_cache .ruff_cache .hypothesis
