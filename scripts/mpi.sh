#!/usr/bin/env bash
# scripts/mpi.sh: lints and tests of the program with the feature `mpi`, on ranks of this machine (Open MPI).
# `REPTILE_KILLS` is the number of ranks that are killed at random moments.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_env.sh
# One job of several ranks at a time: they share the cores.
scripts/all-drivers.sh cargo test --features mpi --test mpi -- --test-threads 1 "$@"
