"""Write metrics.json: FID, KID, IS, precision, recall, density and coverage by the packages that people quote.

    pip install torch==2.13.0 torchvision==0.28.0 scikit-learn mpmath tqdm requests pillow
    pip install --no-deps torch-fidelity==0.4.0 pytorch-fid==0.3.0 clean-fid==0.1.35 prdc==0.2
    python -m tests.golden.make_metrics

`exact` is the Frechet distance by mpmath with 50 digits, for sets where the packages' own roots lose half of theirs.
The tests draw the same sets, so the packages are imported where they are used.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np

K = {"tall": 5, "wide": 3, "line": 5, "collapsed": 3, "relu": 5}  # of neighbours
SUBSETS, SIZE, SEED = 7, 24, 2020  # of KID
SPLITS = (1, 10)


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> features (fake, real), float64; numbers of rows are powers of 2, whose shares float32 holds."""
    rng = np.random.RandomState(0)
    mix = np.eye(12) + rng.normal(0, 0.2, (12, 12))
    grid = [
        np.maximum(np.round(2 * rng.normal(-0.2, 1, (n, 10))), 0) for n in (256, 128)
    ]
    for features in grid:
        features[:, 3] = 0  # a dead feature
    return {
        "tall": (rng.normal(0.3, 1, (256, 12)) @ mix, rng.normal(size=(256, 12))),
        "wide": (rng.normal(0.3, 1, (32, 40)), rng.normal(size=(64, 40))),
        "line": (rng.normal(0.3, 2, (128, 1)), rng.normal(size=(64, 1))),
        "collapsed": (
            np.tile(rng.normal(size=(1, 8)), (64, 1)),
            rng.normal(size=(128, 8)),
        ),
        "relu": (grid[0], grid[1]),  # whole numbers: distances are exact, many tie
    }


def logits() -> np.ndarray:
    """Logits [103, 7] of a classifier that is sure of some rows."""
    return np.random.RandomState(1).normal(size=(103, 7)) * 4


def statistics(x):
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def exact(fake, real):
    import mpmath

    mpmath.mp.dps = 50

    def moments(x):
        x = mpmath.matrix(x.tolist())
        mean = mpmath.ones(1, x.rows) * x / x.rows
        centred = x - mpmath.ones(x.rows, 1) * mean
        return mean, centred.T * centred / (x.rows - 1)

    def root(symmetric):
        values, vectors = mpmath.eigsy(symmetric)
        values = [mpmath.sqrt(max(v, 0)) for v in values]
        return vectors * mpmath.diag(values) * vectors.T, sum(values)

    (mean1, cov1), (mean2, cov2) = moments(fake), moments(real)
    half = root(cov1)[0]
    traces = sum(cov1[i, i] + cov2[i, i] for i in range(cov1.rows))
    gap = mpmath.norm(mean1 - mean2) ** 2
    return float(gap + traces - 2 * root(half * cov2 * half)[1])


def frechet(fake, real):
    import cleanfid.fid
    import pytorch_fid.fid_score
    import scipy.linalg
    import torch_fidelity.metric_fid

    root = scipy.linalg.sqrtm
    old = types.SimpleNamespace(  # SciPy is about to drop `disp`, which both pass
        sqrtm=lambda x, disp=True: root(x) if disp else (root(x), None)
    )
    pytorch_fid.fid_score.linalg = cleanfid.fid.linalg = old
    (mean1, cov1), (mean2, cov2) = statistics(fake), statistics(real)
    of_fidelity = torch_fidelity.metric_fid.fid_statistics_to_metric(
        {"mu": mean1, "sigma": cov1}, {"mu": mean2, "sigma": cov2}, False
    )
    both = (mean1, cov1, mean2, cov2)
    return {
        "exact": exact(fake, real),
        "pytorch_fid": float(pytorch_fid.fid_score.calculate_frechet_distance(*both)),
        "clean_fid": float(cleanfid.fid.frechet_distance(*both)),
        "torch_fidelity": of_fidelity["frechet_inception_distance"],
    }


def kernel(fake, real):
    import cleanfid.fid
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    values = {}
    if len(fake) == len(real):  # then its one subset is all, whatever it draws
        values["clean_fid"] = cleanfid.fid.kernel_distance(fake, real, 1, len(fake))
    of_fidelity = kid_features_to_metric(
        torch.tensor(fake),
        torch.tensor(real),
        kid_subsets=SUBSETS,
        kid_subset_size=SIZE,
        rng_seed=SEED,
        verbose=False,
    )
    return {**values, "torch_fidelity": list(of_fidelity.values())}


def neighbours(fake, real, k):
    import torch
    from prdc import compute_prdc
    from torch_fidelity.metric_prc import prc_features_to_metric

    of_fidelity = prc_features_to_metric(
        torch.tensor(fake), torch.tensor(real), prc_neighborhood=k, verbose=False
    )
    return {
        "torch_fidelity": list(of_fidelity.values()),
        "prdc": {key: float(x) for key, x in compute_prdc(real, fake, k).items()},
    }


def inception():
    import torch
    from torch_fidelity.metric_isc import isc_features_to_metric

    x = torch.tensor(logits())
    return {n: list(isc_features_to_metric(x, n, False, SEED).values()) for n in SPLITS}


def main():
    # torchvision's operators need a build that matches torch's; none is used here
    name = "torchvision._meta_registrations"
    sys.modules[name] = types.ModuleType(name)
    rows = {
        name: {
            "fid": frechet(fake, real),
            "kid": kernel(fake, real),
            "neighbours": neighbours(fake, real, K[name]),
        }
        for name, (fake, real) in sets().items()
    }
    text = json.dumps({"sets": rows, "inception": inception()}, indent=1)
    Path(__file__).with_name("metrics.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
