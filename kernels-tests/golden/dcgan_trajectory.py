"""Writes, with PyTorch, ten rounds of pytorch/examples' DCGAN (dcgan_trajectory.safetensors): both players' first weights and buffers
(`generator.main.0.weight` …), what they are afterwards in float64 (under `after.`), by how much float32 misses that (`miss.`, the
largest difference of each tensor), losses of discriminator and generator in float64 and their misses, and pictures of the first
generator in evaluation.

The discriminator gives logits. Pictures and noise come from an integer hash that kernels-tests/golden.rs computes too. Run in this
folder: python3 dcgan_trajectory.py
"""

import copy

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.manual_seed(5)
RATE = float(np.float32(2e-4))  # the engine's learning rate is an f32
N, SIDE, CHANNELS, LATENT, WIDTH, ROUNDS = 4, 32, 3, 6, 4, 10


def unit(salt, *shape):
    """In [-1, 1)."""
    return torch.tensor(bits(salt, int(np.prod(shape))).astype(np.float64) / 2**23 - 1).reshape(shape)


def generator():
    layers, c, side = [nn.ConvTranspose2d(LATENT, 8 * WIDTH, 4, 1, 0, bias=False), nn.BatchNorm2d(8 * WIDTH), nn.ReLU()], 8 * WIDTH, 4
    while 2 * side < SIDE:
        layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(c // 2), nn.ReLU()]
        c, side = c // 2, 2 * side
    return nn.Sequential(*layers, nn.ConvTranspose2d(c, CHANNELS, 4, 2, 1, bias=False), nn.Tanh())


def discriminator():
    layers, c, side = [nn.Conv2d(CHANNELS, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(float(np.float32(0.2)))], WIDTH, SIDE // 2
    while side > 4:
        layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * c), nn.LeakyReLU(float(np.float32(0.2)))]
        c, side = 2 * c, side // 2
    return nn.Sequential(*layers, nn.Conv2d(c, 1, 4, 1, 0, bias=False))


class Player(nn.Module):
    def __init__(self, main):
        super().__init__()
        self.main = main

    def forward(self, x):
        return self.main(x)


def start(module):
    """First weights as in the paper, with the spread of wider networks."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        module.weight.data.normal_(0.0, 0.1)
    elif isinstance(module, nn.BatchNorm2d):
        module.weight.data.normal_(1.0, 0.02)


def play(g, d, dtype):
    g, d = copy.deepcopy(g).to(dtype), copy.deepcopy(d).to(dtype)
    of_d, of_g = [torch.optim.Adam(p.parameters(), lr=RATE, betas=(0.5, 0.999)) for p in (d, g)]
    losses = []
    for r in range(ROUNDS):
        real = unit(1000 + r, N, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2).to(dtype)
        fake = g(unit(2000 + r, N, LATENT, 1, 1).to(dtype))
        score = lambda x: d(x).view(-1)
        loss_d = F.softplus(-score(real)).mean() + F.softplus(score(fake.detach())).mean()
        of_d.zero_grad()
        loss_d.backward()
        of_d.step()
        loss_g = F.softplus(-score(fake)).mean()
        of_g.zero_grad()
        loss_g.backward()
        of_g.step()
        losses.append([loss_d.item(), loss_g.item()])
    states = {f"{name}.{k}": v.double() for name, p in (("generator", g), ("discriminator", d)) for k, v in p.state_dict().items()}
    return states | {"losses": torch.tensor(losses, dtype=torch.float64)}


g, d = Player(generator()), Player(discriminator())
g.apply(start), d.apply(start)
with torch.no_grad():
    for module in g.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
out = {f"{name}.{k}": v.clone() for name, p in (("generator", g), ("discriminator", d)) for k, v in p.state_dict().items()}
right, single = play(g, d, torch.float64), play(g, d, torch.float32)
out |= {f"after.{k}": v for k, v in right.items()}
out |= {f"miss.{k}": (single[k] - v).abs().max().reshape(1) for k, v in right.items()}
with torch.no_grad():
    pictures = copy.deepcopy(g).double().eval()(unit(3000, N, LATENT, 1, 1))
out["pictures"] = pictures.permute(0, 2, 3, 1).contiguous()
save_file({k: v.contiguous() for k, v in out.items()}, "dcgan_trajectory.safetensors")
print(right["losses"], {k: float(v) for k, v in out.items() if k.startswith("miss.")})
