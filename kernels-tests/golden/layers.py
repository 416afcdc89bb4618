"""Writes, with PyTorch in float64, layers as generative networks use them, what they make of an input three times in training,
the third time's gradients, what they keep, and what they make of the input in evaluation (layers.safetensors). Before the
evaluation, the weights under spectral norm move to `eval.weight_orig`, so that it shows which u and v it takes.

Names and layouts are those of PyTorch's state dicts; images are channels-last here. Gradients are those of the sum of the cubed
outputs. What is kept after three steps is under `after.`. Run in this folder: python3 layers.py
"""

import warnings

import torch
from safetensors.torch import save_file
from torch import nn

warnings.simplefilter("ignore", FutureWarning)
torch.set_default_dtype(torch.float64)
torch.manual_seed(11)
moves = torch.Generator().manual_seed(12)
spectral = nn.utils.spectral_norm
layers = {
    "bn1": (nn.BatchNorm1d(5), (7, 5)),
    "bn2": (nn.BatchNorm2d(4), (3, 4, 5, 2)),
    "ln": (nn.LayerNorm([3, 4, 2]), (2, 3, 4, 2)),
    "in": (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 3)),
    "up": (nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=False), (2, 3, 3, 2)),
    "out": (nn.ConvTranspose2d(3, 2, 3, 2, 1, output_padding=1), (2, 3, 2, 3)),
    "first": (nn.ConvTranspose2d(5, 4, 4, 1, 0, bias=False), (3, 5, 1, 1)),
    "last": (nn.Conv2d(3, 1, 4, 1, 0, bias=False), (3, 3, 4, 4)),
    "sn_linear": (spectral(nn.Linear(5, 3)), (4, 5)),
    "sn_conv": (spectral(nn.Conv2d(2, 4, (3, 2), padding=(1, 0), bias=False)), (2, 2, 4, 5)),
    "sn_up": (spectral(nn.ConvTranspose2d(3, 2, 4, 2, 1)), (2, 3, 3, 2)),
    "avg": (nn.AvgPool2d(3, 2, 1), (2, 3, 5, 6)),
    "max": (nn.MaxPool2d(3, 2, 1), (2, 3, 5, 6)),
    "nearest": (nn.Upsample(scale_factor=2, mode="nearest"), (1, 3, 3, 2)),
    "bilinear": (nn.Upsample(scale_factor=3, mode="bilinear", align_corners=False), (1, 3, 3, 2)),
}
last = lambda t: t.movedim(1, -1) if t.dim() == 4 else t
out = {}
for name, (layer, shape) in layers.items():
    for parameter in layer.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    x = torch.randn(shape) * 0.7 + 0.3
    if name == "max":
        x = (2 * x).round()  # ties
    if name.startswith("bn"):
        layer.running_mean.copy_(torch.randn(layer.num_features))
        layer.running_var.copy_(torch.rand(layer.num_features) + 0.5)
        layer.num_batches_tracked += 5
    x.requires_grad_()
    tensors = {key: value.clone() for key, value in layer.state_dict().items()}
    for _ in range(3):
        y = layer(x)
    y.pow(3).sum().backward()
    tensors |= {"x": last(x), "y": last(y), "x.grad": last(x.grad), **{f"{n}.grad": p.grad for n, p in layer.named_parameters()}}
    after = {n: b.clone() for n, b in layer.named_buffers()}
    if name.startswith("sn"):  # An optimizer moves the weight between the last iteration and evaluation.
        layer.weight_orig.data += 0.3 * torch.randn(layer.weight_orig.shape, generator=moves)
        tensors["eval.weight_orig"] = layer.weight_orig
    tensors["eval"] = last(layer.eval()(x))
    out |= {f"{name}.{part}": tensor.detach().clone(memory_format=torch.contiguous_format) for part, tensor in tensors.items()}
    out |= {f"after.{name}.{part}": tensor.detach().clone() for part, tensor in after.items()}
save_file(out, "layers.safetensors")
print({name: tuple(tensor.shape) for name, tensor in out.items()})
