"""Writes, with PyTorch in float64, losses and weights of src/models/pixelrnn.rs with both cells: the Row LSTM
(row_trajectory.txt, row_weights.safetensors) and the Diagonal BiLSTM (diagonal_trajectory.txt, diagonal_weights.safetensors).

The recurrences are plain loops over rows and pixels, and masks are the whole kernel times a mask. Images come from an integer hash
that kernels-tests/golden.rs computes too. Run in this folder: python3 pixelrnn_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
torch.manual_seed(6)
RATE = float(np.float32(3e-3))  # the engine's learning rate is an f32


def picture(salt, n, h, w):
    """Black or white."""
    return torch.tensor((bits(salt, n * h * w) >= 2**23).astype(np.float64)).reshape(n, 1, h, w)


class Masked(nn.Conv2d):
    """Sees raster positions before the centre (A), and it (B)."""

    def __init__(self, kind, c, o, size):
        super().__init__(c, o, size, padding=[n // 2 for n in size])
        mask = torch.ones(size[0] * size[1])
        mask[size[0] * size[1] // 2 + (kind == "B") :] = 0
        self.mask = mask.reshape(size)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


def cell(gates, c):
    o, f, i, g = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class Row(nn.Module):
    """§3.1: a 1 x 3 convolution over the states of the row above."""

    def __init__(self, c, h):
        super().__init__()
        self.input = Masked("B", c, 4 * h, (1, 3))
        self.state = nn.Conv2d(h, 4 * h, (1, 3), padding=(0, 1), bias=False)
        self.h = h

    def forward(self, x):
        gates = self.input(x)
        h = c = gates.new_zeros(gates.shape[0], self.h, 1, gates.shape[3])
        rows = []
        for r in range(gates.shape[2]):
            h, c = cell(gates[:, :, r : r + 1] + self.state(h), c)
            rows.append(h)
        return torch.cat(rows, 2)


class Diagonal(nn.Module):
    """§3.2: a state sees the one above (first row of the 2 x 1 kernel) and the one beside it, whose cell goes on."""

    def __init__(self, c, h, mirrored):
        super().__init__()
        self.input = nn.Conv2d(c, 4 * h, 1)
        self.state = nn.Conv2d(h, 4 * h, (2, 1), bias=False)
        self.h, self.mirrored = h, mirrored

    def forward(self, x):
        flip = lambda t: t.flip(3) if self.mirrored else t
        gates = flip(self.input(x))
        n, _, height, width = gates.shape
        zeros = gates.new_zeros(n, self.h)
        above, beside = self.state.weight[:, :, 0, 0], self.state.weight[:, :, 1, 0]
        before = [zeros] * width
        rows = []
        for r in range(height):
            h = c = zeros
            row = []
            for j in range(width):
                h, c = cell(gates[:, :, r, j] + before[j] @ above.T + h @ beside.T, c)
                row.append(h)
            before = row
            rows.append(torch.stack(row, 2))
        return flip(torch.stack(rows, 2))


class Layer(nn.Module):
    def __init__(self, kind, h):
        super().__init__()
        if kind == "row":
            self.lstm = Row(2 * h, h)
        else:
            self.left, self.right = Diagonal(2 * h, h, False), Diagonal(2 * h, h, True)
        self.up = nn.Conv2d(h, 2 * h, 1)
        self.kind = kind

    def forward(self, x):
        if self.kind == "row":
            return x + self.up(self.lstm(x))
        down = F.pad(self.right(x)[:, :, :-1], (0, 0, 1, 0))
        return x + self.up(self.left(x) + down)


class PixelRNN(nn.Module):
    def __init__(self, kind, h, layers, head):
        super().__init__()
        self.first = Masked("A", 1, 2 * h, (7, 7))
        self.layers = nn.ModuleList([Layer(kind, h) for _ in range(layers)])
        self.head = nn.ModuleList([nn.Conv2d(2 * h, head, 1), nn.Conv2d(head, 1, 1)])

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        for layer in self.head:
            x = layer(F.relu(x))
        return x


for kind in ["row", "diagonal"]:
    model = PixelRNN(kind, 5, 2, 6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.float())
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, f"{kind}_weights.safetensors")
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(10):
        x = picture(1000 + step, 3, 6, 7)
        loss = F.binary_cross_entropy_with_logits(model(x), x, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with open(f"{kind}_trajectory.txt", "w") as f:
        f.write(" ".join(map(repr, losses)) + "\n")
