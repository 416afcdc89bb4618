"""Writes pixelcnn_trajectory.txt and pixelcnn_weights.safetensors with PyTorch: the PixelCNN of src/models/pixelcnn.rs in float64.

Masked convolutions are the usual ones: the whole kernel times a mask. The weights file holds whole kernels, also where the mask is
zero. Images come from an integer hash that kernels-tests/models.rs computes too. Run in this folder: python3 pixelcnn_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(3)
MASK = 0xFFFFFFFF
RATE = float(np.float32(1e-3))  # the engine's learning rate is an f32


def bits(salt, n):
    """24 bits per element: lowbias32 of element and salt."""
    x = (np.arange(n, dtype=np.uint64) * 0x9E3779B9 + salt * 0x85EBCA6B) & MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & MASK
    x ^= x >> 16
    return x >> 8


def picture(salt, n, h, w):
    """Black or white."""
    return torch.tensor((bits(salt, n * h * w) >= 2**23).astype(np.float64)).reshape(n, 1, h, w)


class Masked(nn.Conv2d):
    def __init__(self, kind, c, o, size):
        super().__init__(c, o, size, padding=size // 2)
        mask = torch.ones(size * size)
        mask[size * size // 2 + (kind == "B") :] = 0
        self.mask = mask.reshape(size, size)

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


def main():
    model = PixelCNN(6, 2, 8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.float())
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, "pixelcnn_weights.safetensors")
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(10):
        x = picture(1000 + step, 3, 7, 9)
        loss = F.binary_cross_entropy_with_logits(model(x), x, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with open("pixelcnn_trajectory.txt", "w") as f:
        f.write(" ".join(map(repr, losses)) + "\n")


main()
