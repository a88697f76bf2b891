"""Write losses.json: every loss and every penalty with its gradients by PyTorch's autograd, in float64.

    pip install torch numpy && python -m tests.golden.make_losses

Made by torch 2.13.0. The formulas are those of the papers, from PyTorch's own losses where it has them, f-GANs
as g and f* apart. Penalties are of the critic sum(tanh(x W)), at given points in place of random ones, with
x mirrored for the consistency penalty's T; their gradient is that with respect to W.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from tests.golden import logits, pictures

bce = F.binary_cross_entropy_with_logits
like = torch.full_like


def cross_entropy(real, fake, smooth=0.0, smooth_fake=0.0):
    return bce(real, like(real, 1 - smooth)) + bce(fake, like(fake, smooth_fake))


def least_squares(real, fake, a=0.0, b=1.0, smooth=0.0, smooth_fake=0.0):
    of_real = F.mse_loss(real, like(real, b + smooth * (a - b)))
    return of_real + F.mse_loss(fake, like(fake, a + smooth_fake * (b - a)))


def relativistic_average(real, fake):
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    return bce(real - fake.mean(), ones) + bce(fake - real.mean(), zeros)


def hinge(real, fake, margin=1.0):
    return F.relu(margin - real).mean() + F.relu(margin + fake).mean()


def f_gan(g, conjugate):
    return (
        lambda real, fake: conjugate(g(fake)).mean() - g(real).mean(),
        lambda real, fake: -conjugate(g(fake)).mean(),
    )


def raise_fake(real, fake):
    return -fake.mean()


LOSSES = {  # (disc, gen)
    "saturating": (cross_entropy, lambda r, f: -bce(f, torch.zeros_like(f))),
    "non_saturating": (cross_entropy, lambda r, f: bce(f, torch.ones_like(f))),
    "least_squares": (least_squares, lambda r, f, c=1.0: F.mse_loss(f, like(f, c))),
    "hinge": (hinge, raise_fake),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), raise_fake),
    "rp": (
        lambda r, f: bce(r - f, torch.ones_like(r)),
        lambda r, f: bce(f - r, torch.ones_like(r)),
    ),
    "ra": (relativistic_average, lambda r, f: relativistic_average(f, r)),
    "began": (lambda r, f, k=0.0: r.mean() - k * f.mean(), lambda r, f: f.mean()),
    "energy_margin": (
        lambda r, f, margin=1.0: r.mean() + F.relu(margin - f).mean(),
        lambda r, f: f.mean(),
    ),
    "f_kl": f_gan(lambda v: v, lambda t: torch.exp(t - 1)),
    "f_reverse_kl": f_gan(lambda v: -torch.exp(-v), lambda t: -1 - torch.log(-t)),
    "f_pearson": f_gan(lambda v: v, lambda t: t**2 / 4 + t),
    "f_hellinger": f_gan(lambda v: 1 - torch.exp(-v), lambda t: t / (1 - t)),
    "f_js": f_gan(
        lambda v: math.log(2) + F.logsigmoid(v), lambda t: -torch.log(2 - torch.exp(t))
    ),
}
ENERGY = ("began", "energy_margin")
NUMBERS = [  # besides the defaults
    ("saturating", "disc", {"smooth": 0.1, "smooth_fake": 0.2}),
    ("non_saturating", "disc", {"smooth": 0.1, "smooth_fake": 0.2}),
    (
        "least_squares",
        "disc",
        {"a": -1.0, "b": 2.0, "smooth": 0.1, "smooth_fake": 0.2},
    ),
    ("least_squares", "gen", {"c": 0.5}),
    ("hinge", "disc", {"margin": 0.5}),
    ("began", "disc", {"k": 0.3}),
    ("energy_margin", "disc", {"margin": 2.5}),
]


def of_loss(name, side, numbers):
    batches = [torch.tensor(x, requires_grad=True) for x in logits()]
    shown = [x.abs() if name in ENERGY else x for x in batches]
    value = LOSSES[name][side == "gen"](*shown, **numbers)
    grads = torch.autograd.grad(
        value, batches, allow_unused=True, materialize_grads=True
    )
    return {
        "loss": name,
        "side": side,
        "numbers": numbers,
        "value": value.item(),
        "grads": [grad.tolist() for grad in grads],
    }


def critic(x, weights):
    return torch.tanh(x.flatten(1) @ weights).sum(1)


def norms(x, weights):
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(critic(x, weights).sum(), x, create_graph=True)
    return grad.flatten(1).norm(dim=1)


def change(x, weights):
    return F.mse_loss(critic(x.flip(2), weights), critic(x, weights))


PENALTIES = {
    "gp": lambda real, fake, points, w: (norms(points, w) - 1).square().mean(),
    "one_sided_gp": lambda real, fake, points, w: (
        F.relu(norms(points, w) - 1).square().mean()
    ),
    "zero_gp": lambda real, fake, points, w: norms(points, w).square().mean(),
    "dragan": lambda real, fake, points, w: (norms(points, w) - 1).square().mean(),
    "r1": lambda real, fake, points, w: norms(real, w).square().mean() / 2,
    "r2": lambda real, fake, points, w: norms(fake, w).square().mean() / 2,
    "consistency": lambda real, fake, points, w: change(real, w) + change(fake, w),
}


def of_penalty(name):
    arrays = {key: torch.tensor(x) for key, x in pictures().items()}
    weights = arrays["weights"].requires_grad_()
    value = PENALTIES[name](arrays["real"], arrays["fake"], arrays["points"], weights)
    (grad,) = torch.autograd.grad(value, weights)
    return {"penalty": name, "value": value.item(), "grad": grad.tolist()}


def main():
    defaults = [(name, side, {}) for name in LOSSES for side in ("disc", "gen")]
    rows = [of_loss(*case) for case in defaults + NUMBERS]
    rows += [of_penalty(name) for name in PENALTIES]
    text = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("losses.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
