"""Writes, with scikit-image in float64, PSNR and SSIM of noisy pictures (fidelity.txt), which src/measure/fidelity.rs computes too: of
each size a line with height, width, channels, PSNR and SSIM. Values come from an integer hash that kernels-tests/golden.rs computes
too. Run in this folder: python3 fidelity.py
"""

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hashed import bits



with open("fidelity.txt", "w") as f:
    for h, w, c in [(11, 11, 1), (13, 20, 1), (32, 28, 3)]:
        shape, n = (h, w, c), h * w * c
        ramp = (np.arange(n) % 97 / 96.0).reshape(shape)
        noise = (bits(h, n) / 2.0**24).reshape(shape)
        # Both as the f32 that the engine's pictures are.
        a = ramp.astype(np.float32).astype(np.float64)
        b = (0.8 * ramp + 0.2 * noise).astype(np.float32).astype(np.float64)
        psnr = peak_signal_noise_ratio(a, b, data_range=1.0)
        ssim = structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2
        )
        f.write(f"{h} {w} {c} {psnr!r} {ssim!r}\n".replace("np.float64(", "").replace(")", ""))
