#!/usr/bin/env bash
# fuzz/make-seeds.sh PROGRAM: makes fuzz/seeds anew, files that the program writes and reads. To be run when a format changes.
set -euo pipefail
cd "$(dirname "$0")"
program=$(realpath "${1:?the program, as ../target/release/reptile}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf seeds
mkdir -p seeds/{checkpoint,weights,tasks,adapted,compressed,arrays,episodes,configuration,sweep,metrics,sweep_state,reproduce,results,online,classes,csv,split,bench}

small=(--set 'model.layers=[{type="dense",units=3,activation="tanh"},{type="dense",units=1}]' --set outer.meta_batch=2
    --set eval.tasks=2 --set eval.every=2 --set eval.validation_tasks=2 --set log.checkpoint_every=2 --set plan=layered)
reptile() { "$program" "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }; }
train() { reptile train "${@:2}" --no-autotune --out "$work/$1"; }

# Runs: sine waves in three ways, and classes of images of 3 × 5 × 5.
train sine --preset sine --iterations 4 "${small[@]}"
train aruba --preset sine --iterations 2 --runs 2 "${small[@]}" --set strategy.kind=aruba --set strategy.zeta=0.1 --set memory.capacity=2
train adam --preset sine --iterations 2 "${small[@]}" --set inner.optimizer=adam --set outer.optimizer=adam --telemetry --log-inner 1
python3 - "$work" <<'P'
import json, struct, sys, zipfile, io
work = sys.argv[1]
def floats(shape, first):
    count = 1
    for size in shape: count *= size
    return shape, 'F32', struct.pack(f'<{count}f', *[first + 0.1 * i for i in range(count)])
def integers(values): return [len(values)], 'I64', struct.pack(f'<{len(values)}q', *values)
def safetensors(path, tensors):
    header, data = {}, b''
    for name, (shape, dtype, bytes) in tensors.items():
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(bytes)]}
        data += bytes
    text = json.dumps(header).encode()
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + data)
def npy(shape, dtype, data):
    text = repr({'descr': {'F32': '<f4', 'I64': '<i8'}[dtype], 'fortran_order': False, 'shape': tuple(shape)}).encode()
    text += b' ' * (-(len(text) + 11) % 64) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text + data
safetensors(f'{work}/tasks.safetensors', {'support_x': floats([2, 4, 1], 0), 'support_y': floats([2, 4, 1], 1),
    'query_x': floats([2, 3, 1], 0), 'query_y': floats([2, 3, 1], 1)})
for name in 'ab':
    safetensors(f'{work}/{name}.safetensors', {'support_x': floats([1, 4, 1], ord(name) - 97), 'support_y': floats([1, 4, 1], 1)})
