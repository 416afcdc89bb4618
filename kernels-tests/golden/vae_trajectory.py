"""Writes vae_trajectory.txt and vae_weights.safetensors with PyTorch: pytorch/examples' VAE in float64.

Weights, images and noise come from an integer hash that kernels-tests/golden.rs computes too, so that
only losses need to be stored. Run in this folder: python3 vae_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
RATE = float(np.float32(1e-3))  # the engine's learning rate is an f32
LAYERS = ["fc1", "fc21", "fc22", "fc3", "fc4"]


def unit(salt, *shape):
    """[0, 1), exact in f32."""
    return torch.tensor(bits(salt, int(np.prod(shape))) / 2.0**24).reshape(shape)


def noise(salt, *shape):
    """Mean 0, variance 1 and exact in f32: a sum of three uniforms."""
    n = int(np.prod(shape))
    total = sum((bits(salt + i, n) >> 2).astype(np.float64) for i in range(3))
    return torch.tensor((total / 2.0**22 - 1.5) * 2).reshape(shape)


def bound(fan_in):
    """A power of two near 1/sqrt(fan_in), so that products stay exact in f32."""
    return 2.0 ** -np.floor(np.log2(fan_in) / 2)


class VAE(nn.Module):
    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.latent = latent
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, pixels)
        for i, name in enumerate(LAYERS):
            layer = getattr(self, name)
            with torch.no_grad():
                scale = bound(layer.in_features)
                layer.weight.copy_((unit(2 * i + 1, *layer.weight.shape) * 2 - 1) * scale)
                layer.bias.copy_((unit(2 * i + 2, *layer.bias.shape) * 2 - 1) * scale)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def forward(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + eps * torch.exp(0.5 * logvar)
        return self.fc4(F.relu(self.fc3(z))), mu, logvar


def trajectory(pixels, hidden, latent, batch, steps):
    model = VAE(pixels, hidden, latent)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(steps):
        x = unit(1000 + step, batch, pixels)
        logits, mu, logvar = model(x, noise(2000 + 3 * step, batch, latent))
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = bce + kld
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    lines = []
    for config in [(784, 400, 20, 32), (64, 32, 8, 4)]:
        lines.append(" ".join(map(str, config)) + ": " + " ".join(map(repr, trajectory(*config, 10))))
    model = VAE(36, 12, 3)
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, "vae_weights.safetensors")
    mu, _ = model.encode(unit(1000, 5, 36))
    lines.append("36 12 3 5: " + " ".join(map(repr, mu.flatten().tolist())))
    with open("vae_trajectory.txt", "w") as f:
        f.write("\n".join(lines) + "\n")


main()
