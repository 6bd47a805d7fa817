# Each target does all of its own set-up on a fresh clone: a virtual environment in .venv, the build, system packages
# where that is allowed. What is there already, and has not changed, is not done again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# rustup's own folder, for shells that have not read its profile yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := -m pip install --quiet
# Third-party clients have an environment of their own: what they ask for is not what we do.
PEERS := .tools/peers
CARGO_FILES := native/Cargo.toml native/Cargo.lock
NATIVE := $(CARGO_FILES) $(shell find native/src -name '*.rs')
PACKAGE := pyproject.toml README.md LICENSE $(NATIVE) $(shell find src -type f -not -name '*.pyc' -not -name '*.so')

# For one's own arguments: make test ARGS="-k event", make demo ARGS="--for 60s".
ARGS ?=
FUZZ_SECONDS ?= 600

.PHONY: help demo test check format bench fuzz soak wheel develop clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Run a simulated cluster of three switches over multicast on this machine
	$(VENV)/bin/switchcast demo $(or $(ARGS),--for 20s)

test: $(VENV)/.system $(VENV)/.installed $(VENV)/.group-test $(PEERS)/.installed ## Run all tests, against the package as it installs
	cargo test --quiet --locked --no-default-features --manifest-path native/Cargo.toml
	$(PEERS)/bin/python -m pytest --quiet tests/test_genesis_peer.py
	SWITCHCAST_TESTED=wheel $(PYTHON) -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(VENV)/.installed $(VENV)/.group-test $(VENV)/.group-check ## Check format, style, types, the stub and the layers
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PYTHON) -m mypy.stubtest switchcast._native
	$(PYTHON) -m pytest --quiet tests/test_layers.py
	cargo fmt --check --manifest-path native/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --quiet --locked --all-targets --manifest-path native/Cargo.toml -- --deny warnings
	cargo clippy --quiet --locked --all-targets --no-default-features --manifest-path native/Cargo.toml -- --deny warnings

format: $(VENV)/.group-check ## Put the code into the project's format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	cargo fmt --manifest-path native/Cargo.toml
	cargo fmt --manifest-path fuzz/Cargo.toml

bench: $(PEERS)/.installed ## Measure, with the peers, in one run (some minutes)
	$(PEERS)/bin/python -m benchmarks $(ARGS)

fuzz: ## Fuzz each parser for FUZZ_SECONDS (600)
	scripts/setup-system.sh build
	scripts/fuzz.sh $(FUZZ_SECONDS)

soak: $(VENV)/.system $(VENV)/.installed $(VENV)/.group-test ## Hold repair, the views and the API to their promises at full size (long)
	cargo test --release --locked --no-default-features --manifest-path native/Cargo.toml --test reliable -- --ignored --nocapture --test-threads 1
	$(PYTHON) -m pytest -s -o faulthandler_timeout=0 tests/soak_real_sockets.py tests/soak_api_clients.py tests/soak_views.py

wheel: $(VENV)/.group-build ## Build the wheel for any Linux, and try it where there is no Rust
	rm -rf dist
	PATH="$(abspath $(VENV))/bin:$$PATH" maturin build --release --locked --zig --compatibility manylinux2014 --out dist
	$(PYTHON) scripts/try_wheel.py dist/*.whl

develop: $(VENV)/.group-build $(VENV)/.group-test $(VENV)/.group-check ## Install so that edits of Python files are live
	$(VENV)/bin/maturin develop --release --locked
	rm -f $(VENV)/.installed

clean: ## Remove everything that was built
	rm -rf $(VENV) build dist native/target fuzz/target .tools

# The stamps. .system is in .venv only because that is where stamps are; a machine that changes wants a new .venv.

%/pyvenv.cfg: scripts/make-venv.sh
	scripts/make-venv.sh $*

$(VENV)/.system: scripts/setup-system.sh $(VENV)/pyvenv.cfg
	scripts/setup-system.sh test
	touch $@

$(VENV)/.group-%: pyproject.toml $(VENV)/pyvenv.cfg
	$(PYTHON) $(PIP) --group $*
	touch $@

$(PEERS)/.group-peers: pyproject.toml $(PEERS)/pyvenv.cfg
	$(PEERS)/bin/python $(PIP) --group peers
	touch $@

build/wheel/.built: $(PACKAGE) $(VENV)/.group-build
	scripts/setup-system.sh build
	rm -rf build/wheel
	$(VENV)/bin/maturin build --release --locked --compatibility linux --out build/wheel
	touch $@

$(VENV)/.installed: build/wheel/.built $(VENV)/pyvenv.cfg
	$(PYTHON) $(PIP) --force-reinstall --no-deps build/wheel/*.whl
	$(PYTHON) $(PIP) build/wheel/*.whl
	touch $@

$(PEERS)/.installed: build/wheel/.built $(PEERS)/.group-peers
	$(PEERS)/bin/python $(PIP) --force-reinstall --no-deps build/wheel/*.whl
	touch $@
