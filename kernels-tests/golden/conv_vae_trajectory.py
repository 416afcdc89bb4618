"""Writes, with PyTorch in float64, first weights and running statistics of src/models/conv_vae.rs (conv_vae_weights.safetensors),
losses of ten steps, and then one of evaluation (conv_vae_trajectory.txt).

Images and noise come from an integer hash that kernels-tests/golden.rs computes too; images are channels-last there. Run in this
folder: python3 conv_vae_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
torch.manual_seed(5)
RATE = float(np.float32(1e-2))  # the engine's learning rate is an f32
HEIGHT, WIDTH, CHANNELS, LATENT, BATCH = 16, 8, 3, 5, 6


def images(salt):
    """In [0, 1), exact in f32."""
    x = torch.tensor(bits(salt, BATCH * HEIGHT * WIDTH * CHANNELS) / 2.0**24)
    return x.reshape(BATCH, HEIGHT, WIDTH, CHANNELS).permute(0, 3, 1, 2)


def noise(salt):
    """Mean 0, variance 1 and exact in f32: a sum of three uniforms."""
    total = sum((bits(salt + i, BATCH * LATENT) >> 2).astype(np.float64) for i in range(3))
    return torch.tensor((total / 2.0**22 - 1.5) * 2).reshape(BATCH, LATENT)


class ConvVAE(nn.Module):
    def __init__(self):
        super().__init__()
        down = lambda c, o: [nn.Conv2d(c, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        first = [nn.Conv2d(CHANNELS, 4, 4, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*first, *down(4, 6), *down(6, 8))
        self.map = (8, HEIGHT // 8, WIDTH // 8)
        units = int(np.prod(self.map))
        self.mu = nn.Linear(units, LATENT)
        self.logvar = nn.Linear(units, LATENT)
        self.project = nn.Linear(LATENT, units)
        up = lambda c, o: [nn.BatchNorm2d(c), nn.ReLU(), nn.ConvTranspose2d(c, o, 4, 2, 1, bias=o == CHANNELS)]
        self.decoder = nn.Sequential(*up(8, 6), *up(6, 4), *up(4, CHANNELS))

    def forward(self, x, eps):
        h = self.encoder(x).flatten(1)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + eps * torch.exp(0.5 * logvar)
        return self.decoder(self.project(z).unflatten(1, self.map)), mu, logvar


def objective(model, step):
    x = images(1000 + step)
    logits, mu, logvar = model(x, noise(2000 + 3 * step))
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


model = ConvVAE()
with torch.no_grad():
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight += 0.2 * torch.randn_like(layer.weight)
            layer.bias += 0.2 * torch.randn_like(layer.bias)
    for parameter in model.parameters():
        parameter.copy_(parameter.float())
save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, "conv_vae_weights.safetensors")
optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
losses = []
for step in range(10):
    loss = objective(model, step)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
losses.append(objective(model.eval(), 10).item())
with open("conv_vae_trajectory.txt", "w") as f:
    f.write(" ".join(map(repr, losses)) + "\n")
