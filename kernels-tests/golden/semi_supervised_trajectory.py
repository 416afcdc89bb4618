"""Writes, with PyTorch in float64, first weights of M2 in src/models/semi_supervised.rs over black and white inputs, with
noise on what the classifier's layers read (m2_bernoulli_weights.safetensors), and over numbers (m2_gaussian_weights.safetensors), and
the losses of ten steps of each (semi_supervised_trajectory.txt).

Inputs and noise come from an integer hash that kernels-tests/golden.rs computes too. Run in this folder:
python3 semi_supervised_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import hashed

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
RATE = float(np.float32(1e-2))  # the engine's learning rate is an f32
INPUTS, CLASSES, HIDDEN, LATENT, BATCH, FEW = 12, 3, (8, 6), 2, 5, 4
ALPHA, SHARE, SIGMA = 0.5, 0.25, 0.25
PRIOR, LOG_TAU = (float(np.float32(np.log(x))) for x in [CLASSES, 2 * np.pi])  # f32, as the engine's constants are


def unit(salt, *shape):
    """[0, 1), exact in f32."""
    return torch.tensor(hashed.bits(salt, int(np.prod(shape))) / 2.0**24).reshape(shape)


def noise(salt, *shape):
    return torch.tensor(hashed.noise(salt, int(np.prod(shape)))).reshape(shape)


class M2(nn.Module):
    def __init__(self, gaussian):
        super().__init__()
        joint = lambda inputs: {
            "input": nn.Linear(inputs, HIDDEN[0]),
            "class": nn.Linear(CLASSES, HIDDEN[0], bias=False),
            "1": nn.Linear(*HIDDEN),
        }
        ends = lambda names, width: {name: nn.Linear(HIDDEN[1], width) for name in names}
        self.qy = nn.ModuleList([nn.Linear(INPUTS, HIDDEN[0]), nn.Linear(*HIDDEN), nn.Linear(HIDDEN[1], CLASSES)])
        self.qz = nn.ModuleDict(joint(INPUTS) | ends(["mu", "logvar"], LATENT))
        self.px = nn.ModuleDict(joint(LATENT) | ends(["mu", "logvar"] if gaussian else ["logits"], INPUTS))
        self.gaussian = gaussian

    def classify(self, x, salt):
        for i, layer in enumerate(self.qy):
            x = F.softplus(x) if i > 0 else x
            x = layer(x if self.gaussian else x + SIGMA * noise(salt + 1000 * i, *x.shape))
        return x

    def hidden(self, net, x, y):
        return F.softplus(net["1"](F.softplus(net["input"](x) + net["class"](y))))

    def bound(self, x, y, eps):
        """L(x, y) of eq. 6, a number for each row."""
        h = self.hidden(self.qz, x, y)
        mu, logvar = self.qz["mu"](h), self.qz["logvar"](h)
        h = self.hidden(self.px, mu + eps * torch.exp(0.5 * logvar), y)
        if self.gaussian:
            mean, spread = self.px["mu"](h), self.px["logvar"](h)
            nats = 0.5 * ((x - mean).pow(2) * torch.exp(-spread) + spread + LOG_TAU).sum(1)
        else:
            nats = F.binary_cross_entropy_with_logits(self.px["logits"](h), x, reduction="none").sum(1)
        return nats - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1) + PRIOR

    def objective(self, step):
        x, few = unit(1000 + step, BATCH, INPUTS), unit(1500 + step, FEW, INPUTS)
        y = F.one_hot((torch.arange(FEW) + step) % CLASSES, CLASSES).double()
        eps = noise(3000 + 3 * step, CLASSES, BATCH, LATENT)
        q = F.softmax(self.classify(x, 4000 + 3 * step), dim=1)
        every = [F.one_hot(torch.full((BATCH,), k), CLASSES).double() for k in range(CLASSES)]
        bounds = torch.stack([self.bound(x, every[k], eps[k]) for k in range(CLASSES)], 1)
        unlabelled = (q * (bounds + q.log())).sum()
        labelled = self.bound(few, y, noise(2000 + 3 * step, FEW, LATENT)).mean()
        classification = F.cross_entropy(self.classify(few, 7000 + 3 * step), y)
        return unlabelled + BATCH * (SHARE * labelled + ALPHA * classification)


def trajectory(name, gaussian):
    model = M2(gaussian)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.float())
    save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, f"m2_{name}_weights.safetensors")
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(10):
        loss = model.objective(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return f"{name}: " + " ".join(map(repr, losses)) + "\n"


with open("semi_supervised_trajectory.txt", "w") as f:
    f.write(trajectory("bernoulli", False) + trajectory("gaussian", True))
