#!/usr/bin/env python3
"""Makes the golden files beside this script with PyTorch in float64: `python make.py`.

For the paper's two networks: logits and gradient on the first of five minibatches of ten examples,
and, with a step of Adam (TensorFlow's form) on each, the losses before the steps and the parameters
after the last. Parameters and images are not stored: tests/golden_common makes them by the same
formula. Of a large tensor every 97th number is kept. Biases of convolutions are left out: a
batch-norm follows, so their gradient is zero but for rounding, and Adam makes whole steps of
rounding.

`python make.py --float32` prints how far PyTorch in float32 is from this.
"""

import pathlib
import sys
import tomllib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent.parent / "examples"))
from torch_checkpoint import build  # noqa: E402

STEPS, BATCH, CLASSES = 5, 10, 5
# A tensor of more numbers than this keeps some of them.
WHOLE, EVERY = 2000, 97
# As a device holds them.
RATE, BETA2, EPSILON = (float(np.float32(value)) for value in (1e-3, 0.999, 1e-8))

OMNIGLOT = 4 * [
    '{ type = "conv2d", filters = 64, kernel = 3, stride = 2 }',
    '{ type = "batch-norm", activation = "relu" }',
]
MINI_IMAGENET = 4 * [
    '{ type = "conv2d", filters = 32, kernel = 3 }',
    '{ type = "batch-norm" }',
    '{ type = "max-pool", size = 2 }',
    '{ type = "activation", function = "relu" }',
]
NETWORKS = {"omniglot": ([1, 28, 28], OMNIGLOT), "mini_imagenet": ([3, 84, 84], MINI_IMAGENET)}


def noise(seed, shape):
    """Multiples of 2^-23 in [-1, 1): the 24 high bits of an integer hash (lowbias32 of Wellons) of
    index + 2^24 seed."""
    with np.errstate(over="ignore"):
        h = np.arange(np.prod(shape), dtype=np.uint32) + np.uint32(seed << 24)
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x7FEB352D)
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x846CA68B)
        h ^= h >> np.uint32(16)
    return ((h >> np.uint32(8)) / 2.0**23 - 1.0).reshape(shape)


def parameter(seed, name, shape):
    """Weights uniform in Glorot's bounds, scales near 1, biases and shifts near 0; in float32."""
    values = noise(seed, shape)
    if name.endswith("bias"):
        values = 0.1 * values
    elif name.startswith("norm"):
        values = 1.0 + 0.1 * values
    else:
        fans = np.prod(shape[1:]) + shape[0] * np.prod(shape[2:])
        values = np.sqrt(6.0 / fans) * values
    return torch.tensor(values.astype(np.float32))


def inputs(step, shape):
    """The examples of a minibatch, in [0, 1)."""
    return torch.tensor((noise(128 + step, (BATCH, *shape)) + 1.0) / 2.0)


def kept(tensor):
    flat = tensor.detach().numpy().ravel()
    return flat.astype(np.float32)[:: EVERY if flat.size > WHOLE else 1].copy()


def named(what, names, tensors):
    """The tensors of a golden file that belong to parameters."""
    left_out = lambda name: name.startswith("conv") and name.endswith("bias")
    return {f"{what}/{n}": kept(t) for n, t in zip(names, tensors) if not left_out(n)}


def adam(step, parameters, gradients, second):
    """A step of Adam without a first moment."""
    rate = RATE * (1.0 - BETA2 ** (step + 1)) ** 0.5
    for p, v, g in zip(parameters, second, gradients):
        v.mul_(BETA2).add_((1.0 - BETA2) * g * g)
        p.sub_(rate * g / (v.sqrt() + EPSILON))


def golden(shape, layers, dtype):
    """The tensors of a golden file."""
    dense = f'{{ type = "dense", units = {CLASSES} }}'
    network = build(tomllib.loads(f"input = {shape}\nlayers = [{', '.join(layers + [dense])}]"))
    names, shapes = zip(*((name, p.shape) for name, p in network.named_parameters()))
    start = [parameter(seed, *tensor) for seed, tensor in enumerate(zip(names, shapes))]
    network.load_state_dict(dict(zip(names, start)))
    parameters = list(network.to(dtype).parameters())
    second = [torch.zeros_like(p) for p in parameters]
    labels = torch.arange(BATCH) % CLASSES
    out, losses = {}, []
    for step in range(STEPS):
        logits = network(inputs(step, shape).to(dtype))
        losses.append(F.cross_entropy(logits, labels))
        gradients = torch.autograd.grad(losses[-1], parameters)
        if step == 0:
            out["logits"] = kept(logits)
            out |= named("gradient", names, gradients)
        with torch.no_grad():
            adam(step, parameters, gradients, second)
    out["losses"] = kept(torch.stack(losses))
    return out | named("adam", names, parameters)


def difference(a, b):
    """The largest difference as a share of the largest number."""
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)


if __name__ == "__main__":
    for name, network in NETWORKS.items():
        tensors = golden(*network, torch.float64)
        if "--float32" in sys.argv:
            for key, value in golden(*network, torch.float32).items():
                print(f"{name} {key}: {difference(value, tensors[key]):.1e}")
        else:
            save_file(tensors, HERE / f"{name}.safetensors")
