# make demo: from a fresh clone to tagged documents; make test: everything that guards a change.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE = 1

.PHONY: demo test test-all lint

.venv/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-all: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray,torch,spacy,factory,silver,cache,hdfs,s3,jobs,test]'
	touch $@

demo: .venv/installed
	$(BIN)/textmill tag --config conf/tag.toml
	$(BIN)/textmill show out/demo
	$(BIN)/textmill report out/demo

lint: .venv/installed-all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -m "not slow"

test-all: lint
	$(BIN)/pytest
