#!/usr/bin/env bash
# Checks, then measures, on a machine with a GPU, and writes a report: see docs/devices.md. Run from anywhere.
#
#   OUT=DIR        where results go ($kit/out): report.md, report.json, log.txt, tests.txt
#   STEPS="…"      which steps, in this order: devices tests ceilings base dispatches peers accuracy variants tuned
#   PYTHON         a Python with jax and torch for the GPU (python3); without them the peers are left out
#   SCALE          share of the paper's meta-iterations that Omniglot 5-way 1-shot is trained (0.3)
#   QUICK=1        a rehearsal on a software device: small sizes instead of minutes
#
# Every step has a time limit; all together stay below nine minutes on a fast card.
set -uo pipefail
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${OUT:-$kit/out}
PYTHON=${PYTHON:-python3}
STEPS=${STEPS:-devices tests ceilings base dispatches peers accuracy variants tuned}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
log=$OUT/log.txt report=$OUT/report.md
: >"$log"
: >"$OUT/peers.jsonl"
R=$kit/bin/reptile
# Nothing of the machine's is read or left behind.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export REPTILE_DATA=$kit/data REPTILE_CACHE=$work/cache XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
if ! ldconfig -p | grep -q libvulkan; then
    for package in "$kit"/loader/*.deb; do dpkg -x "$package" "$work/loader"; done
    libraries=$(find "$work/loader" -type d -name '*-linux-gnu' | head -1)
    export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
# Where containers mount NVIDIA's driver.
nvidia=/usr/local/nvidia/share
if [ -z "${VK_DRIVER_FILES:-}" ] && [ -e "$nvidia/vulkan/icd.d/nvidia_icd.json" ]; then
    export VK_DRIVER_FILES=$nvidia/vulkan/icd.d/nvidia_icd.json
    export __EGL_VENDOR_LIBRARY_FILENAMES=$nvidia/glvnd/egl_vendor.d/10_nvidia.json
fi
began=$(date +%s)
failed=0

q() { if [ -n "${QUICK:-}" ]; then echo "$1"; else echo "$2"; fi; }
quick=()
[ -z "${QUICK:-}" ] || quick=(--quick)

# step NAME SECONDS COMMAND…: runs with a limit; the output goes to the log, its end to the terminal.
step() {
    local name=$1 limit=$2 rc start
    shift 2
    start=$(date +%s)
    echo "=== $name" | tee -a "$log"
    timeout "$limit" "$@" >"$work/now" 2>&1
    rc=$?
    cat "$work/now" >>"$log"
    tail -n "${TAIL:-12}" "$work/now"
    echo "--- $name: rc $rc, $(($(date +%s) - start)) s, at $(($(date +%s) - began)) s" | tee -a "$log"
    [ $rc = 0 ] || failed=1
    return $rc
}

# section TITLE: what the last step printed of results, as a part of the report.
section() {
    local fence=""
    grep -q '^|' "$work/now" || fence='```'
    {
        printf '\n## %s\n\n' "$1"
        [ -z "$fence" ] || echo "$fence"
        grep -vE '^(device|data|memory|plan|iteration|written|next|done)[: ]' "$work/now" | sed "s#$work/##g"
        [ -z "$fence" ] || echo "$fence"
    } >>"$report"
}

devices() {
    if command -v nvidia-smi >/dev/null; then
        step nvidia-smi 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader && section "Card"
    fi
    step devices 30 "$R" devices && section "Adapters"
}

# A wrong number or a race ends the day: all modules at once, since nothing is measured yet.
tests() {
    local name pids=()
    for name in $(cat "$kit/bin/modules" 2>/dev/null); do
        timeout "$(q 900 150)" "$kit/bin/test-device" "$name::" >"$work/$name" 2>&1 &
        pids+=("$!:$name")
    done
    printf '\n## Device tests\n\n' >>"$report"
    for pid in ${pids[@]+"${pids[@]}"}; do
        name=${pid#*:}
        if wait "${pid%%:*}"; then rc=0; else rc=$?; failed=1; fi
        { echo "=== $name"; cat "$work/$name"; } >>"$OUT/tests.txt"
        echo "$name: rc $rc, $(grep 'test result' "$work/$name" | tail -1)" | tee -a "$report"
        grep -E 'FAILED|the error is' "$work/$name" | cut -c1-300 | head -20
    done
}

ceilings() {
    step kernels 60 "$R" bench ${quick[@]+"${quick[@]}"} --no-autotune --no-first-result \
        --workload gemm conv norm reduce --out "$work/kernels.json" && section "Kernels and ceilings"
}

base() {
    step base "$(q 400 150)" "$R" bench ${quick[@]+"${quick[@]}"} --no-autotune --no-first-result \
        --workload sine dense omniglot --out "$work/base.json" && section "Workloads, default variants"
}

dispatches() { # the longest first: what to look at next
    step dispatches "$(q 200 60)" "$R" bench --quick --kernels --no-autotune --workload dense omniglot --tasks "$(q 1 32)" &&
        section "Dispatches"
}

peers() { # the same work in JAX and PyTorch on the same card, many meta-iterations in one compiled call
    local one line seconds
    seconds=$(q 1 2)
    [ -e "$kit/peers/bench_jax.py" ] || return 0
    cd "$kit/peers" || return
    if "$PYTHON" -c 'import jax' 2>/dev/null; then
        export JAX_PLATFORMS=${JAX_PLATFORMS:-$(q cpu cuda)} XLA_PYTHON_CLIENT_PREALLOCATE=false
        for one in "sine 64 200" "sine 1024 50" "sine 8192 10" "seed 10 5" "seed 64 2" "omniglot 5 50" "omniglot 32 20" "omniglot 128 5"; do
            read -r workload tasks chunk <<<"$one"
            TAIL=1 step "jax $one" 60 "$PYTHON" bench_jax.py --workload "$workload" --meta-batch "$tasks" \
                --chunk "$(q 1 "$chunk")" --seconds "$seconds" && tail -1 "$work/now" >>"$OUT/peers.jsonl"
        done
    fi
    if "$PYTHON" -c 'import torch' 2>/dev/null; then
        for one in "omniglot 5 loop" "omniglot 5 vmap" "sine 64 loop"; do
            read -r workload tasks mode <<<"$one"
            TAIL=1 step "torch $one" 60 "$PYTHON" bench_torch.py --device "$(q cpu cuda)" --workload "$workload" \
                --meta-batch "$tasks" --mode "$mode" --seconds "$seconds" && tail -1 "$work/now" >>"$OUT/peers.jsonl"
        done
    fi
    cd "$kit" || return
    [ -s "$OUT/peers.jsonl" ] || { echo "no JAX, no PyTorch: peers left out"; return 0; }
    { printf '\n## Peers, task-steps/s\n\n' && sed -E 's/.*"impl": "([^"]*)", "workload": "([^"]*)", "meta_batch": ([0-9]+), "task_steps_per_s": ([0-9.]+).*/\1, \2, \3 tasks: \4/' "$OUT/peers.jsonl"; } >>"$report"
}

