TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-all fuzz crash-test web web-test egui-test mpi mpi-test bench fmt lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## find a Vulkan driver, or install one (Debian, Ubuntu)
	@scripts/setup.sh

build: setup ## build the program: target/release/reptile
	cargo build --release

demo: build ## train on sine waves and on glyphs, evaluate, draw (2 cores: two minutes with AVX-512, six with AVX2)
	@scripts/demo.sh $(TARGET_DIR)/release/reptile

# Data sets, where there are any: REPTILE_DATA.
test: ## check format and lints, and test: ten minutes on two cores (docs/testing.md)
	@scripts/setup.sh --test
	@scripts/test.sh

test-all: ## the same on every driver, in every mode, with all random cases: before a release, or for a new kernel
	@scripts/setup.sh --test
	@REPTILE_TESTS=all scripts/test.sh

fuzz: ## give every reader damaged files, a million in all
	@scripts/fuzz.sh

crash-test: ## kill trainings, sweeps, tables and streams at a thousand random moments, and go on
	@REPTILE_CRASHES=1000 cargo test --test cli crash::

web: ## build the library for pages, and a page: web/dist
	@scripts/web.sh

web-test: ## try both in headless Chromium
	@scripts/web.sh test

egui-test: ## try the window of examples/egui on a screen in memory
	@scripts/setup.sh --window
	@scripts/egui.sh

mpi: setup ## build the program for several devices and machines (docs/cluster.md): target/release/reptile
	@scripts/setup.sh --mpi
	cargo build --release --features mpi

mpi-test: ## train on several ranks of this machine
	@scripts/setup.sh --test
	@scripts/setup.sh --mpi
	@scripts/mpi.sh

bench: setup ## measure the speed (criterion)
	cargo bench

fmt: ## format the code
	cargo fmt --all

lint: ## check format and lints
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings

clean: ## remove what was built
	cargo clean
	rm -rf web/dist web/node_modules
