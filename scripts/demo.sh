#!/usr/bin/env bash
# Trains the sine preset and, on glyphs that the device draws, the paper's network for images into fresh
# folders, evaluates them and draws the results. With REPTILE_DATA also tests the latter on Omniglot.
# scripts/demo.sh REPTILE: the program to run.
set -euo pipefail

# Mesa's device-select layer complains on every start where there is no desktop.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi

reptile=$1
out=demo
for ((n = 1; ; n++)); do
    if [ ! -e "$out" ] && [ ! -e "$out-glyphs" ]; then break; fi
    out=demo-$n
done

run() {
    echo
    echo "\$ $*"
    "$@"
}

run "$reptile" train --preset sine --out "$out"
run "$reptile" eval "$out"
run "$reptile" plot "$out"

run "$reptile" train --preset glyphs-5w1s --iterations 200 --set eval.every=0 --out "$out-glyphs"
run "$reptile" eval "$out-glyphs" --tasks 100 --transductive true
run "$reptile" plot "$out-glyphs"
if [ -n "${REPTILE_DATA:-}" ]; then
    run "$reptile" eval "$out-glyphs" --on omniglot-5w1s --tasks 100 --transductive true
fi