accuracy() {
    step sine 60 "$R" train --preset sine --iterations "$(q 300 30000)" --out "$work/sine" || return 0
    step sine-eval 30 "$R" eval "$work/sine" --tasks "$(q 50 1000)" && section "Sine"
    [ -e "$kit/data/omniglot/images_background.zip" ] || return 0
    step omniglot-5w1s "$(q 300 150)" "$R" reproduce omniglot-5w1s --scale "$(q 0.0002 "${SCALE:-0.3}")" \
        --tasks "$(q 20 2000)" --out "$work/omniglot" && section "Omniglot 5-way 1-shot"
}

variants() {
    step variants "$(q 300 60)" "$R" bench --variants --workload omniglot --tasks "$(q 1 32)" && section "Variants of omniglot"
}

tuned() {
    step tuned "$(q 400 100)" "$R" bench ${quick[@]+"${quick[@]}"} --no-first-result --workload sine omniglot \
        --out "$work/tuned.json" && section "Workloads, tuned"
    [ -e "$work/base.json" ] && step tuned-over-base 20 "$R" bench --compare "$work/base.json" "$work/tuned.json" &&
        section "Tuned over default"
}

echo "# reptile on $(uname -m), $(date -u +%F), $(nproc) processor cores" >"$report"
for one in $STEPS; do
    case $one in
    devices | tests | ceilings | base | dispatches | peers | accuracy | variants | tuned) "$one" ;;
    *) echo "run.sh: no step is named $one" >&2; failed=1 ;;
    esac
done
# What tools read: each report of `reptile bench` by its name.
{
    printf '{'
    separator=
    for name in kernels base tuned; do
        [ -e "$work/$name.json" ] || continue
        printf '%s"%s": ' "$separator" "$name"
        cat "$work/$name.json"
        separator=,
    done
    printf '}\n'
} >"$OUT/report.json"
echo "all: $(($(date +%s) - began)) s; the report is $report"
exit $failed
