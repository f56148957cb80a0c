#!/usr/bin/env python3
"""The figures of docs/strategy.md, docs/compression.md, docs/sweep.md and docs/cluster.md, each a mean over five seeds ± its standard deviation:

    benches/claims.py NAME...      # one or more of those below, or `all`; tables in Markdown on stdout

It runs `target/release/reptile` (another one: REPTILE=PROGRAM). What is trained lies in target/claims and is not trained
again with the same arguments; with another program delete that folder first. Needs nothing but Python; `omniglot` and
`compression` need Omniglot (REPTILE_DATA), `ranks` a program with MPI (`make mpi`) and `mpirun`. On two cores without a GPU `omniglot` takes more than an hour, the others
minutes each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("REPTILE", str(ROOT / "target/release/reptile"))
FOLDER = ROOT / "target/claims"
SEED, SEEDS = 9000, 5

SINE = ["--preset", "sine", "--iterations", "3000", "--set", "outer.meta_batch=5", "--set", "inner.epochs=2"]
OSCILLATORS = [str(ROOT / "examples/tasks/oscillators.toml"), "--iterations", "3000"]
OSCILLATORS += ["--set", "inner.steps=10", "--set", "outer.meta_batch=5"]
OMNIGLOT = ["--preset", "omniglot-5w1s", "--iterations", "1000", "--set", "inner.optimizer=sgd"]
OMNIGLOT += ["--set", "outer.meta_batch=2", "--set", "outer.rate=0.5", "--set", "outer.schedule.kind=constant"]
META_SGD = ["--set", "strategy.kind=meta-sgd"]
HYPERGRADIENT = ["--set", "strategy.kind=hypergradient"]
ARUBA = ["--set", "strategy.kind=aruba", "--set", "strategy.zeta=0.03"]
STRATEGIES = {"meta-sgd": META_SGD, "hypergradient": HYPERGRADIENT, "aruba": ARUBA}


def reptile(*arguments):
    """What the program prints to stdout; its messages are shown where it fails."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def trained(name, job, rate=None, settings=(), ranks=0):
    """The folder of five runs, trained side by side unless they are there, by so many ranks if there are several; none if one of
    them diverged."""
    folder, note = FOLDER / name, FOLDER / f"{name}.txt"
    rates = [] if rate is None else ["--set", f"inner.rate={rate}"]
    arguments = ["train", *job, "--seed", SEED, "--runs", SEEDS, "--set", "eval.every=0"]
    arguments = [str(one) for one in [*arguments, *rates, *settings, "--out", folder]]
    ends = {ending: " ".join(arguments) + f"\n{ending}\n" for ending in ["trained", "diverged"]}
    if not note.exists() or note.read_text() not in ends.values():
        shutil.rmtree(folder, ignore_errors=True)
        print("reptile", *arguments, file=sys.stderr)
        start = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
        done = subprocess.run([*start, PROGRAM, *arguments], capture_output=True, text=True)
        if done.returncode != 0 and "diverged" not in done.stderr:
            sys.exit(done.stderr)
        note.write_text(ends["trained" if done.returncode == 0 else "diverged"])
    return folder if note.read_text() == ends["trained"] else None


def tested(folder, *arguments, part="after"):
    """The loss or accuracy of each seed; none if some tasks diverged."""
    if folder is None:
        return None
    report = json.loads(reptile("eval", folder, "--no-baseline", "--json", *arguments))
    of = [run[part].get("accuracy", run[part]["loss"]) for run in report["runs"]]
    return None if any(run["diverged"] for run in report["runs"]) else of


def cell(values, best=None):
    if values is None:
        return "diverges"
    if max(values) > 1000:
        return f"to {max(values):.0e}"
    text = f"{mean(values):.3f} ± {stdev(values):.3f}"
    return text if best is None else f"{text} ({mean(values) / best:.2f})"


def table(head, rows):
    print("|", " | ".join(map(str, head)), "|")
    print("|", " | ".join("---" for _ in head), "|")
    for row in rows:
        print("|", " | ".join(map(str, row)), "|")
    print(flush=True)


def recovery(name, job, rates, test, better=min, strategies=STRATEGIES):
    """Plain Reptile over a grid of rates, and every strategy from 0.002, 0.02 and 0.2, beside the best plain rate."""
    plain = {rate: tested(trained(f"{name}-plain-{rate}", job, rate), *test) for rate in rates}
    means = (mean(values) for values in plain.values() if cell(values)[0].isdigit())
    best = better(means, default=None)
    table(["plain, rate", *rates], [[name, *(cell(plain[rate], best) for rate in rates)]])
    starts = [0.002, 0.02, 0.2]
    rows = []
    for kind, settings in strategies.items():
        of = [tested(trained(f"{name}-{kind}-{rate}", job, rate, settings), *test) for rate in starts]
        rows.append([f"`{kind}`", *(cell(values, best) for values in of)])
    table([f"{name}, from a rate of", *starts], rows)


