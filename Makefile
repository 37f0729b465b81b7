# `make up` serves, `make test` checks everything. The work is done by cargo and by the programs in scripts/.
# Variables: ARGS for `madang up`; MADANG_BIN=path for a binary that is built already.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN = $(or $(MADANG_BIN),$(TARGET)/release/madang)

.PHONY: help up build test soak bench bench-batch bench-jobs bench-pii bench-twin doctor clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 16

up: build ## install what is missing, build, and serve at 127.0.0.1:7080 until Ctrl-C (ARGS="--fleet FILE …")
	@scripts/up $(BIN) up $(ARGS)

build: ## target/release/madang
	@scripts/tools
	@$(if $(MADANG_BIN),test -x $(BIN),cargo build --release --locked -p madang)

test: ## everything that must hold: lints, unit, property and end-to-end tests, both SDKs, the pages' commands
	@scripts/test

soak: ## the kill loop, gateways cut off, budgets, sovereignty's invariants and the fuzzer for long (ROUNDS, SOAK_S, SEEDS, DECISIONS, CASES, FUZZ_S)
	@scripts/soak

bench: build ## Madang beside nginx, SGLang's router and LiteLLM on one fast upstream (ARGS="--peers all", "--help"); the audit log's, the books' and the twin's speed, budgets and a start with 100,000 keys
	@bench/run $(ARGS)
	@bench/run --appends
	@bench/start $(BIN)
	@cargo bench --locked -p madang-core --bench budget
	@cargo bench --locked -p madang-store --bench ledger -- 1000000
	@cargo bench --locked -p madang-store --bench fold
	@$(BIN) twin speed

bench-batch: build ## a batch of 50,000 lines beside interactive clients, on modelled engines (ARGS="--lines N --rate R --seconds S"): a quarter of an hour
	@bench/batch $(BIN) $(ARGS)

bench-jobs: build ## an array of 100,000 tasks and 80,000 jobs that wait, on the real program (ARGS="--tasks N --jobs N --seconds S"): minutes
	@bench/jobs $(BIN) $(ARGS)

bench-pii: ## the scanner of personal data: recall, precision, speed on prose and on the worst input (ARGS="--set FILE --show")
	cargo bench --locked -p madang-pii --bench bars -- $(ARGS)

bench-twin: ## how far the twin is from measurements that it was not fitted on; MADANG_TWIN_DATA names the folder that has them (ARGS=requests, engines or knee for one part)
	@cargo bench --locked -p madang-twin --bench fidelity -- $(ARGS)

doctor: build ## what is missing on this machine, and the command that mends it
	@$(BIN) doctor

clean: ## what builds and tests have left; models and engines in ~/.cache/madang stay
	cargo clean
	rm -rf .cache tests/js/node_modules
