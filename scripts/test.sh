#!/usr/bin/env bash
# scripts/test.sh: format, lints and all tests, and how long each part took. `REPTILE_TESTS=all` runs
# everything on every adapter and in every mode; docs/testing.md lists what each run proves.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_env.sh

times=()
# part NAME COMMAND…: runs COMMAND and keeps its time.
part() {
    local name=$1 start=$SECONDS
    shift
    "$@"
    times+=("$(printf '%6d s  %s' $((SECONDS - start)) "$name")")
}

programs=(--lib --test device --test cli --test growth)

# Most kernels run a few times here: Mesa's compiler leaves its optimisations out, which `make test-all` has.
quick=(env "GALLIVM_PERF=${GALLIVM_PERF:-nopt}")
if [ "${REPTILE_TESTS:-}" = all ]; then quick=(); fi

part "format" cargo fmt --all --check
part "build and lints" cargo test --no-run "${programs[@]}"
part "unit tests" cargo test --lib
part "on devices" "${quick[@]}" scripts/all-drivers.sh cargo test --test device
# The program takes the first adapter: with Mesa's driver alone it is the same everywhere.
part "the program" cargo test --test cli
part "constant memory" cargo test --test growth
part "examples in the documentation" cargo test --doc
if rustc --print target-libdir --target wasm32-unknown-unknown >/dev/null 2>&1 &&
    [ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown)" ]; then
    part "the library for browsers" cargo check --lib --no-default-features --target wasm32-unknown-unknown
else
    echo "test: the library is not checked for browsers (rustup target add wasm32-unknown-unknown)" >&2
fi
if [ "${REPTILE_TESTS:-}" = all ]; then
    # What the program asks Mesa for on some processors (src/cli/vectors.rs). Mesa's cache does not tell widths apart.
    if grep -qsm 1 avx512bw /proc/cpuinfo; then
        mkdir -p "$MESA_SHADER_CACHE_DIR/512-bits"
        part "on devices, 512 bits" env -u REPTILE_TESTS LP_NATIVE_VECTOR_WIDTH=512 \
            MESA_SHADER_CACHE_DIR="$MESA_SHADER_CACHE_DIR/512-bits" scripts/all-drivers.sh cargo test --test device
    fi
    part "features" scripts/features.sh
    part "benchmarks and examples" cargo test --benches --examples
fi
printf '%s\n' "${times[@]}"