def sine():
    recovery("sine", SINE, [0.002, 0.02, 0.03, 0.035, 0.04, 0.05, 0.2], ["--tasks", 1000])


def oscillators():
    recovery("oscillators", OSCILLATORS, [0.002, 0.02, 0.05, 0.1, 0.15, 0.2], ["--tasks", 1000])


def omniglot():
    test = ["--tasks", 100, "--steps", 15, "--transductive", "true"]
    only = {"meta-sgd": META_SGD}
    recovery("omniglot", OMNIGLOT, [0.1, 0.25, 0.5], test, max, only)


def settings():
    """How much depends on β and on which parameters share a rate, on sine waves."""
    starts, test = [0.002, 0.02, 0.2], ["--tasks", 1000]
    rows = []
    for beta in [0.1, 0.3, 1]:
        own = [] if beta == 0.3 else ["--set", f"strategy.rate={beta}"]
        names = [f"sine-meta-sgd{'' if beta == 0.3 else f'-{beta}'}-{rate}" for rate in starts]
        of = [trained(n, SINE, rate, META_SGD + own) for n, rate in zip(names, starts)]
        rows.append([f"`meta-sgd`, β = {beta}", *(cell(tested(one, *test)) for one in of)])
    table(["from a rate of", *starts], rows)
    rows = []
    for kind, own in STRATEGIES.items():
        of = [trained(f"sine-{kind}-0.02", SINE, 0.02, own)]
        for shared in ["layer", "scalar"]:
            chosen = own + ["--set", f"strategy.granularity={shared}"]
            of.append(trained(f"sine-{kind}-{shared}-0.02", SINE, 0.02, chosen))
        rows.append([f"`{kind}`", *(cell(tested(one, *test)) for one in of)])
    table(["from 0.02, rates by", "`parameter`", "`layer`", "`scalar`"], rows)


def steps():
    """Tests with more steps than the ten of training."""
    numbers = [10, 32, 100]
    jobs = {"plain, 0.02": (0.02, []), "plain, 0.04": (0.04, [])}
    jobs |= {f"`{kind}` from 0.02": (0.02, settings) for kind, settings in STRATEGIES.items()}
    rows = []
    for title, (rate, settings) in jobs.items():
        kind = settings[1].split("=")[1] if settings else "plain"
        folder = trained(f"sine-{kind}-{rate}", SINE, rate, settings)
        rows.append([title, *(cell(tested(folder, "--tasks", 1000, "--steps", k)) for k in numbers)])
    table(["steps", *numbers], rows)


def refine():
    """ARUBA++: c of `--refine`."""
    factors = [0, 100, 1000, 10000]
    folder = trained("sine-aruba-0.02", SINE, 0.02, ARUBA)
    rows = []
    for k in [32, 100]:
        of = (tested(folder, "--tasks", 1000, "--steps", k, "--refine", c) for c in factors)
        rows.append([k, *map(cell, of)])
    table(["steps", *(f"c = {c}" for c in factors)], rows)


def warm_start():
    """Starting from the best entry of the memory."""
    folder = trained("sine-memory", SINE, None, ["--set", "memory.capacity=50"])
    numbers = [1, 2, 4, 8, 16, 32]
    rows = []
    for title, flags in [("cold", []), ("warm", ["--warm-start", "memory"])]:
        test = ["--tasks", 1000, *flags, "--steps"]
        of = [tested(folder, *test, 1, part="before"), *(tested(folder, *test, k) for k in numbers)]
        rows.append([title, *map(cell, of)])
    table(["steps", 0, *numbers], rows)


def sweep():
    """Which rates a sweep of the authors' demo puts first."""
    file, folder = FOLDER / "sweep.toml", FOLDER / "sweep"
    file.write_text(f"""preset = "sine"
set = ["seed={SEED}", "eval.every=0", "eval.validation_tasks=500"]
seeds = {SEEDS}
[values]
"inner.rate" = {{ log = [0.0005, 0.5], count = 12 }}
""")
    if not (folder / "results.json").exists():
        reptile("sweep", file, "--out", folder)
    report = json.loads((folder / "results.json").read_text())
    rows = [
        (f"{row['values']['inner.rate']:.4g}", cell(None if None in row["seeds"] else row["seeds"]))
        for row in report["rows"]
    ]
    table(["inner.rate", "validation loss"], rows)


