"""Ratios of what benches/peers.sh measured, as a Markdown table: peers_table.py FOLDER [PAGE]. The
short table goes into that page, between its marks."""

import json
import os
import platform
import re
import sys
import time
from pathlib import Path
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402 (the number of threads is read at the import)

folder = Path(sys.argv[1])

# Ours: (workload, tasks) to task-steps a second, by wall and by processor time, a value a round.
ours, ceilings, gemm, device = {}, [], [], None
for path in sorted(folder.glob("*-[0-9]*.json")):
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

rounds = len(list(folder.glob("peers-*.jsonl")))

# Peers: (implementation, workload, tasks) to the same, for each variant a value a round.
theirs = {}
for path in sorted(folder.glob("peers-*.jsonl")):
    for line in path.read_text().splitlines():
        try:
            one = json.loads(line)
        except json.JSONDecodeError:
            print(f"not a measurement: {line}", file=sys.stderr)
            continue
        if "task_steps_per_s" not in one:
            continue
        key = (one["impl"], {"seed": "dense"}.get(one["workload"], one["workload"]), one["meta_batch"])
        variant = json.dumps(one["config"], sort_keys=True)
        rates = (one["task_steps_per_s"], one["task_steps_per_cpu_s"])
        theirs.setdefault(key, {}).setdefault(variant, []).append(rates)


def middle(values, which):
    return median(value[which] for value in values)


def best(name, workload, tasks, which):
    """Of a peer's variants, the rate of the fastest; none without a measurement."""
    variants = theirs.get((name, workload, tasks), {})
    return max((middle(one, which) for one in variants.values()), default=None)


def processor():
    """Its name and the widest vectors it has."""
    about = Path("/proc/cpuinfo")
    about = about.read_text() if about.exists() else ""
    name = re.search(r"^model name\s*: (.*)$", about, re.MULTILINE)
    wide = next((text for flag, text in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in about), None)
    cores = f"{os.cpu_count()} cores of {name.group(1).strip() if name else platform.machine()}"
    return f"{cores} with {wide}" if wide else cores


def short_table():
    """A row for each of our workloads, beside the peers that were measured."""
    peers = {"jax": "JAX", "torch_compile": "torch.compile", "torch_vmap": "torch.func vmap",
             "torch_loop": "PyTorch loop", "burn_flex": "burn (CPU)", "burn_wgpu": "burn (wgpu)"}
    names = [name for name in peers if any(key[0] == name for key in theirs)]
    lines = [f"{device['name']}, {processor()}:", "",
             "| workload | tasks | reptile | " + " | ".join(f"{peers[name]} (ratio)" for name in names) + " |",
             "|---" * (3 + len(names)) + "|"]
    for (workload, tasks), rates in sorted(ours.items()):
        own = middle(rates, 0)
        ratios = []
        for name in names:
            peer = best(name, workload, tasks, 0)
            ratios.append(f"{peer:,.0f} ({own / peer:.2g})" if peer else "–")
        lines.append(f"| {workload} | {tasks} | {own:,.0f} | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


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
    ("sine", 1, "jax"): 0.5,
    ("sine", 64, "jax"): 0.5,
    ("sine", 1024, "jax"): 0.5,
    ("sine", 64, "torch_compile"): 1,
    ("sine", 64, "torch_loop"): 30,
    ("dense", 10, "jax"): 0.3,
    ("dense", 10, "torch_loop"): 1.2,
    ("omniglot", 5, "jax"): 0.4,
    ("omniglot", 32, "jax"): 0.4,
    ("omniglot", 5, "torch_compile"): 1,
    ("omniglot", 5, "torch_loop"): 1.2,
    ("omniglot", 5, "torch_vmap"): 0.7,
    ("sine", 1, "burn_wgpu"): 500,
    ("omniglot", 5, "burn_flex"): 2,
}
print(f"{device['name']}, {device['driver_info']}, {processor()}; rounds: {rounds}.\n")
print("| workload | tasks | peer, its best variant | reptile, task-steps/s | peer | ratio |"
      " ratio by processor time | at least |")
print("|---|---|---|---|---|---|---|---|")
for (workload, tasks), rates in sorted(ours.items()):
    for name, its_workload, its_tasks in sorted(theirs):
        if (its_workload, its_tasks) != (workload, tasks):
            continue
        wall, cpu = (best(name, workload, tasks, which) for which in (0, 1))
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
if len(sys.argv) > 2 and not theirs:
    sys.exit("no peer was measured: the page keeps its table")
if len(sys.argv) > 2:
    page = Path(sys.argv[2])
    marks = ("<!-- speed: benches/peers.sh writes this -->", "<!-- end of speed -->")
    before, _, rest = page.read_text().partition(marks[0])
    _, _, after = rest.partition(marks[1])
    if not after:
        sys.exit(f"{page} does not hold {marks[0]} … {marks[1]}")
    page.write_text(f"{before}{marks[0]}\n{short_table()}\n{marks[1]}{after}")
