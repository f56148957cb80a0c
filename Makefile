TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-all bench fmt lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## find a Vulkan driver, or install one (Debian, Ubuntu)
	@scripts/setup.sh

build: setup ## build the program: target/release/reptile
	cargo build --release

demo: build ## train on sine waves and on glyphs, evaluate, draw (2 cores: two minutes with AVX-512, six with AVX2)
	@scripts/demo.sh $(TARGET_DIR)/release/reptile

# The tests see every Vulkan driver at once. Data sets, where there are any: REPTILE_DATA.
test: ## check format and lints, run all tests on every driver that is found
	@scripts/setup.sh --test
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	scripts/all-drivers.sh cargo test --all-targets
	scripts/all-drivers.sh cargo test --doc

test-all: test ## also 200 random networks instead of 20: for whoever changed a kernel, and before a release
	REPTILE_TESTS=long scripts/all-drivers.sh cargo test --test inner_loops of_every_form

bench: setup ## measure the speed (criterion)
	cargo bench

fmt: ## format the code
	cargo fmt

lint: ## check format and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

clean: ## remove what was built
	cargo clean