examples = {'x': floats([24, 3, 5, 5], 0), 'y': integers([i // 3 for i in range(24)])}
safetensors('seeds/arrays/examples.safetensors', examples)
with zipfile.ZipFile('seeds/arrays/examples.npz', 'w', zipfile.ZIP_DEFLATED) as npz:
    for name, array in examples.items(): npz.writestr(f'{name}.npy', npy(*array))
open('seeds/arrays/x.npy', 'wb').write(npy(*examples['x']))
open('seeds/labels.npy', 'wb').write(npy(*examples['y']))
P
cp seeds/arrays/examples.npz "$work/examples.npz"
cat >"$work/classes.toml" <<'T'
iterations = 2
[model]
input = [3, 5, 5]
loss = "cross-entropy"
layers = [{ type = "conv2d", filters = 2, kernel = 3 }, { type = "batch-norm" }, { type = "dense", units = 2 }]
[tasks]
kind = "arrays"
data = "examples.npz"
parts = [0.5, 0.25, 0.25]
way = 2
shots = 1
queries = 1
train_shots = 2
[inner]
optimizer = "sgd"
rate = 0.1
batch = 2
steps = 2
[outer]
rate = 0.1
meta_batch = 2
[eval]
tasks = 2
steps = 2
batch = 2
T
train classes "$work/classes.toml"

last() { ls "$work/$1"/checkpoints/0*.safetensors | tail -1; }
for run in sine aruba adam classes; do
    cp "$(last $run)" "seeds/checkpoint/$run.safetensors"
    cp "$work/$run/metrics.jsonl" "seeds/metrics/$run.jsonl"
    grep -v '^data = ' "$work/$run/config.toml" >"seeds/configuration/$run.toml"
done
sed -i 's/^kind = "arrays"/&\ndata = "examples.npz"/' seeds/configuration/classes.toml
cp "$(last sine)" seeds/weights/sine.safetensors
cp "$work/classes/split.json" seeds/split/arrays.json
cp "$work"/{tasks,a}.safetensors seeds/tasks/

reptile adapt "$work/sine" --tasks "$work/tasks.safetensors" --out "$work/adapted.safetensors"
reptile adapt "$work/classes" --test-tasks 2 --out "$work/test.safetensors"
cp "$work"/{adapted,test}.safetensors seeds/adapted/
for codec in f16 int8 int4 1bit topk:0.3 replay; do
    tasks=()
    [ $codec = replay ] && tasks=(--tasks "$work/tasks.safetensors")
    reptile compress "$work/adapted.safetensors" --base "$work/sine" --codec $codec "${tasks[@]}" --out "seeds/compressed/${codec%:*}.safetensors"
done
reptile compress "$work/test.safetensors" --base "$work/classes" --codec int8 --out seeds/compressed/classes.safetensors

printf 'preset = "sine"\nset = ["iterations=4", "eval.validation_tasks=2", "plan=layered"]\nseeds = 2\nsearch = "halving"\nsamples = 4\nseed = 3\nfirst = 1\neta = 2\n[values]\ninner.rate = { log = [0.01, 0.02], count = 3 }\nouter.rate = { linear = [0.1, 1.0], count = 2 }\n' >seeds/sweep/halving.toml
printf 'preset = "sine"\nset = ["iterations=2", "model.layers.0.units=3", "model.layers.1.units=3", "eval.validation_tasks=2"]\n[values]\ninner.rate = [0.01, 0.02]\nouter.rate = [0.1]\n' >seeds/sweep/grid.toml
reptile sweep seeds/sweep/grid.toml --out "$work/sweep"
cp "$work/sweep/state.json" seeds/sweep_state/grid.json
reptile reproduce sine --scale 0.0001 --tasks 2 --set 'model.layers.0.units=3' --set model.layers.1.units=3 --out "$work/reproduce"
cp "$work/reproduce/reproduce.json" seeds/reproduce/plan.json
cp "$work/reproduce/sine/reproduce.json" seeds/results/sine.json

"$program" online --preset sine "${small[@]}" --tasks 2000 --meta-steps 1 --samples 1 2 --out "$work/online" >/dev/null 2>&1 &
while ! [ -e "$work/online" ]; do sleep 0.05; done
sleep 0.5
kill -INT $!
wait $! || true
cp "$work/online/state.safetensors" seeds/online/drawn.safetensors
mkdir "$work/files"
cp "$work"/{a,b}.safetensors "$work/files/"

class=images_background/Alpha/character0
printf '[[{"class": "%s0", "support": ["0000_00.png"], "query": ["0000_01.png"]},\n  {"class": "%s1", "support": ["0001_00.png"], "query": ["0001_02.png"]}]]\n' $class $class >seeds/episodes/one.json
printf '# two classes\n%s0\n%s1\n' $class $class >seeds/classes/two.txt
printf 'filename,label\n0.png,a\n1.png,a\n2.png,b\n3.png,b\n' >seeds/csv/train.csv
reptile bench --quick --workload dense --tasks 1 --no-first-result --out "$work/bench.json"
cp "$work/bench.json" seeds/bench/quick.json
du -sh seeds
