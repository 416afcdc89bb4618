"""Writes, with PyTorch in float64, weight-normalised layers, what they make of an input and its gradients (weight_norm.safetensors).

Names and layouts are those of torch.nn.utils.weight_norm; inputs and outputs of the convolution are channels-last here. Gradients
are those of the sum of the squared outputs. Run in this folder: python3 weight_norm.py
"""

import warnings

import torch
from safetensors.torch import save_file
from torch import nn

warnings.simplefilter("ignore", FutureWarning)
torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
layers = {"linear": nn.Linear(5, 3), "conv": nn.Conv2d(2, 3, (3, 2), padding=(1, 0))}
inputs = {"linear": torch.randn(4, 5), "conv": torch.randn(2, 2, 4, 5)}
out = {}
for name, layer in layers.items():
    layer = nn.utils.weight_norm(layer)
    # Lengths that are not the directions' own.
    layer.weight_g.data *= torch.linspace(-1, 2, 3).reshape(layer.weight_g.shape)
    x = inputs[name]
    y = layer(x)
    y.square().sum().backward()
    last = lambda t: t.movedim(1, -1) if t.dim() == 4 else t
    tensors = {"x": last(x), "y": last(y), **layer.state_dict(), **{f"{n}.grad": p.grad for n, p in layer.named_parameters()}}
    out |= {f"{name}.{part}": tensor.detach().contiguous() for part, tensor in tensors.items()}
save_file(out, "weight_norm.safetensors")
print({name: tuple(tensor.shape) for name, tensor in out.items()})
