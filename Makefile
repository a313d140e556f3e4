# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN := .venv/bin
RUN := OMP_NUM_THREADS=1 $(BIN)/python -m
SPECS := $(filter-out spec/families.regnet,$(wildcard spec/*.regnet))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all peers lint type bench regen fuzz mutation coverage wheel clean

help: ## Say what there is to make.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/ready ## Make .venv with everything that users and developers need.

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "regnetc needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/ready ## Compile, verify and train: the whole way on embedded defaults, within a minute of set-up.
	$(BIN)/regnetc check spec/*.regnet
	$(BIN)/regnetc compile spec/x400mf.regnet
	OMP_NUM_THREADS=1 $(BIN)/regnetc run generated/x400mf.py --eval
	OMP_NUM_THREADS=1 $(BIN)/regnetc run generated/digits.py --train --eval --data digits

test: .venv/ready ## Run the tests.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: .venv/ready ## Run the tests that take minutes, too: all 500 random modules, all peers.
	OMP_NUM_THREADS=1 REGNETC_MODULES=500 REGNETC_POINTS=2000 REGNETC_NETS=500 REGNETC_LIFTED=170 $(BIN)/python -m pytest -n 2 --dist worksteal

peers: .venv/ready ## Install timm, torchvision and transformers, to compare their outputs with ours bit by bit (tests/test_peers*.py).
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps timm torchvision==0.28.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt huggingface-hub pyyaml transformers

lint: .venv/ready ## Check code, specs and generated files: style, layout, staleness.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/regnetc fmt --check spec/*.regnet
	$(BIN)/regnetc compile --check $(SPECS)

type: .venv/ready ## Check types, strictly.
	$(BIN)/mypy compiler runtime benchmarks hubconf.py
	$(BIN)/mypy tests
	$(BIN)/mypy generated

bench: .venv/ready peers ## Measure start-up, spaces, networks and the data pipeline against their peers, into benchmarks/results/.
	$(BIN)/python benchmarks/startup.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/engine.py --long
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/pipeline.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/throughput.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/efficientnet.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/groups.py

regen: .venv/ready ## Write everything that is derived: parse tables, modules, golden files, pictures.
	cd compiler && PYTHONHASHSEED=0 ../$(BIN)/python -m regnetc.grammar
	$(BIN)/regnetc compile --force $(SPECS)
	$(BIN)/python -m pytest -q tests/test_cases.py --update
	$(BIN)/python docs/pictures.py

fuzz: .venv/ready ## Compile 20,000 mutants of the shipped specs; every one must end well.
	$(BIN)/python tests/attacks/fuzz.py -n 20000 --seed 0 -j 2

mutation: .venv/ready ## Change the arithmetic in every way and count the changes that no test sees.
	$(BIN)/python tests/mutation.py

coverage: .venv/ready ## Lines of the compiler that the tests reach.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" --cov=regnetc --cov-report=term-missing:skip-covered --cov-fail-under=95

wheel: .venv/ready ## Build the wheel and the source distribution into dist/.
	$(BIN)/python -m build --no-isolation

clean: ## Remove everything that can be made again.
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
