#!/usr/bin/env bash
# Trains the sine preset into a fresh folder, evaluates it and draws the result.
# scripts/demo.sh REPTILE: the program to run.
set -euo pipefail

reptile=$1
out=demo
for ((n = 1; ; n++)); do
    if [ ! -e "$out" ]; then break; fi
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
