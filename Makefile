# make demo: from a fresh clone to tagged documents; make test: everything that guards a change; make docs: the documentation.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE = 1

.PHONY: ask demo test test-all lint chaos docs

.venv/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-all: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray,torch,spacy,factory,silver,cache,formats,avro,delta,iceberg,hdfs,s3,ask,serve,voice,jobs,docs,test]'
	touch $@

demo: .venv/installed
	$(BIN)/textmill tag --config conf/tag.toml
	$(BIN)/textmill show out/demo
	$(BIN)/textmill report out/demo

# The example documents indexed, and a question answered.
ask: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ask]'
	$(BIN)/textmill tag examples/documents/posts.jsonl out/ask --id-column id --keep-text
	$(BIN)/textmill index out/ask out/answers
	$(BIN)/textmill ask out/answers "How many jobs did Volta Energy cut?"

lint: .venv/installed-all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Whole files go to each of so many processes, those of faults first, as they take longest; what is timed runs alone after them.
TEST_PROCESSES ?= 2
PYTEST = $(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) -m "not slow and not alone"
	$(BIN)/pytest -m "not slow and alone"

# The real corpora, where they lie beside this folder; TEXTMILL_DATA names others, or none if it is empty.
ifneq ($(wildcard ../shared/data/corpora/reddit),)
test-all: export TEXTMILL_DATA ?= $(abspath ../shared/data)
endif
test-all: lint
	$(PYTEST) -m "not alone"
	$(BIN)/pytest -m alone

# The documentation, as build/site/index.html; a link that leads nowhere fails it. The pages that the code knows: docs/reference.py.
docs: .venv/installed-all
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# N seeds from SEED on: runs under faults that each seed draws, see docs/decisions/0023-chaos.md.
SEED ?= 0
N ?= 200
chaos: .venv/installed-all
	$(BIN)/python -m tests.faults.chaos.campaign $(SEED) $(N)
