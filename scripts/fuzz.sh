#!/usr/bin/env bash
# scripts/fuzz.sh [FILES]: gives the readers so many damaged files in all (a million), with at most 2 GiB of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --release -p reptile-fuzz
ulimit -v $((2 << 20))
"$target/release/fuzz" "${1:-1000000}"
