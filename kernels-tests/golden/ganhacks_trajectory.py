"""Writes, with PyTorch, ten rounds of a GAN of perceptrons with tricks of the trade (ganhacks_trajectory.safetensors): a discriminator that
sees the minibatch's standard deviation, has noise on its hidden units, is trained by plain gradient descent on soft labels of which some are flipped, and half of whose
generated pictures come from a pool; a generator with dropout. Both players' first weights (`generator.main.0.weight` …), what they are
afterwards in float64 (under `after.`), and by how much float32 misses that (`miss.`), as dcgan_trajectory.py writes them.

Pictures, noise and all random numbers come from an integer hash that kernels-tests/golden.rs computes too. Run in this folder:
python3 ganhacks_trajectory.py
"""

import copy

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import hashed

torch.manual_seed(7)
N, PIXELS, LATENT, HIDDEN, ROUNDS = 4, 25, 4, (8, 6), 10
SLOTS, DROPOUT, FLIPPED, SIGMA = 2, 0.5, float(np.float32(0.3)), 0.5
REAL, FAKE = np.float32([0.7, 1.2]), np.float32([0.0, 0.3])
RATES = [float(np.float32(rate)) for rate in (0.01, 0.05)]  # the engine's learning rates are f32
SLOPE = float(np.float32(0.2))


def unit(salt, *shape):
    """In [0, 1)."""
    return torch.tensor(hashed.bits(salt, int(np.prod(shape))).astype(np.float64) / 2**24).reshape(shape)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (LATENT, *HIDDEN, PIXELS)
        # Places 1 and 4 are ReLU, 2 and 5 dropout.
        self.main = nn.ModuleDict({str(3 * i): nn.Linear(a, b) for i, (a, b) in enumerate(zip(widths, widths[1:]))})

    def forward(self, z, salt):
        for i, width in enumerate(HIDDEN):
            kept = (unit(salt + i, N, width) >= DROPOUT).to(z.dtype)
            z = torch.relu(self.main[str(3 * i)](z)) * kept / (1 - DROPOUT)
        return torch.tanh(self.main[str(3 * len(HIDDEN))](z))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        a, b = HIDDEN[::-1]
        # Places 2 and 5 are noise, and 6 is the minibatch's standard deviation.
        self.main = nn.ModuleDict({"0": nn.Linear(PIXELS, a), "3": nn.Linear(a, b), "7": nn.Linear(b + 1, 1)})

    def forward(self, x, salt):
        for place in (0, 3):
            x = F.leaky_relu(self.main[str(place)](x), SLOPE)
            x = x + SIGMA * torch.tensor(hashed.noise(salt + place, x.numel())).reshape(x.shape).to(x.dtype)
        spread = (x.var(0, unbiased=False) + float(np.float32(1e-8))).sqrt().mean()
        return self.main["7"](torch.cat([x, spread.expand(len(x), 1)], 1)).view(-1)


def labels(salt, own, other, dtype):
    share, flip = unit(salt, N), unit(salt + 1, N) < FLIPPED
    of = lambda ends: share * float(ends[1] - ends[0]) + float(ends[0])
    return torch.where(flip, of(other), of(own)).to(dtype)


class Pool:
    """A row of slots for each picture of the first half of a batch."""

    def __init__(self):
        self.rows = [[] for _ in range(N // 2)]

    def __call__(self, fake, r):
        chosen = unit(9000 + r, N // 2)
        seen = fake.clone()
        for i, row in enumerate(self.rows):
            if len(row) < SLOTS:
                row.append(fake[i].clone())
            else:
                slot = int(np.floor(float(chosen[i]) * SLOTS))
                seen[i], row[slot] = row[slot], fake[i].clone()
        return seen


def play(g, d, dtype):
    g, d, pool = copy.deepcopy(g).to(dtype), copy.deepcopy(d).to(dtype), Pool()
    of_g, of_d = torch.optim.Adam(g.parameters(), lr=RATES[0], betas=(0.5, 0.999)), torch.optim.SGD(d.parameters(), lr=RATES[1])
    losses = []
    for r in range(ROUNDS):
        real = (unit(1000 + r, N, PIXELS) * 2 - 1).to(dtype)
        z = (unit(2000 + r, N, LATENT) * 2 - 1).to(dtype)
        seen = pool(g(z, 3000 + 10 * r).detach(), r)
        # What comes from the pool has a standard deviation of its own.
        disturbance = 10000 + 100 * r
        halves = [d(half, disturbance + 20 + 10 * i) for i, half in enumerate(seen.split(N // 2))]
        on_real, on_fake = d(real, disturbance + 10), torch.cat(halves)
        loss_d = F.softplus(on_real).mean() - (labels(5000 + 10 * r, REAL, FAKE, dtype) * on_real).mean()
        loss_d = loss_d + F.softplus(on_fake).mean() - (labels(7000 + 10 * r, FAKE, REAL, dtype) * on_fake).mean()
        of_d.zero_grad()
        loss_d.backward()
        of_d.step()
        loss_g = F.softplus(-d(g(z, 4000 + 10 * r), disturbance)).mean()
        of_g.zero_grad()
        loss_g.backward()
        of_g.step()
        losses.append([loss_d.item(), loss_g.item()])
    states = {f"{name}.{k}": v.double() for name, p in (("generator", g), ("discriminator", d)) for k, v in p.state_dict().items()}
    return states | {"losses": torch.tensor(losses, dtype=torch.float64)}


g, d = Generator(), Discriminator()
out = {f"{name}.{k}": v.clone() for name, p in (("generator", g), ("discriminator", d)) for k, v in p.state_dict().items()}
right, single = play(g, d, torch.float64), play(g, d, torch.float32)
out |= {f"after.{k}": v for k, v in right.items()}
out |= {f"miss.{k}": (single[k] - v).abs().max().reshape(1) for k, v in right.items()}
save_file({k: v.contiguous() for k, v in out.items()}, "ganhacks_trajectory.safetensors")
print(right["losses"], {k: float(v) for k, v in out.items() if k.startswith("miss.")})
