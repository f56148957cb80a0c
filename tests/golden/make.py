#!/usr/bin/env python3
"""Makes the golden files beside this script with PyTorch in float64: `python make.py`.

For the paper's two networks, and for one with group-norms and a layer-norm: logits and gradient on the first of five minibatches of ten examples,
and, with a step of Adam (TensorFlow's form) on each, the losses before the steps and the parameters
after the last. Parameters and images are not stored: tests/golden_common makes them by the same
formula. Of a large tensor every 97th number is kept. Biases of convolutions are left out: a
batch-norm follows, so their gradient is zero but for rounding, and Adam makes whole steps of
rounding. For the third network the same with other inner optimisers, and outer ones on given
pseudo-gradients, all of `torch.optim`.

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
NORMS = [
    '{ type = "conv2d", filters = 6, kernel = 3, activation = "linear" }',
    '{ type = "group-norm", groups = 3, activation = "gelu" }',
    '{ type = "conv2d", filters = 8, kernel = 3, stride = 2 }',
    '{ type = "layer-norm", activation = "tanh" }',
    '{ type = "conv2d", filters = 8, kernel = 2 }',
    '{ type = "group-norm", groups = 2, epsilon = 1e-3, activation = "relu" }',
    '{ type = "dense", units = 7 }',
    '{ type = "layer-norm", activation = "sigmoid" }',
]
NETWORKS = {
    "omniglot": ([1, 28, 28], OMNIGLOT),
    "mini_imagenet": ([3, 84, 84], MINI_IMAGENET),
    "norms": ([2, 6, 5], NORMS),
}
# The settings that are not at PyTorch's defaults; for adamw they are the product's.
f32 = lambda value: float(np.float32(value))
INNER = {
    "sgd": lambda p: torch.optim.SGD(p, lr=f32(0.05)),
    "momentum": lambda p: torch.optim.SGD(p, lr=f32(0.02), momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=f32(0.02), momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=f32(1e-3), alpha=0.99, eps=1e-4),
    "adamw": lambda p: torch.optim.AdamW(p, lr=f32(1e-3), betas=(0.9, 0.999), eps=1e-4, weight_decay=0.3),
}
OUTER = {
    "momentum": lambda p: torch.optim.SGD(p, lr=f32(0.1), momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=f32(0.1), momentum=0.9, nesterov=True),
}


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


def started(shape, layers, dtype):
    """A network at its start, with the names of its parameters."""
    dense = f'{{ type = "dense", units = {CLASSES} }}'
    network = build(tomllib.loads(f"input = {shape}\nlayers = [{', '.join(layers + [dense])}]"))
    names, shapes = zip(*((name, p.shape) for name, p in network.named_parameters()))
    start = [parameter(seed, *tensor) for seed, tensor in enumerate(zip(names, shapes))]
    network.load_state_dict(dict(zip(names, start)))
    return network.to(dtype), names


def inner(name, shape, layers, dtype):
    """The losses before each step of an optimiser, and the parameters after the last."""
    network, names = started(shape, layers, dtype)
    optimizer, losses = INNER[name](network.parameters()), []
    for step in range(STEPS):
        optimizer.zero_grad()
        losses.append(F.cross_entropy(network(inputs(step, shape).to(dtype)), torch.arange(BATCH) % CLASSES))
        losses[-1].backward()
        optimizer.step()
    return {f"{name}/losses": kept(torch.stack(losses))} | named(name, names, network.parameters())


def outer(name, dtype):
    """Where three steps on the pseudo-gradients -Δ end."""
    theta = torch.tensor(noise(0, (50,)).astype(np.float32)).to(dtype).requires_grad_()
    optimizer = OUTER[name]([theta])
    for step in range(3):
        theta.grad = -torch.tensor(noise(1 + step, (50,))).to(dtype)
        optimizer.step()
    return {f"outer/{name}": kept(theta)}


def golden(shape, layers, dtype):
    """The tensors of a golden file."""
    network, names = started(shape, layers, dtype)
    parameters = list(network.parameters())
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
    out |= named("adam", names, parameters)
    if layers == NORMS:
        for name in INNER:
            out |= inner(name, shape, layers, dtype)
        for name in OUTER:
            out |= outer(name, dtype)
    return out


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
