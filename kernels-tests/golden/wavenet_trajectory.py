"""Writes, with PyTorch in float64, losses and weights of src/models/wavenet.rs: wavenet_trajectory.txt and wavenet_weights.safetensors.

Causal convolutions are nn.Conv1d of width 2 over signals that are padded on the left. Signals come from an integer hash that
kernels-tests/golden.rs computes too. Run in this folder: python3 wavenet_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
RATE = float(np.float32(1e-2))  # the engine's learning rate is an f32
BATCH, LENGTH, CLASSES = 3, 40, 3


def levels(salt, n, length):
    """Sixteen levels of the mu-law's 256."""
    return torch.tensor((bits(salt, n * length) >> 20 << 4).astype(np.int64)).reshape(n, length)


class Layer(nn.Module):
    """Equation 3."""

    def __init__(self, p, skip, dilation, last):
        super().__init__()
        self.gate = nn.Conv1d(p, 2 * p, 2, dilation=dilation)
        setattr(self, "class", nn.Linear(CLASSES, 2 * p))
        self.skip = nn.Conv1d(p, skip, 1)
        self.residual = None if last else nn.Conv1d(p, p, 1)
        self.dilation = dilation

    def forward(self, x, h):
        f, g = (self.gate(F.pad(x, (self.dilation, 0))) + getattr(self, "class")(h)[:, :, None]).chunk(2, 1)
        z = torch.tanh(f) * torch.sigmoid(g)
        return self.skip(z), x if self.residual is None else x + self.residual(z)


class WaveNet(nn.Module):
    def __init__(self, p, skip, head, layers, blocks):
        super().__init__()
        dilations = [2**i for _ in range(blocks) for i in range(layers)]
        self.first = nn.Conv1d(256, p, 2)
        self.layers = nn.ModuleList(Layer(p, skip, d, i + 1 == len(dilations)) for i, d in enumerate(dilations))
        self.head = nn.ModuleList([nn.Conv1d(skip, head, 1), nn.Conv1d(head, 256, 1)])

    def forward(self, x, h):
        # What is padded by two and lacks its last sample is one sample late.
        x = self.first(F.pad(F.one_hot(x, 256).double().transpose(1, 2), (2, 0))[:, :, :-1])
        total = 0
        for layer in self.layers:
            skip, x = layer(x, h)
            total = total + skip
        for layer in self.head:
            total = layer(F.relu(total))
        return total


model = WaveNet(6, 5, 7, 3, 2)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(parameter.float())
state = {name: tensor.float().contiguous() for name, tensor in model.state_dict().items()}
save_file(state, "wavenet_weights.safetensors")
optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
h = torch.eye(CLASSES)[torch.arange(BATCH) % CLASSES]
losses = []
for step in range(10):
    x = levels(1000 + step, BATCH, LENGTH)
    loss = F.cross_entropy(model(x, h), x, reduction="sum")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
with open("wavenet_trajectory.txt", "w") as f:
    f.write(" ".join(map(repr, losses)) + "\n")
