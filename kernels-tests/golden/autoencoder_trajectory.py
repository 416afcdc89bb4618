"""Writes, with PyTorch in float64, first weights of a denoising autoencoder (src/models/autoencoder.rs,
autoencoder_weights.safetensors), the losses of ten training steps, and then one of whole images (autoencoder_trajectory.txt).

Images and what is dropped of them come from an integer hash that kernels-tests/golden.rs computes too. Run in this folder:
python3 autoencoder_trajectory.py
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from hashed import bits

torch.set_default_dtype(torch.float64)
torch.manual_seed(8)
RATE = float(np.float32(1e-2))  # the engine's learning rate is an f32
PIXELS, HIDDEN, CODE, BATCH = 30, 12, 5, 6


def unit(salt):
    """In [0, 1), exact in f32."""
    return torch.tensor(bits(salt, BATCH * PIXELS) / 2.0**24).reshape(BATCH, PIXELS)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(PIXELS, HIDDEN), nn.Linear(HIDDEN, CODE)])
        self.decoder = nn.ModuleList([nn.Linear(CODE, HIDDEN), nn.Linear(HIDDEN, PIXELS)])

    def forward(self, x):
        for layer in [*self.encoder, self.decoder[0]]:
            x = F.relu(layer(x))
        return self.decoder[1](x)


def objective(model, step, kept):
    x = unit(1000 + step)
    return F.binary_cross_entropy_with_logits(model(x * kept), x, reduction="sum")


model = Autoencoder()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(parameter.float())
save_file({k: v.float().contiguous() for k, v in model.state_dict().items()}, "autoencoder_weights.safetensors")
optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
losses = []
for step in range(10):
    loss = objective(model, step, (unit(2000 + step) < 0.75).double())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
losses.append(objective(model, 10, 1).item())
with open("autoencoder_trajectory.txt", "w") as f:
    f.write(" ".join(map(repr, losses)) + "\n")
