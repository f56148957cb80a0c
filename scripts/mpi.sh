#!/usr/bin/env bash
# scripts/mpi.sh: lints and tests of the program with the feature `mpi`, on ranks of this machine (Open MPI).
# `REPTILE_KILLS` is the number of ranks that are killed at random moments.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

mkdir -p "$target/tmp"
export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-$(cd "$target" && pwd)/tmp/mesa}
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi

clippy=$(rustc --print sysroot)/bin/clippy-driver
if [ -x "$clippy" ]; then
    export RUSTC_WORKSPACE_WRAPPER=$clippy CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings"
fi
# One job of several ranks at a time: they share the cores.
scripts/all-drivers.sh cargo test --features mpi --test mpi -- --test-threads 1 "$@"
