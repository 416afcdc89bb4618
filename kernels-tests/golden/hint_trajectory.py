"""Writes, with PyTorch in float64, losses and weights of src/models/pixelcnn.rs, gated_pixelcnn.rs (conditioned on classes, too) and
pixelrnn.rs (Row LSTM) with the network over hints of src/models/hint.rs: hinted_MODEL_trajectory.txt, hinted_MODEL_weights.safetensors.

Masked convolutions are the whole kernel times a mask. Pictures and hints come from an integer hash that kernels-tests/golden.rs computes
too. Run in this folder: python3 hint_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
torch.manual_seed(19)
RATE = float(np.float32(1e-3))  # the engine's learning rate is an f32
N, H, W, C = 3, 7, 9, 2


def picture(salt):
    """Black or white."""
    return torch.tensor((bits(salt, N * H * W) >= 2**23).astype(np.float64)).reshape(N, 1, H, W)


def hint(salt):
    """In [0, 1), channels last in the hash's order."""
    return torch.tensor(bits(salt, N * H * W * C) / 2.0**24).reshape(N, H, W, C).permute(0, 3, 1, 2)


class Masked(nn.Conv2d):
    """Sees raster positions before the centre (A), and it (B); or, of these, those above, or beside it."""

    def __init__(self, kind, c, o, size, part="all"):
        super().__init__(c, o, size, padding=[n // 2 for n in size])
        centre = size[0] * size[1] // 2
        mask = torch.ones(size[0] * size[1])
        mask[centre + (kind == "B") :] = 0
        self.mask = mask.reshape(size)
        if part == "above":
            self.mask[:] = 0
            self.mask[: size[0] // 2 + (kind == "B")] = 1
        if part == "beside":
            self.mask[: size[0] // 2] = 0

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class Hint(nn.Module):
    def __init__(self, f, layers, features):
        super().__init__()
        self.first = nn.Conv2d(C, f, 3, padding=1)
        window = lambda dilation: nn.Conv2d(f, f, 3, padding=dilation, dilation=dilation)
        self.layers = nn.ModuleList([window(2 ** (i % 4)) for i in range(layers)])
        self.into = nn.ModuleList([nn.Conv2d(f, n, 1, bias=False) for n in features])

    def forward(self, h):
        s = self.first(h)
        for layer in self.layers:
            s = s + layer(F.relu(s))
        return [into(F.relu(s)) for into in self.into]


def head(layers, x):
    for layer in layers:
        x = layer(F.relu(x))
    return x


class PixelCNN(nn.Module):
    def __init__(self, h, blocks, top):
        super().__init__()
        self.first = Masked("A", 1, 2 * h, (7, 7))
        block = lambda: nn.ModuleList([nn.Conv2d(2 * h, h, 1), Masked("B", h, h, (3, 3)), nn.Conv2d(h, 2 * h, 1)])
        self.blocks = nn.ModuleList([block() for _ in range(blocks)])
        self.head = nn.ModuleList([nn.Conv2d(2 * h, top, 1), nn.Conv2d(top, 1, 1)])
        self.hint = Hint(5, 2, [2 * h] * (blocks + 1))

    def forward(self, x, hint):
        by = self.hint(hint)
        x = self.first(x) + by[0]
        for i, block in enumerate(self.blocks):
            x = x + head(block, x) + by[i + 1]
        return head(self.head, x)


class GatedLayer(nn.Module):
    def __init__(self, c, p, size, classes):
        super().__init__()
        kind = "A" if c == 1 else "B"
        self.vertical = Masked(kind, c, 2 * p, (size, size), "above")
        self.horizontal = Masked(kind, c, 2 * p, (size, size), "beside")
        self.down = nn.Conv2d(2 * p, 2 * p, 1)
        self.out = nn.Conv2d(p, p, 1)
        self.vertical_class = nn.Linear(classes, 2 * p)
        self.horizontal_class = nn.Linear(classes, 2 * p)
        self.residual = c != 1

    def forward(self, v, h, one_hot, by):
        gate = lambda x: torch.tanh(x.chunk(2, 1)[0]) * torch.sigmoid(x.chunk(2, 1)[1])
        shift = lambda x, layer: x + layer(one_hot)[:, :, None, None]
        seen = self.vertical(v)
        out = self.out(gate(shift(self.horizontal(h) + self.down(seen), self.horizontal_class) + by[1]))
        return gate(shift(seen, self.vertical_class) + by[0]), h + out if self.residual else out


class Gated(nn.Module):
    def __init__(self, p, layers, size, top, classes):
        super().__init__()
        self.layers = nn.ModuleList([GatedLayer(p if i else 1, p, size, classes) for i in range(layers)])
        self.head = nn.ModuleList([nn.Conv2d(p, top, 1), nn.Conv2d(top, 1, 1)])
        self.hint = Hint(4, 1, [2 * p] * (2 * layers))
        self.classes = classes

    def forward(self, x, hint):
        one_hot = F.one_hot(torch.arange(x.shape[0]) % self.classes, self.classes).double()
        v, h, by = x, x, self.hint(hint)
        for i, layer in enumerate(self.layers):
            v, h = layer(v, h, one_hot, by[2 * i : 2 * i + 2])
        return head(self.head, h)


class RowLayer(nn.Module):
    """A residual Row LSTM layer: a 1 x 3 convolution over the states of the row above."""

    def __init__(self, h):
        super().__init__()
        self.lstm = nn.Module()
        self.lstm.input = Masked("B", 2 * h, 4 * h, (1, 3))
        self.lstm.state = nn.Conv2d(h, 4 * h, (1, 3), padding=(0, 1), bias=False)
        self.up = nn.Conv2d(h, 2 * h, 1)
        self.h = h

    def forward(self, x):
        gates = self.lstm.input(x)
        h = c = gates.new_zeros(gates.shape[0], self.h, 1, gates.shape[3])
        rows = []
        for r in range(gates.shape[2]):
            o, f, i, g = (gates[:, :, r : r + 1] + self.lstm.state(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            rows.append(h)
        return x + self.up(torch.cat(rows, 2))


class PixelRNN(nn.Module):
    def __init__(self, h, layers, top):
        super().__init__()
        self.first = Masked("A", 1, 2 * h, (7, 7))
        self.layers = nn.ModuleList([RowLayer(h) for _ in range(layers)])
        self.head = nn.ModuleList([nn.Conv2d(2 * h, top, 1), nn.Conv2d(top, 1, 1)])
        self.hint = Hint(4, 2, [2 * h] * (layers + 1))

    def forward(self, x, hint):
        by = self.hint(hint)
        x = self.first(x) + by[0]
        for i, layer in enumerate(self.layers):
            x = layer(x) + by[i + 1]
        return head(self.head, x)


for name, model in [("pixelcnn", PixelCNN(6, 2, 8)), ("gated", Gated(5, 2, 3, 6, 2)), ("row", PixelRNN(5, 2, 6))]:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.float())
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, f"hinted_{name}_weights.safetensors")
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(10):
        x = picture(1000 + step)
        loss = F.binary_cross_entropy_with_logits(model(x, hint(2000 + step)), x, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with open(f"hinted_{name}_trajectory.txt", "w") as f:
        f.write(" ".join(map(repr, losses)) + "\n")
