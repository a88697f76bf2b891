"""Write ssim_prd.npz: MS-SSIM by pytorch-msssim in float64, and PRD scores of histograms by its definition.

    pip install torch==2.13.0 pytorch-msssim==1.0.0 numpy && python -m tests.golden.make_ssim_prd

Pictures are kept as uint8 [5, 48, 48, 3] and each pixel stands for 4x4: sides of 192, which all five scales halve
evenly. The window is given in float64, since the package makes its own in float32. PRD is that of Sajjadi et al. 2018:
for each of 1001 angles a Python loop over the clusters, then the greatest F-score.
"""

import math
from pathlib import Path

import numpy as np
import torch
from pytorch_msssim import ms_ssim


def pictures():
    """Return a and b: noise of three strengths, a negative (its contrast is clipped), and half a picture."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (5, 48, 48, 3))
    a[0] = 128 + 100 * np.sin(np.arange(48) / 7)[:, None, None]
    noisy = [a[i] + rng.normal(0, std, a[i].shape) for i, std in enumerate((5, 30, 90))]
    b = np.stack([*noisy, 255 - a[3], (a[4] + rng.integers(0, 256, a[4].shape)) / 2])
    return a.astype(np.uint8), b.clip(0, 255).astype(np.uint8)


def of_pairs(a, b):
    shown = [torch.tensor(x.repeat(4, 1).repeat(4, 2)).double() for x in (a, b)]
    taps = torch.exp(-(((torch.arange(11).double() - 5) / 1.5) ** 2) / 2)
    window = (taps / taps.sum()).expand(3, 1, 1, 11)
    x, y = (x.permute(0, 3, 1, 2) for x in shown)
    return ms_ssim(x, y, data_range=255, size_average=False, win=window).numpy()


def scores(fake, real):
    fake, real = ([n / sum(hist) for n in hist] for hist in (fake, real))
    best = {8: 0.0, 1 / 8: 0.0}
    for i in range(1001):
        angle = 1e-10 + i * (math.pi / 2 - 2e-10) / 1000
        slope = math.tan(angle)
        p = sum(min(slope * q, f) for f, q in zip(fake, real, strict=True))
        r = sum(min(q, f / slope) for f, q in zip(fake, real, strict=True))
        for beta in best:
            f = (1 + beta**2) * p * r / (beta**2 * p + r + 1e-10)
            best[beta] = max(best[beta], f)
    return list(best.values())


def histograms():
    """Return fake and real counts [6, 20], with empty clusters on either side."""
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.gamma(0.5, 100, (2, 6, 20)))
    return counts[0], counts[1]


def main():
    a, b = pictures()
    fake, real = histograms()
    np.savez_compressed(
        Path(__file__).with_name("ssim_prd.npz"),
        a=a,
        b=b,
        ms_ssim=of_pairs(a, b),
        fake=fake,
        real=real,
        prd=[scores(*pair) for pair in zip(fake.tolist(), real.tolist(), strict=True)],
    )


if __name__ == "__main__":
    main()
