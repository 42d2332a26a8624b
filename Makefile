# All that is done to this repository, by name. `make` alone lists it.

CARGO  ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help build demo test unit lint fmt docs notices geoip loadtest bench peers fuzz instructions instructions-update clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## The release binary, target/release/logmill
	$(CARGO) build --release

demo: build ## The main job without set-up: live logs through pipelines/ for 60 s (ELASTICSEARCH_URL=… ships to a real one)
	$(TARGET)/release/logmill demo

test: ## Everything: style, lints, build, checks, and all tests with a real Elasticsearch
	scripts/test

unit: ## The tests alone; those that need Elasticsearch run when LOGMILL_TEST_ES holds its URL
	$(CARGO) test

lint: ## rustfmt, clippy, shellcheck where there is one
	scripts/lint

fmt: ## Format the source
	$(CARGO) fmt

docs: build ## docs/plugins/ from the options' declarations
	$(TARGET)/release/logmill plugin docs docs/plugins

notices: ## THIRD-PARTY-NOTICES.md from Cargo.lock; an unlisted licence is an error
	scripts/third-party-notices

geoip: ## A free (CC0) country database for geoip, through npm
	scripts/geoip

loadtest: build ## A short measurement: JSON events against the built-in sink
	$(TARGET)/release/logmill loadtest --smoke

bench: ## What each stage and plugin costs, by criterion (BENCH="audit" takes those with the word in their name)
	$(CARGO) bench --bench stages -- $(BENCH)

instructions: build ## Instructions per event of the hottest ways, under valgrind, against benches/instructions.txt
	scripts/instructions

instructions-update: build ## benches/instructions.txt again; the commit says why counts moved
	scripts/instructions --update

peers: build ## CPU per event beside rsyslog and syslog-ng (PEERS="--rounds 1 --check"; see benches/peers/)
	benches/peers/run $(PEERS)

fuzz: ## The differential tests for longer: LOGMILL_FUZZ_SECONDS each (300), from LOGMILL_SEED (the time)
	scripts/fuzz

clean: ## Remove what was built
	$(CARGO) clean
