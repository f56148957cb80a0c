#!/usr/bin/env python3
"""A checkpoint of `reptile` in PyTorch.

Logits of the tensor `x` [N, ...input] of a safetensors file, taken as one batch:

    python torch_checkpoint.py CHECKPOINT --inputs X.safetensors

PyTorch's logits beside those that `reptile adapt CHECKPOINT --tasks T.safetensors --out
A.safetensors` wrote:

    python torch_checkpoint.py CHECKPOINT --tasks T.safetensors --adapted A.safetensors

CHECKPOINT is a file, such as RUN/checkpoints/0000001000.safetensors. Needs Python 3.11, PyTorch 2
and safetensors.
"""

import argparse
import collections
import sys
import tomllib

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "linear": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}


class Conv(nn.Conv2d):
    """A convolution of an image with zeros around it: [left, right, top, bottom] of them."""

    def __init__(self, channels, filters, kernel, stride, around):
        super().__init__(channels, filters, kernel, stride)
        self.around = around

    def forward(self, x):
        return super().forward(F.pad(x, self.around))


class Pool(nn.Module):
    """The largest or the mean number of each window; padding does not count."""

    def __init__(self, largest, size, stride, around):
        super().__init__()
        self.largest, self.size, self.stride, self.around = largest, size, stride, around

    def forward(self, x):
        if self.largest:
            return F.max_pool2d(F.pad(x, self.around, value=-torch.inf), self.size, self.stride)
        mean = lambda x: F.avg_pool2d(F.pad(x, self.around), self.size, self.stride)
        return mean(x) / mean(torch.ones_like(x))


def around(padding, kernel, stride, size):
    """Rows and columns of padding in the order of F.pad: left, right, top, bottom."""
    if padding == "same":  # TensorFlow's: the odd row or column comes last
        outputs = [-(-size[axis] // stride[axis]) for axis in (0, 1)]
        total = [max((outputs[a] - 1) * stride[a] + kernel[a] - size[a], 0) for a in (0, 1)]
        (top, bottom), (left, right) = [(n // 2, n - n // 2) for n in total]
    elif padding == "valid":
        top, bottom, left, right = 4 * [0]
    else:
        top, bottom, left, right = 4 * [padding] if isinstance(padding, int) else padding
    return [left, right, top, bottom]


def sides(extent):
    """[height, width] of a square or a rectangle."""
    return 2 * [extent] if isinstance(extent, int) else extent


def build(model):
    """The network of a configuration's [model], its tensors named as in the checkpoint."""
    network, counts = nn.Sequential(), collections.Counter()
    x = torch.zeros(2, *model["input"])  # goes through the layers and shows their shapes

    def add(kind, module):
        nonlocal x
        counts[kind] += 1
        network.add_module(f"{kind}{counts[kind]}", module)
        x = module(x)

    if x.dim() not in (2, 4):
        add("flatten", nn.Flatten())
    for layer in model["layers"]:
        padding = layer.get("padding", "same")
        match layer["type"]:
            case "dense":
                if x.dim() > 2:
                    add("flatten", nn.Flatten())
                add("dense", nn.Linear(x.shape[1], layer["units"]))
            case "conv2d":
                kernel, stride = sides(layer["kernel"]), sides(layer.get("stride", 1))
                border = around(padding, kernel, stride, x.shape[2:])
                add("conv", Conv(x.shape[1], layer["filters"], kernel, stride, border))
            case "batch-norm":
                norm = nn.BatchNorm2d if x.dim() == 4 else nn.BatchNorm1d
                epsilon = layer.get("epsilon", 1e-3)
                # The statistics of the batch at hand, in evaluation too.
                add("norm", norm(x.shape[1], eps=epsilon, track_running_stats=False))
            case "layer-norm":
                add("norm", nn.LayerNorm(x.shape[1:], eps=layer.get("epsilon", 1e-5)))
            case "group-norm":
                epsilon = layer.get("epsilon", 1e-5)
                add("norm", nn.GroupNorm(layer["groups"], x.shape[1], eps=epsilon))
            case "max-pool" | "average-pool":
                size = sides(layer["size"])
                stride = sides(layer.get("stride", size))
                border = around(padding, size, stride, x.shape[2:])
                add("pool", Pool(layer["type"] == "max-pool", size, stride, border))
            case "global-pool":
                add("pool", nn.AdaptiveAvgPool2d(1))
                add("flatten", nn.Flatten())
            case "flatten":
                pass  # dense layers flatten by themselves
            case "activation":
                add("activation", ACTIVATIONS[layer["function"]]())
        if "activation" in layer:
            add("activation", ACTIVATIONS[layer["activation"]]())
    return network


def read(path):
    """The tensors of a safetensors file, floats in float64, and its metadata."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        wide = {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}
        return wide, file.metadata() or {}


def query_logits(network, parameters, support, query, together):
    """Logits of a task's queries. Without batch-norm all ways agree. With it the queries share a
    batch if `together`; otherwise each is predicted in a batch of its own with the support set."""
    logits = lambda x: torch.func.functional_call(network, parameters, (x,))
    if together:
        return logits(query)
    return torch.stack([logits(torch.cat([support, one[None]]))[-1] for one in query])


def compare(network, tasks, adapted, together):
    """Prints the largest difference of each task's logits; returns whether all are small."""
    if "query_output" not in adapted:
        sys.exit("no query_output: give `reptile adapt` tasks with query_x")
    good = True
    for task, wanted in enumerate(adapted["query_output"]):
        own = {name: adapted[name][task] for name in network.state_dict()}
        got = query_logits(network, own, tasks["support_x"][task], tasks["query_x"][task], together)
        difference = (got - wanted).abs().max().item()
        good &= difference <= 1e-4 * max(1.0, wanted.abs().max().item())
        print(f"task {task}: largest difference {difference:.1e}")
    return good


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("--run", type=int, default=0, help="which of the checkpoint's runs")
    parser.add_argument("--inputs", help="safetensors file with x [N, ...input]")
    parser.add_argument("--tasks", help="what `reptile adapt` was given")
    parser.add_argument("--adapted", help="what `reptile adapt` wrote")
    parser.add_argument(
        "--transductive",
        action="store_true",
        help="a task's queries share one batch (as the run's eval.transductive says by default)",
    )
    args = parser.parse_args()
    if not (args.inputs or (args.tasks and args.adapted)):
        parser.error("give --inputs, or --tasks and --adapted")
    tensors, metadata = read(args.checkpoint)
    config = tomllib.loads(metadata["config"])
    network = build(config["model"]).double()
    own = {name: tensors[name] for name in network.state_dict()}
    if int(metadata["runs"]) > 1:
        own = {name: tensor[args.run] for name, tensor in own.items()}
    network.load_state_dict(own)
    if args.inputs:
        print(network(read(args.inputs)[0]["x"]))
    else:
        together = args.transductive or config["eval"].get("transductive", False)
        if not compare(network, read(args.tasks)[0], read(args.adapted)[0], together):
            sys.exit("PyTorch and reptile differ")


if __name__ == "__main__":
    main()
