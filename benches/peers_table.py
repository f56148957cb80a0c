"""Ratios of what benches/peers.sh measured, as a Markdown table: peers_table.py FOLDER."""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402 (the number of threads is read at the import)

folder = Path(sys.argv[1])

# Ours: (workload, tasks) to task-steps a second, by wall and by processor time, a value a round.
ours, ceilings, gemm, device = {}, [], [], None
for path in sorted(folder.glob("*-[12].json")):
    report = json.loads(path.read_text())
    device = report["device"]
    for row in report["rows"]:
        one = row.get("measured")
        if not one:
            continue
        time_of = one["time"]
        if one["task_steps"]:
            rates = (one["task_steps"] / time_of["median"], one["task_steps"] / time_of["cpu"])
            ours.setdefault((row["workload"], row["tasks"]), []).append(rates)
            flops = one["flops"] / time_of["cpu"]
        else:
            flops = one["flops"] / time_of["cpu"]
            gemm.append(flops)
        if report["ceilings"]["by_processor_time"]:
            ceilings.append(
                (row["workload"], row["tasks"], flops / report["ceilings"]["by_processor_time"][0])
            )

# Peers: (implementation, workload, tasks) to the same, for each variant a value a round.
theirs = {}
for path in sorted(folder.glob("peers-*.jsonl")):
    for line in path.read_text().splitlines():
        one = json.loads(line)
        if "task_steps_per_s" not in one:
            continue
        key = (one["impl"], {"seed": "dense"}.get(one["workload"], one["workload"]), one["meta_batch"])
        variant = json.dumps(one["config"], sort_keys=True)
        rates = (one["task_steps_per_s"], one["task_steps_per_cpu_s"])
        theirs.setdefault(key, {}).setdefault(variant, []).append(rates)


def middle(values, which):
    return median(value[which] for value in values)


def openblas(size=256, seconds=2.0):
    """Floating-point operations a second of one thread on products of size³."""
    a, b = (np.random.rand(size, size).astype("f") for _ in range(2))
    best, end = 1e9, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(20):
            a @ b
        best = min(best, (time.perf_counter() - start) / 20)
    return 2 * size**3 / best


TARGETS = {
    ("sine", 64, "jax"): 0.4,
    ("sine", 1024, "jax"): 0.4,
    ("sine", 64, "torch_compile"): 0.8,
    ("sine", 64, "torch_loop"): 30,
    ("dense", 10, "jax"): 0.2,
    ("omniglot", 5, "jax"): 0.3,
    ("omniglot", 32, "jax"): 0.3,
    ("omniglot", 5, "torch_loop"): 1,
    ("omniglot", 5, "torch_vmap"): 0.7,
    ("sine", 1, "burn_wgpu"): 500,
    ("omniglot", 5, "burn_flex"): 2,
}
print(f"{device['name']}, {device['driver_info']}; medians of two alternating rounds.\n")
print("| workload | tasks | peer, its best variant | reptile, task-steps/s | peer | ratio |"
      " ratio by processor time | at least |")
print("|---|---|---|---|---|---|---|---|")
for (workload, tasks), rates in sorted(ours.items()):
    for (name, its_workload, its_tasks), variants in sorted(theirs.items()):
        if (its_workload, its_tasks) != (workload, tasks):
            continue
        wall, cpu = (max(middle(one, which) for one in variants.values()) for which in (0, 1))
        own_wall, own_cpu = middle(rates, 0), middle(rates, 1)
        target = TARGETS.get((workload, tasks, name), "")
        print(f"| {workload} | {tasks} | {name} | {own_wall:,.0f} | {wall:,.0f} | {own_wall / wall:.3g} |"
              f" {own_cpu / cpu:.3g} | {target} |")
if gemm:
    blas = openblas()
    print(f"\ngemm 256³, a second of one core: {median(gemm) / 1e9:.3g} GFLOP/s, OpenBLAS"
          f" {blas / 1e9:.3g}: {median(gemm) / blas:.2g} (at least 0.15)")
for workload, tasks in sorted({(workload, tasks) for workload, tasks, _ in ceilings}):
    share = median(share for its, count, share in ceilings if (its, count) == (workload, tasks))
    print(f"{workload}, {tasks}: {100 * share:.0f} % of the device's ceiling of multiply-adds")
