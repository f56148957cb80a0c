#!/usr/bin/env bash
# Measures reptile and what people would use instead on the same machine in the same run, reptile and the
# peers in turns, and prints the ratios.
#
#   benches/peers.sh [SECONDS [ROUNDS]]    seconds for a measurement of a peer (5) and rounds (2)
#
#   REPTILE_PEERS   folder of the peers' scripts (../shared/peers by default); without it nothing is done
#   PEERS_VENV      their virtual environment; made if missing, about 3 GB
#   PEERS_PAGE      yes: also write the short table into docs/results.md
#   PEERS_BURN      burn's backends: no (default), cpu, or yes with the one on wgpu, which builds long
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

peers=${REPTILE_PEERS:-../shared/peers}
if [ ! -x "$peers/run_peers.sh" ]; then
    echo "skipped: no peers in $peers (REPTILE_PEERS names their folder)"
    exit 0
fi
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi
cargo build --release --quiet
reptile=${CARGO_TARGET_DIR:-target}/release/reptile
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

export PEERS_SECS=${1:-5} PEERS_BURN=${PEERS_BURN:-no} PEERS_WORK=${PEERS_WORK:-$out}
export PEERS_VENV=${PEERS_VENV:-${TMPDIR:-/tmp}/peers/venv}
# All variants of the kernels are timed once, however long that takes.
"$reptile" bench --variants --workload dense omniglot --tasks 5 >"$out/variants.md"
for round in $(seq "${2:-2}"); do
    "$reptile" bench --no-first-result --workload sine --tasks 1 64 1024 --out "$out/sine-$round.json" >/dev/null
    "$reptile" bench --no-first-result --workload dense gemm --tasks 10 --out "$out/dense-$round.json" >/dev/null
    "$reptile" bench --no-first-result --workload omniglot --tasks 5 32 --out "$out/omniglot-$round.json" >/dev/null
    PEERS_OUT=$out/peers-$round.jsonl PEERS_ONLY=${PEERS_ONLY:-'bench_|bench-burn'} \
        "$peers/run_peers.sh" >/dev/null || true
    # A loop over the tasks of a whole meta-batch is not among them.
    for threads in 1 2; do
        "$PEERS_VENV/bin/python" "$peers/bench_torch.py" --workload sine --meta-batch 64 --mode loop \
            --threads "$threads" --seconds "$PEERS_SECS" 2>/dev/null | tail -1 >>"$out/peers-$round.jsonl" || true
    done
done
page=()
if [ "${PEERS_PAGE:-no}" = yes ]; then page=(docs/results.md); fi
"$PEERS_VENV/bin/python" benches/peers_table.py "$out" "${page[@]}"
