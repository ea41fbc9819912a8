# Holdfast: `make help` lists what there is. `verify` only reads, `fix` writes.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

HOST_PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet
NATIVE := --manifest-path native/Cargo.toml --locked
# Tools that run one another (protoc its plugins, maturin cargo) find the locked ones.
export PATH := $(CURDIR)/$(BIN):$(PATH)

native_sources := $(shell find native -path native/target -prune -o -type f \
	\( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.py' -o -name '*.pyi' \) -print)
proto_sources := $(wildcard proto/holdfast_proto/*.proto)
engines := $(patsubst ops/engines/%.lock,%,$(wildcard ops/engines/*.lock))
python_code := proto kvstore datanode metanode client tests bench ops

# ---------------------------------------------------------------- what a person runs

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
		| awk -F '\t' '{printf "  %-13s %s\n", $$1, $$2}'

# Variables of `make run`, all optional: TRACE=path, BLOCK_KIB=, ARENA_MIB=, KILL=0
run_options := $(if $(TRACE),--trace '$(TRACE)') $(if $(BLOCK_KIB),--block-kib $(BLOCK_KIB)) \
	$(if $(ARENA_MIB),--arena-mib $(ARENA_MIB)) $(if $(KILL),--kill $(KILL)) \
	$(if $(REDUNDANCY),--redundancy '$(REDUNDANCY)')

.PHONY: run
run: install  ## replay the trace on a real cluster (TRACE= BLOCK_KIB= ARENA_MIB= KILL=0 REDUNDANCY=ec:4+2)
	@$(PYTHON) -m bench.replay $(run_options)

.PHONY: bench
bench: install  ## measure against raw TCP, memcpy and LRU; writes build/bench.json
	@$(PYTHON) -m bench

# BENCH= options of bench/engines, as "--quick" or "--only decode".
.PHONY: bench-engines
bench-engines: install engines-vllm  ## measure a real vLLM; writes build/bench-engines.json
	@$(PYTHON) -m bench.engines $(BENCH)

.PHONY: test test-native test-python
test: test-native test-python  ## every test, Rust and Python

test-native: install
	@echo "== Rust tests"
	@cargo test $(NATIVE) --release --workspace --exclude holdfast-native --quiet \
		>build/cargo-test.log 2>&1 || { cat build/cargo-test.log; exit 1; }
	@awk '/^test result: / { passed += $$4; failed += $$6 } \
		END { printf "test result: ok. %d passed; %d failed\n", passed, failed }' build/cargo-test.log

test-python: install build/compiler.stamp
	@echo "== Python tests"
	@$(PYTHON) -m pytest -q

# CASES= names (all), MINUTES= what there is time for (no limit; core cases run in any case).
.PHONY: test-engines engines
test-engines: engines  ## cases with the real engines (CASES= MINUTES=); writes build/engines.json
	@$(PYTHON) -m tests.engines.real $(if $(MINUTES),--minutes $(MINUTES)) $(CASES)

.PHONY: check
check: install build/compiler.stamp  ## inner loop: fast tests only
	@cargo test $(NATIVE) --release --quiet -p holdfast-wire >build/cargo-check.log 2>&1 \
		|| { cat build/cargo-check.log; exit 1; }
	@$(PYTHON) -m pytest -q -m 'not process and not slow' --timeout 60

# Each part says what is wrong by itself: `make -k verify` goes on after one that fails.
verify_parts := verify-format verify-lint verify-types verify-imports verify-stubs verify-rust \
	verify-repository

.PHONY: verify $(verify_parts)
verify: $(verify_parts)  ## formats, lints, types, import directions, limits; only reads

verify-format: install
	@$(BIN)/ruff format --check --quiet . || { echo "run: make fix"; exit 1; }
	@cargo fmt --manifest-path native/Cargo.toml --all --check
	@echo "formats: clean"

verify-lint: install
	@$(BIN)/ruff check --quiet .
	@echo "ruff: clean"

verify-types: install
	@$(BIN)/mypy --no-error-summary $(python_code)
	@echo "mypy --strict: clean"

verify-imports: install
	@$(BIN)/lint-imports --no-logo >build/lint-imports.log || { cat build/lint-imports.log; exit 1; }
	@echo "import directions: kept"

verify-stubs: install
	@$(PYTHON) -m mypy.stubtest holdfast_native --mypy-config-file pyproject.toml \
		>build/stubtest.log || { cat build/stubtest.log; exit 1; }
	@echo "native stubs: match"

verify-rust: install
	@cargo clippy $(NATIVE) --workspace --all-targets --quiet -- -D warnings
	@echo "clippy: clean"

verify-repository: install
	@$(PYTHON) -m pytest -q --no-header tests/repository

.PHONY: fix
fix: install  ## format, and mend what linters can mend
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@cargo fmt --manifest-path native/Cargo.toml --all

.PHONY: wheels
wheels: build/venv.stamp  ## one wheel of each package into dist/
	@mkdir -p dist
	@cd native && ../$(BIN)/maturin build --release --locked --quiet --out ../dist \
		>../build/native.log 2>&1 || { cat ../build/native.log; exit 1; }
	@$(PYTHON) -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation \
		--wheel-dir dist .
	@ls dist

.PHONY: lock
lock: build/venv.stamp  ## resolve requirements.lock anew (writes)
	@$(PYTHON) ops/lock_requirements.py

# Those of engines, one at a time: lock-vllm and so on.
.PHONY: $(engines:%=lock-%)
$(engines:%=lock-%): lock-%: build/venv.stamp
	@$(PYTHON) ops/engines/lock.py $*

.PHONY: clean
clean:  ## remove what was built, keep .venv and native/target
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -f proto/holdfast_proto/*_pb2*.py proto/holdfast_proto/*_pb2*.pyi

# ---------------------------------------------------------------- what those need

.PHONY: venv native proto install
venv: build/venv.stamp  ## .venv with the locked dependencies
native: build/native.stamp  ## build the native wheel and install it, when a source changed
proto: build/proto.stamp  ## generate the code of the gRPC contracts
install: build/install.stamp  ## all of it, ready to run

build/venv.stamp: requirements.lock
	@mkdir -p build
	@test -x $(PYTHON) || { echo "making .venv"; $(HOST_PYTHON) -m venv $(VENV); }
	@echo "installing the locked dependencies"
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

build/native.stamp: build/venv.stamp $(native_sources)
	@echo "building the native wheel (minutes the first time)"
	@rm -rf build/wheel
	@cd native && ../$(BIN)/maturin build --release --locked --quiet --out ../build/wheel \
		>../build/native.log 2>&1 || { cat ../build/native.log; exit 1; }
	@$(PIP) install --no-deps --force-reinstall build/wheel/*.whl
	@touch $@

build/proto.stamp: build/venv.stamp $(proto_sources) proto/hatch_build.py
	@$(PYTHON) proto/hatch_build.py >/dev/null
	@touch $@

build/install.stamp: build/venv.stamp build/native.stamp build/proto.stamp pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Tests run the GPU's kernel on the host, which takes a C++ compiler.
build/compiler.stamp: ops/compiler.lock build/venv.stamp
	@for name in c++ g++ clang++; do command -v $$name >/dev/null && exit 0; done; \
		$(PIP) install --require-hashes -r ops/compiler.lock
	@touch $@

# An environment for each engine that has a lock: build/engines/NAME, made once.
.PHONY: $(engines:%=engines-%)
engines: install $(engines:%=engines-%)  ## environments of real engines, gigabytes (one: engines-vllm)
$(engines:%=engines-%): engines-%: build/engines/%/holdfast.stamp

.PRECIOUS: build/engines/%/locked.stamp build/engines/%/holdfast.stamp
build/engines/%/locked.stamp: ops/engines/%.lock ops/engines/install.py build/venv.stamp
	@echo "installing the environment of $* (gigabytes the first time)"
	@$(PYTHON) ops/engines/install.py $* locked
	@touch $@

build/engines/%/holdfast.stamp: build/engines/%/locked.stamp build/install.stamp
	@$(PYTHON) ops/engines/install.py $* holdfast
	@touch $@
