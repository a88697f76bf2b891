"""Our networks in PyTorch, of the same layers in the same order, so that parameters are copied by kind and count.

Written for the specs of cases.CASES: pictures NCHW, norms "batch" and "none", kernels of 4 (of 3 and 1 in the ResNets),
spectral normalisation of D, no labels, dropout or attention. What is flat is in our order, channels last: `Spread` and
`Flat` turn it. BatchNorm's running variance is PyTorch's, unbiased; no loss depends on it.
"""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from gan_jax.models.basic import halvings

relu, leaky = partial(nn.ReLU, True), partial(nn.LeakyReLU, 0.2, True)  # in place


class Spread(nn.Module):
    """[B, H*W*C] -> [B, C, H, W], in the memory format of the way."""

    def __init__(self, side, channels, layout):
        super().__init__()
        self.shape, self.layout = (side, side, channels), layout

    def forward(self, x):
        x = x.unflatten(1, self.shape).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=self.layout)


class Flat(nn.Module):
    """[B, C, H, W] -> [B, H*W*C]."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Spectral(nn.Module):
    """The kernel [outputs, ...] over its spectral norm, by one power iteration a call (models/layers.py).

    In training each call moves u. `peeks` is for G's update, where our D judges the real and then the fake examples
    and forgets both of its moves: two iterations, nothing kept.
    """

    def __init__(self, outputs):
        super().__init__()
        self.register_buffer("u", torch.ones(outputs))
        self.peeks = False

    def forward(self, w):
        matrix = (w if w.is_contiguous() else w.movedim(1, -1)).flatten(1)
        unit = partial(F.normalize, dim=0, eps=1e-12)
        with torch.no_grad():
            u = self.u
            for _ in range(1 + self.peeks):
                v = unit(matrix.T @ u)
                u = unit(matrix @ v)
            if not self.peeks:
                self.u.copy_(u)
        return w / (u @ (matrix @ v))


class Normed:
    def __init__(self, inputs, outputs, *rest, **more):
        super().__init__(inputs, outputs, *rest, **more)
        self.spectral = Spectral(outputs)


class SpectralConv(Normed, nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.spectral(self.weight), self.bias)


class SpectralLinear(Normed, nn.Linear):
    def forward(self, x):
        return F.linear(x, self.spectral(self.weight), self.bias)


class Build:
    """The layers of one player with what its spec decides filled in."""

    def __init__(self, spec, player, momentum, layout):
        """`momentum`: of BatchNorm, as PyTorch counts it. Raises ValueError for a norm that has no twin."""
        disc = player == "disc"
        norm = (spec.disc_norm or spec.norm) if disc else spec.norm
        if norm not in ("batch", "none"):
            raise ValueError(f"norm {norm!r} has no twin; choices: batch, none")
        self.plain, self.momentum, self.layout = norm == "none", momentum, layout
        self.width = (disc and spec.disc_width) or spec.width
        spectral = disc and spec.disc_spectral
        self.linear = SpectralLinear if spectral else nn.Linear
        self.conv2d = SpectralConv if spectral else nn.Conv2d

    def conv(self, inputs, outputs, kernel=4, stride=2, bias=True, groups=1):
        pad = (kernel - stride + 1) // 2
        more = {"bias": bias, "groups": groups}
        return self.conv2d(inputs, outputs, kernel, stride, pad, **more)

    def up(self, inputs, outputs, bias):
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)

    def norm(self, channels):
        """As a list: empty without a norm."""
        return [] if self.plain else [nn.BatchNorm2d(channels, momentum=self.momentum)]


def mlp(sizes, activation):
    inner = pairwise(sizes[:-1])
    hidden = [x for a, b in inner for x in (nn.Linear(a, b), activation())]
    return nn.Sequential(*hidden, nn.Linear(*sizes[-2:]))


def mlp_gen(spec, build):
    hidden = [build.width] * spec.depth
    return mlp([spec.latent_dim, *hidden, *spec.image_shape], relu)


def mlp_disc(spec, build):
    return mlp([*spec.image_shape, *[build.width] * spec.depth, 1], leaky)


def dcgan_gen(spec, build):
    side, doublings = halvings(spec.image_shape)
    widths = [build.width * 2**i for i in reversed(range(doublings))]
    plain, wide = build.plain, widths[0]
    layers = [nn.Linear(spec.latent_dim, side * side * wide, bias=plain)]
    layers += [Spread(side, wide, build.layout), *build.norm(wide), relu()]
    for a, b in pairwise(widths):
        layers += [build.up(a, b, plain), *build.norm(b), relu()]
    last = build.up(widths[-1], spec.image_shape[-1], True)
    return nn.Sequential(*layers, last, nn.Tanh())


def dcgan_disc(spec, build):
    side, times = halvings(spec.image_shape)
    widths = [spec.image_shape[-1]] + [build.width * 2**i for i in range(times)]
    layers = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers.append(build.conv(a, b, bias=build.plain or i == 0))
        layers += [*(build.norm(b) if i else []), leaky()]
    head = build.linear(side * side * widths[-1], 1)
    return nn.Sequential(*layers, Flat(), head)


class UpBlock(nn.Module):
    """Of the ResNet's G: the picture doubled, one width."""

    def __init__(self, build, width):
        super().__init__()
        plain = build.plain
        double, conv = nn.Upsample(scale_factor=2), partial(build.conv, width, width)
        first = [*build.norm(width), nn.ReLU(), double, conv(3, 1, plain)]
        self.main = nn.Sequential(*first, *build.norm(width), relu(), conv(3, 1, plain))
        self.side = nn.Sequential(conv(1, 1, plain), double)

    def forward(self, x):
        return self.main(x) + self.side(x)


