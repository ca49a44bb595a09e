# `make run` and `make test` do all set-up by themselves; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
RUST := $(shell git ls-files 'crates/**' Cargo.toml Cargo.lock 2>/dev/null)

.PHONY: help setup build run check lint fmt unit test bench fuzz clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

.venv/.installed: pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q -p .venv -c requirements.lock $$($(PYTHON) scripts/requirements.py)
	@touch $@

setup: .venv/.installed  ## virtual environment with every package

.venv/.built: .venv/.installed $(RUST)
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --locked -q
	@touch $@

build: .venv/.built  ## optimised native core and .venv/bin/ringfence

run: build  ## start switch and office on loopback
	$(BIN)/ringfence run

fmt:  ## format
	cargo fmt
	$(BIN)/ruff format -q
	$(BIN)/ruff check -q --fix-only

lint: build  ## formatting, linters, types, layers
	cargo fmt --check
	cargo clippy -q --locked --workspace --all-targets -- -D warnings
	cargo check -q --locked --manifest-path fuzz/Cargo.toml
	$(BIN)/ruff format -q --check
	$(BIN)/ruff check -q
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src crates docs tests README.md CONTRIBUTING.md

unit: build  ## fast tests
	cargo test -q --locked --workspace
	$(BIN)/pytest -q -n 2 -m 'not integration and not e2e and not slow'

check: lint unit  ## lint, types, fast tests

test: build  ## everything; installs missing test tools where it may
	scripts/test-tools
	cargo test -q --locked --workspace
	$(BIN)/pytest -n 2 -m 'not e2e and not slow'
	$(BIN)/pytest -m 'e2e or slow'

bench: build  ## figures, as ratios against a reference measured in the same run
	$(BIN)/python benches/run.py

fuzz:  ## ten minutes for each fuzz target
	scripts/fuzz 600

clean:  ## remove what was built
	rm -rf target .venv