RANKS = 4
DENSE = "[{type='dense',units=64},{type='batch-norm',activation='relu'},{type='dense',units=5}]"
GLYPHS = ["--preset", "glyphs-5w1s", "--iterations", "400", "--set", f"model.layers={DENSE}"]
GLYPHS += ["--set", "inner.optimizer=sgd", "--set", "inner.rate=0.1"]
WAYS = {
    "averaged": [],
    "int8": ["--exchange", "int8"],
    "overlap": ["--overlap"],
    "overlap, int8": ["--overlap", "--exchange", "int8"],
    "nesterov (DiLoCo)": ["--outer-optimizer", "nesterov"],
    "nesterov, overlap": ["--outer-optimizer", "nesterov", "--overlap"],
}


def ranks():
    """Four ranks with H meta-iterations of their own between exchanges, beside one process with four times the tasks."""
    locals_ = [1, 10, 100]
    for name, job, tasks, test in [("sine", SINE, 5, 1000), ("glyphs", GLYPHS, 2, 200)]:
        few, many = (["--set", f"outer.meta_batch={of}"] for of in [tasks, tasks * RANKS])
        test = ["--tasks", test]
        one = tested(trained(f"{name}-ranks-one", job, None, many), *test)
        less = tested(trained(f"{name}-ranks-less", job, None, few), *test)
        summed = trained(f"{name}-ranks-summed", job, None, [*few, "--distributed"], RANKS)
        rows = [[f"one process, {tasks * RANKS} tasks", cell(one), "", ""]]
        rows += [[f"one process, {tasks} tasks", cell(less), "", ""]]
        rows += [[f"four ranks, {tasks} tasks each: summed", cell(tested(summed, *test)), "", ""]]
        for way, flags in WAYS.items():
            of = []
            for local in locals_:
                if local == 1 and not flags:
                    of.append("as summed")
                    continue
                own = [*few, "--distributed", "--local-steps", local, *flags]
                folder = f"{name}-ranks-{way.replace(' ', '')}-{local}"
                of.append(cell(tested(trained(folder, job, None, own, RANKS), *test)))
            rows.append([way, *of])
        table([name, *(f"H = {local}" for local in locals_)], rows)


CODECS = ["f16", "int8", "int4", "1bit", "topk:0.05", "topk:0.1"]


def compression():
    """Loss or error of adapted models by codec, as a part of what it is without one."""
    of_omniglot = ["--preset", "omniglot-5w1s", "--iterations", "200"]
    jobs = [("sine", trained("sine-plain-0.02", SINE, 0.02), 200, 32)]
    jobs += [("sine, `meta-sgd`", trained("sine-meta-sgd-0.02", SINE, 0.02, META_SGD), 200, 32)]
    jobs += [("omniglot", trained("omniglot-adam", of_omniglot), 100, 15)]
    rows = []
    for name, folder, tasks, k in jobs:
        codecs = {codec: ([], []) for codec in ["none", *CODECS]}
        for run in range(SEEDS):
            models, small = FOLDER / "adapted.safetensors", FOLDER / "compressed.safetensors"
            models.unlink(missing_ok=True)
            reptile("adapt", folder, "--run", run, "--test-tasks", tasks, "--steps", k, "--out", models)
            numbers = None
            for codec, (scores, sizes) in codecs.items():
                file = models
                if codec != "none":
                    small.unlink(missing_ok=True)
                    reptile("compress", models, "--base", folder, "--codec", codec, "--out", small)
                    file = small
                mode = ["--transductive", "true"] if name == "omniglot" else []
                report = json.loads(reptile("eval", file, "--base", folder, "--json", *mode))
                after = report["runs"][0]["after"]
                scores.append(100 * after["accuracy"] if "accuracy" in after else after["loss"])
                numbers = numbers or models.stat().st_size
                sizes.append(numbers / file.stat().st_size)
        for codec, (scores, sizes) in codecs.items():
            digits = 1 if name == "omniglot" else 3
            text = f"{mean(scores):.{digits}f} ± {stdev(scores):.{digits}f}"
            rows.append([name, f"`{codec}`", text, f"{mean(sizes):.1f}"])
    table(["models of", "codec", "loss; accuracy in %", "file, to 1"], rows)


CLAIMS = {
    "sine": sine,
    "oscillators": oscillators,
    "omniglot": omniglot,
    "settings": settings,
    "steps": steps,
    "refine": refine,
    "warm-start": warm_start,
    "compression": compression,
    "ranks": ranks,
    "sweep": sweep,
}


def main():
    names = sys.argv[1:]
    if "all" in names:
        names = list(CLAIMS)
    if not names or "--help" in names:
        print(f"{__doc__}\n\nnames: {', '.join(CLAIMS)}")
        return
    for name in names:
        if name not in CLAIMS:
            sys.exit(f"{name}: no such claim; there are {', '.join(CLAIMS)}, or all")
    if not Path(PROGRAM).is_file():
        sys.exit(f"{PROGRAM} is not there; `cargo build --release` builds it")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        CLAIMS[name]()


if __name__ == "__main__":
    main()
