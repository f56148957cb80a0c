#!/usr/bin/env bash
# scripts/features.sh: every feature of the library by itself, with lints, and how many crates an embedder gets beyond
# those of wgpu.
set -euo pipefail
cd "$(dirname "$0")/.."
# README says this number.
most=7

for features in "" reference tune onnx plot checkpoints data files files,plot files,tune experiments cli; do
    echo "features: ${features:-none}"
    cargo clippy --quiet --lib --no-default-features --features "$features" -- -D warnings
done
own=$(cargo tree --edges normal --no-default-features --no-dedupe --prefix depth | awk '
    {
        match($0, /^[0-9]+/)
        depth = substr($0, 1, RLENGTH) + 0
        split(substr($0, RLENGTH + 1), words, " ")
        if (depth == 1) in_wgpu = words[1] == "wgpu"
        if (in_wgpu) wgpu[words[1]] = 1
        else if (depth > 0) others[words[1]] = 1
    }
    END { for (name in others) if (!(name in wgpu)) print name }' | sort)
echo "crates beyond those of wgpu, without features:" $own
if [ "$(wc -w <<<"$own")" -gt $most ]; then
    echo "features: more than $most" >&2
    exit 1
fi
