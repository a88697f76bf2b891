"""Our training step in PyTorch, with the same mathematics: what a benchmark compares our step with.

    own = setting("dcgan64"); state = first(own)
    twin = checked(own, state, "best", first_losses(own, state, program(own)))
    batch = twin.draw(); losses = twin.step(*batch); twin.sync()

The same are: alternating updates with fresh fakes for each of D, G's first update taking D's last fakes where the recipe
shares noise; real and fake judged apart where D has a BatchNorm or a spectral norm, with u moved by each judgement of
D's updates and by none of G's; penalties by double backward; Adam; the average of G with its warm-up. Left out are the
check for finite numbers and the logged metrics. BatchNorm's running variance is unbiased in PyTorch, and moves with
every one of n_disc forwards of G (ours: the last); no loss depends on it. gp takes our drawn places in `checked`.

Where nothing of D sees a batch, real and fake are judged in one pass, unless a penalty wants slopes of one of them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.cases import Drawn, Setting, drawn, examples, floats
from benchmarks.twin_networks import Basis, Spectral, networks
from gan_jax.types import Batch, TrainState

Tensor = torch.Tensor


class How(NamedTuple):
    """A row of WAYS. `best`: channels_last, D's parameters without gradients in G's update, fused Adam."""

    best: bool = True
    autocast: bool = False
    compiled: bool = False


class Twin:
    """A setting in PyTorch from one of our states; `device` is cuda where there is one."""

    def __init__(self, setting: Setting, state: TrainState, way: str):
        """Copy our parameters. Raises KeyError for a way that is not in WAYS."""
        self.recipe, self.hyper, self.how = setting.recipe, setting.hyper, WAYS[way]
        self.shape, self.t = setting.shape, int(state.step)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.layout = torch.channels_last if self.how.best else torch.contiguous_format
        momentum = self.hyper["model"]["norm_momentum"]
        self.gen, self.disc = networks(self.recipe.model, momentum, self.layout)
        for net, player in zip((self.gen, self.disc), state.players, strict=True):
            copy_into(net, player.params, player.vars)
            net.to(self.device, memory_format=self.layout)
        self.optims = self.adam("gen", self.gen), self.adam("disc", self.disc)
        running = [x for n, x in self.gen.named_buffers() if "running" in n]
        self.live = [*self.gen.parameters(), *running]
        self.ema = [x.detach().clone() for x in self.live]
        self.spectral = [x for x in self.disc.modules() if isinstance(x, Spectral)]
        self.loss = LOSSES[self.recipe.loss]
        self.apart = len({"r1", "r2"} & set(self.recipe.penalties)) == 1
        norms = [x for x in self.disc.modules() if isinstance(x, torch.nn.BatchNorm2d)]
        self.apart |= bool(self.spectral or norms)
        if self.how.compiled:
            self.imagine, self.disc_loss, self.gen_loss = (
                torch.compile(f, dynamic=False)
                for f in (self.imagine, self.disc_loss, self.gen_loss)
            )

    def adam(self, player: str, net: torch.nn.Module) -> torch.optim.Adam:
        """A player's optimizer with our numbers."""
        n = {name: float(x) for name, x in self.hyper["optim"][player].items()}
        betas, fused = (n["b1"], n["b2"]), self.how.best or None
        return torch.optim.Adam(net.parameters(), n["lr"], betas, n["eps"], fused=fused)

    def cast(self) -> torch.autocast:
        """Where networks run: bfloat16 if the way has it."""
        kind = self.device.type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.how.autocast)

    def imagine(self, z: Tensor) -> Tensor:
        """What G makes of latents, float32."""
        with self.cast():
            return self.gen(z).float()

    def judge(self, x: Tensor) -> Tensor:
        """What D says of examples, float32 [B]."""
        return self.disc(x)[:, 0].float()

    def sloped(self, x: Tensor, slope: bool) -> tuple[Tensor, Tensor | None]:
        """What D says [B], and with `slope` the squared norms [B] of its slopes, to be differentiated again.

        torch.compile has double backward as a function transform only.
        """
        if not slope:
            return self.judge(x), None
        if self.how.compiled:
            said, pull = torch.func.vjp(self.judge, x)
            (slopes,) = pull(torch.ones_like(said))
        else:
            x = x.detach().requires_grad_()
            said = self.judge(x)
            (slopes,) = torch.autograd.grad(said.sum(), x, create_graph=True)
        return said, slopes.float().square().flatten(1).sum(1)

    def disc_loss(
        self, real: Tensor, fake: Tensor, alpha: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """D's loss with penalties, and what is logged of it."""
        names, values = self.recipe.penalties, {}
        asked = ["r1" in names, "r2" in names]
        with self.cast():
            if self.apart:
                pairs = zip((real, fake), asked, strict=True)
                said, squares = zip(*(self.sloped(*x) for x in pairs), strict=True)
            else:
                said, squares = self.sloped(torch.cat([real, fake]), asked[0])
                said, squares = (
                    None if x is None else x.chunk(2) for x in (said, squares)
                )
            if "gp" in names:
                between = alpha * real + (1 - alpha) * fake
                square = self.sloped(between, True)[1]
                values["gp"] = (square.sqrt() - 1).square().mean()
        for i, name in enumerate(("r1", "r2")):
            if asked[i]:
                values[name] = 0.5 * squares[i].mean()
        loss, weights = self.loss[0](*said), self.hyper["penalty"]
        total = loss + sum(float(weights[n]) * x for n, x in values.items())
        told = {"loss/disc": loss, **{f"penalty/{n}": x for n, x in values.items()}}
        return total, {name: x.detach() for name, x in told.items()}

    def gen_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """G's loss; what D says of real examples is a constant to G, and found only where the loss has it."""
        with self.cast():
            of_real = None
            if self.recipe.loss in PAIRED:
                with torch.no_grad():
                    of_real = self.judge(real)
            return self.loss[1](of_real, self.judge(fake))

    def step(self, real: Tensor, latents: Drawn) -> dict[str, Tensor]:
        """One iteration; real [n_disc, B, C, H, W] in -1..1 or points [n_disc, B, D]. The last losses, as our metrics."""
        last, shared = self.recipe.n_disc - 1, self.recipe.share_noise
        places = latents.alpha
        for i in range(last + 1):
            with torch.set_grad_enabled(i == last and shared):
                fake = self.imagine(latents.disc[i])
            alpha = None if places is None else places[i]
            total, told = self.disc_loss(real[i], fake.detach(), alpha)
            update(self.optims[1], total)
        fake = fake if shared else self.imagine(latents.gen)
        self.peek(True)
        loss = self.gen_loss(real[last], fake)
        update(self.optims[0], loss)
        self.peek(False)
        self.average()
        return {**told, "loss/gen": loss.detach()}

    def peek(self, on: bool) -> None:
        """Before and after G's update: D keeps no power iteration, and has no gradients where the way is best."""
        for x in self.spectral:
            x.peeks = on
        if self.how.best:
            self.disc.requires_grad_(not on)

    def average(self) -> None:
        """The running average of G, with our warm-up; without one it is G itself."""
        decay = min(float(self.hyper["ema_decay"]), (1 + self.t) / (10 + self.t))
        self.t += 1
        if decay:
            with torch.no_grad():
                torch._foreach_lerp_(self.ema, self.live, 1 - decay)

    def draw(self) -> tuple[Tensor, Drawn]:
        """(real, latents) of random numbers on the device, as `step` takes them."""
        recipe, spec, on = self.recipe, self.recipe.model, {"device": self.device}
        size = recipe.n_disc, recipe.batch_size
        real = self.placed(2 * torch.rand(*size, *self.shape, **on) - 1)
        z = torch.randn(recipe.n_disc + 1, size[1], spec.latent_dim, **on)
        if spec.latent_dist == "uniform":
            z = 2 * torch.rand_like(z) - 1
        ones = (1,) * len(self.shape)
        alpha = torch.rand(*size, *ones, **on) if "gp" in recipe.penalties else None
        return real, Drawn(z[:-1], None if recipe.share_noise else z[-1], alpha)

    def placed(self, real: Any) -> Tensor:
        """Examples [n_disc, B, ...] in our order of axes as `step` takes them, on the device."""
        real = torch.as_tensor(real, device=self.device)
        if real.ndim < 5:
            return real
        real = real.movedim(-1, 2)
        return real if self.how.best else real.contiguous()

    def sync(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def update(optim: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimizer down a loss."""
    optim.zero_grad(set_to_none=True)
    loss.backward()
    optim.step()


def copy_into(net: torch.nn.Module, params: Any, vars: Any) -> None:
    """Our parameters and vectors of spectral norms into a PyTorch network."""
    seen = Counter()
    for layer in net.modules():
        if isinstance(layer, Basis):
            layer.basis.data.copy_(turned(params["basis"][None], (0, 3, 1, 2)))
        kind = next((name for name, of in KINDS.items() if isinstance(layer, of)), "")
        if hasattr(layer, "grouped"):
            kind = "GroupConv"
        if not kind:
            continue
        name = f"{kind}_{seen[kind]}"
        seen[kind] += 1
        for part, x in params[name].items():
            own = layer.bias if part == "bias" else layer.weight
            own.data.copy_(turned(x, AXES[np.ndim(x)]))
        if hasattr(layer, "spectral"):
            layer.spectral.u.copy_(turned(vars["spectral"][name]["u"], (0,)))


def turned(x: Any, axes: tuple[int, ...]) -> Tensor:
    """One of our arrays with its axes in PyTorch's order."""
    return torch.from_numpy(np.array(x)).permute(axes)


def twin(setting: Setting, state: TrainState, way: str, tf32: bool = False) -> Twin:
    """The setting in PyTorch from `state`, in one of WAYS. tf32: whether a GPU's products of float32 are of TF32."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return Twin(setting, state, way)


def slowed(setting: Setting, state: TrainState) -> tuple[Setting, TrainState]:
    """The same with a hundredth of the learning rates; see `checked`."""
    slow = {
        player: numbers | {"lr": SLOWLY * numbers["lr"]}
        for player, numbers in state.hyper["optim"].items()
    }
    hyper = state.hyper | {"optim": slow}
    return setting._replace(hyper=hyper), replace(state, hyper=hyper)


def first_losses(setting: Setting, state: TrainState, step: Any) -> dict[str, Any]:
    """Our metrics of the first step that `checked` compares with. step: our step's program; it may take its state."""
    setting, state = slowed(setting, jax.tree.map(jnp.copy, state))
    return step(state, Batch(examples(setting, 1).image[0]))[1]


def checked(
    setting: Setting,
    state: TrainState,
    way: str,
    ours: dict[str, Any],
    tf32: bool = False,
) -> Twin:
    """A twin after its first step. Stop unless its losses are ours, from the same examples, latents and places of gp.

    To 1e-4, or 3e-2 where either side has bfloat16 or TF32, of the loss or of D's mean |logit| where that is more (a
    Wasserstein loss is a difference of logits), and of gp, the square of a slope's distance from 1, its root where that
    is more. G's loss and D's last follow updates of D: with a hundredth of the learning rates, since at their own a
    critic without bounds carries the rounding at its kinks past that (WGAN-GP, batch 8: 5e-4 after one update of D,
    whose size agrees to 5e-5, and 5e-3 after five).
    """
    rates = [float(state.hyper["optim"][player]["lr"]) for player in ("gen", "disc")]
    setting, state = slowed(setting, state)
    own = twin(setting, state, way, tf32)
    batch = Batch(examples(setting, 1).image[0])
    latents = jax.tree.map(
        lambda x: torch.tensor(x, device=own.device), drawn(setting, state)
    )
    theirs = own.step(own.placed(floats(batch)), latents)
    rough = own.how.autocast or setting.recipe.model.precision != "float32" or tf32
    agree(ours, theirs, 3e-2 if rough else 1e-4)
    for optim, rate in zip(own.optims, rates, strict=True):
        optim.param_groups[0]["lr"] = rate
    return own


def agree(ours: dict[str, Any], theirs: dict[str, Tensor], rtol: float) -> None:
    """Stop unless PyTorch's losses are ours; see `checked`."""
    said = [np.abs(np.float32(ours[f"logits/{x}"])).mean() for x in ("real", "fake")]
    for name, x in theirs.items():
        a, b = float(ours[name]), float(x)
        size = max(abs(a), *said) if name.startswith("loss") else abs(a)
        if name == "penalty/gp":
            size = max(a, np.sqrt(a))
        if not abs(a - b) <= rtol * size:
            raise SystemExit(f"first step: {name} is {a}, in PyTorch {b}")


def soft(x: Tensor) -> Tensor:
    """mean softplus."""
    return F.softplus(x).mean()


SLOWLY = 0.01
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of our arrays as PyTorch orders them
KINDS = {
    "Dense": torch.nn.Linear,
    "Conv": torch.nn.Conv2d,
    "ConvTranspose": torch.nn.ConvTranspose2d,
    "BatchNorm": torch.nn.BatchNorm2d,
}
PAIRED = ("rp",)  # losses of G in which D's answers to real examples are
LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "non_saturating": (lambda r, f: soft(-r) + soft(f), lambda r, f: soft(-f)),
    "hinge": (
        lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
        lambda r, f: -f.mean(),
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "rp": (lambda r, f: soft(f - r), lambda r, f: soft(r - f)),
}
WAYS: dict[str, How] = {
    "eager": How(best=False),
    "best": How(),
    "compile": How(compiled=True),
    "autocast": How(autocast=True),
    "compile_autocast": How(autocast=True, compiled=True),
}