class DownBlock(nn.Module):
    """Of the ResNet's D, without norm: halved where `down`; the first one takes the picture as it is."""

    def __init__(self, build, inputs, width, first, down):
        super().__init__()
        hidden = width if first else inputs
        half = [nn.AvgPool2d(2)] if down else []
        start = [] if first else [nn.ReLU()]
        middle = build.conv(inputs, hidden, 3, 1), relu()
        self.main = nn.Sequential(
            *start, *middle, build.conv(hidden, width, 3, 1), *half
        )
        turned = [build.conv(inputs, width, 1, 1)] if down or inputs != width else []
        self.side = nn.Sequential(*half, *turned)

    def forward(self, x):
        return self.main(x) + self.side(x)


class Sum(nn.Module):
    """Over positions, [B, C, H, W] -> [B, C]."""

    def forward(self, x):
        return x.sum((2, 3))


def resnet_gen(spec, build):
    """32 pixels: 4 x 4, doubled three times, of one width."""
    w, out = build.width, spec.image_shape[-1]
    start = nn.Linear(spec.latent_dim, 16 * w), Spread(4, w, build.layout)
    blocks = [UpBlock(build, w) for _ in range(3)]
    end = *build.norm(w), relu(), build.conv(w, out, 3, 1), nn.Tanh()
    return nn.Sequential(*start, *blocks, *end)


def resnet_disc(spec, build):
    """32 pixels: halved twice, then two flat blocks, of one width."""
    w, inputs = build.width, spec.image_shape[-1]
    first = DownBlock(build, inputs, w, True, True)
    others = [DownBlock(build, w, w, False, i == 0) for i in range(3)]
    return nn.Sequential(first, *others, relu(), Sum(), build.linear(w, 1))


class Resample(nn.Module):
    """Twice or half the side by the filter [1, 3, 3, 1] along each axis, zeros outside."""

    def __init__(self, channels, up):
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4 if up else 8)
        taps = torch.outer(line, line).expand(channels, 1, 4, 4).clone()
        self.register_buffer("taps", taps)
        self.conv = F.conv_transpose2d if up else F.conv2d

    def forward(self, x):
        return self.conv(x, self.taps, stride=2, padding=1, groups=len(self.taps))


class Bottleneck(nn.Module):
    """Of R3GAN: 1x1 to twice the channels, 3x3 within groups of 16, 1x1 back, beside x."""

    def __init__(self, build, width):
        super().__init__()
        hidden, conv = 2 * width, build.conv
        middle = conv(hidden, hidden, 3, 1, groups=hidden // math.gcd(16, hidden))
        middle.grouped = True  # at small widths it is one group
        narrow = conv(hidden, width, 1, 1, False)
        wide = conv(width, hidden, 1, 1)
        self.main = nn.Sequential(wide, leaky(), middle, leaky(), narrow)

    def forward(self, x):
        return x + self.main(x)


class Basis(nn.Module):
    """R3GAN's learned picture `basis` [1, C, s, s]: scaled by [B, C] in G, weights of a sum over positions in D."""

    def __init__(self, channels, side, layout):
        super().__init__()
        self.basis = nn.Parameter(torch.ones(1, channels, side, side))
        self.layout = layout

    def forward(self, x):
        if x.ndim == 4:
            return (x * self.basis).sum((2, 3))
        x = x[:, :, None, None] * self.basis
        return x.contiguous(memory_format=self.layout)


def r3gan_widths(spec, build):
    """Side of the smallest stage, and the stages' widths from the largest picture on."""
    side, times = halvings(spec.image_shape)
    return side, [build.width * min(2**i, 8) for i in range(times + 1)]


def r3gan_stage(build, before, width, up):
    """From another stage's width and size, and two blocks."""
    change = [build.conv(before, width, 1, 1, False)] if before != width else []
    change = [*change, Resample(width, up)] if up else [Resample(before, up), *change]
    return [*change, Bottleneck(build, width), Bottleneck(build, width)]


def r3gan_gen(spec, build):
    side, widths = r3gan_widths(spec, build)
    deep = widths[-1]
    start = (
        nn.Linear(spec.latent_dim, deep, bias=False),
        Basis(deep, side, build.layout),
    )
    layers = [*start, Bottleneck(build, deep), Bottleneck(build, deep)]
    for before, width in pairwise(reversed(widths)):
        layers += r3gan_stage(build, before, width, True)
    end = build.conv(widths[0], spec.image_shape[-1], 1, 1, False)
    return nn.Sequential(*layers, end)


def r3gan_disc(spec, build):
    side, widths = r3gan_widths(spec, build)
    w = widths[0]
    start = build.conv(spec.image_shape[-1], w, 1, 1, False)
    layers = [start, Bottleneck(build, w), Bottleneck(build, w)]
    for before, width in pairwise(widths):
        layers += r3gan_stage(build, before, width, False)
    end = Basis(widths[-1], side, build.layout), nn.Linear(widths[-1], 1)
    return nn.Sequential(*layers, *end)


def networks(spec, norm_momentum, layout):
    """(G, D) of a ModelSpec, with PyTorch's own first weights; `norm_momentum` is ours, `layout` a memory format."""
    players = zip(NETWORKS[spec.name], ("gen", "disc"), strict=True)
    own = 1 - float(norm_momentum), layout
    return [make(spec, Build(spec, player, *own)) for make, player in players]


NETWORKS = {
    "mlp": (mlp_gen, mlp_disc),
    "dcgan": (dcgan_gen, dcgan_disc),
    "resnet": (resnet_gen, resnet_disc),
    "r3gan": (r3gan_gen, r3gan_disc),
}
