"""Writes, with PyTorch in float64, losses and weights of src/models/pixelcnn.rs (pixelcnn_trajectory.txt, pixelcnn_weights.safetensors)
and of src/models/gated_pixelcnn.rs, conditioned on classes (gated_trajectory.txt, gated_weights.safetensors).

Masked convolutions are the usual ones: the whole kernel times a mask. The weights file holds whole kernels, also where the mask is
zero. Images come from an integer hash that kernels-tests/golden.rs computes too. Run in this folder: python3 pixelcnn_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
torch.manual_seed(3)
RATE = float(np.float32(1e-3))  # the engine's learning rate is an f32


def picture(salt, n, h, w):
    """Black or white."""
    return torch.tensor((bits(salt, n * h * w) >= 2**23).astype(np.float64)).reshape(n, 1, h, w)


class Masked(nn.Conv2d):
    """Sees raster positions before the centre (A), and it (B); or, of these, those above, or beside it."""

    def __init__(self, kind, c, o, size, part="all"):
        super().__init__(c, o, size, padding=size // 2)
        mask = torch.ones(size * size)
        mask[size * size // 2 + (kind == "B") :] = 0
        self.mask = mask.reshape(size, size)
        middle = size // 2
        if part == "above":
            self.mask[:] = 0
            self.mask[: middle + (kind == "B")] = 1
        if part == "beside":
            self.mask[:middle] = 0

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PixelCNN(nn.Module):
    def __init__(self, h, blocks, head):
        super().__init__()
        self.first = Masked("A", 1, 2 * h, 7)
        block = lambda: nn.ModuleList([nn.Conv2d(2 * h, h, 1), Masked("B", h, h, 3), nn.Conv2d(h, 2 * h, 1)])
        self.blocks = nn.ModuleList([block() for _ in range(blocks)])
        self.head = nn.ModuleList([nn.Conv2d(2 * h, head, 1), nn.Conv2d(head, 1, 1)])

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            y = x
            for layer in block:
                y = layer(F.relu(y))
            x = x + y
        for layer in self.head:
            x = layer(F.relu(x))
        return x


class GatedLayer(nn.Module):
    def __init__(self, c, p, size, classes):
        super().__init__()
        kind = "A" if c == 1 else "B"
        self.vertical = Masked(kind, c, 2 * p, size, "above")
        self.horizontal = Masked(kind, c, 2 * p, size, "beside")
        self.down = nn.Conv2d(2 * p, 2 * p, 1)
        self.out = nn.Conv2d(p, p, 1)
        self.vertical_class = nn.Linear(classes, 2 * p)
        self.horizontal_class = nn.Linear(classes, 2 * p)
        self.residual = c != 1

    def forward(self, v, h, one_hot):
        gate = lambda x: torch.tanh(x.chunk(2, 1)[0]) * torch.sigmoid(x.chunk(2, 1)[1])
        shift = lambda x, layer: x + layer(one_hot)[:, :, None, None]
        seen = self.vertical(v)
        out = self.out(gate(shift(self.horizontal(h) + self.down(seen), self.horizontal_class)))
        return gate(shift(seen, self.vertical_class)), h + out if self.residual else out


class Gated(nn.Module):
    def __init__(self, p, layers, size, head, classes):
        super().__init__()
        self.layers = nn.ModuleList([GatedLayer(p if i else 1, p, size, classes) for i in range(layers)])
        self.head = nn.ModuleList([nn.Conv2d(p, head, 1), nn.Conv2d(head, 1, 1)])
        self.classes = classes

    def forward(self, x):
        one_hot = F.one_hot(torch.arange(x.shape[0]) % self.classes, self.classes).double()
        v, h = x, x
        for layer in self.layers:
            v, h = layer(v, h, one_hot)
        for layer in self.head:
            h = layer(F.relu(h))
        return h


def write(model, name):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.float())
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, f"{name}_weights.safetensors")
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(10):
        x = picture(1000 + step, 3, 7, 9)
        loss = F.binary_cross_entropy_with_logits(model(x), x, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with open(f"{name}_trajectory.txt", "w") as f:
        f.write(" ".join(map(repr, losses)) + "\n")


write(PixelCNN(6, 2, 8), "pixelcnn")
write(Gated(5, 3, 5, 6, 2), "gated")
