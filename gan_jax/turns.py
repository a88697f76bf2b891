"""How a player moves: optimizers, the generator's imagination, one update of either player."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gan_jax.judging import Context
from gan_jax.objectives import OBJECTIVES
from gan_jax.tricks import STALLS, keep, stalled
from gan_jax.types import Hyper, Metrics, Pair, Player, Recipe, lookup

# Each takes the numbers of `hyper["optim"][player]`, which may be traced. The structure of an optimizer's
# state is fixed by its name (momentum is always carried), so that a sweep over any number is one program.
OPTIMIZERS: dict[str, Callable[[Hyper], optax.GradientTransformation]] = {
    "adam": lambda n: optax.adam(n["lr"], **_adam(n)),
    "adamw": lambda n: optax.adamw(n["lr"], **_adam(n), weight_decay=n["weight_decay"]),
    "adabelief": lambda n: optax.adabelief(
        n["lr"], b1=n["b1"], b2=n["b2"], eps=n["eps"]
    ),
    # Daskalakis et al. 2018 (arXiv:1711.00141): twice this slope less the last one, of gradients or of Adam's steps
    "optimistic_adam": lambda n: optax.optimistic_adam_v2(n["lr"], **_adam(n)),
    "optimistic_gd": lambda n: optax.optimistic_gradient_descent(n["lr"]),
    "lion": lambda n: optax.lion(
        n["lr"], b1=n["b1"], b2=n["b2"], weight_decay=n["weight_decay"]
    ),
    "rmsprop": lambda n: optax.rmsprop(
        n["lr"], decay=n["b2"], eps=n["eps"], momentum=n["momentum"]
    ),
    "sgd": lambda n: optax.sgd(n["lr"], momentum=n["momentum"]),
}


def _adam(n: Hyper) -> dict[str, Any]:
    """Adam's numbers; eps_root is set only where an update is differentiated."""
    root = n.get("eps_root", 0.0)
    return {"b1": n["b1"], "b2": n["b2"], "eps": n["eps"], "eps_root": root}


def optimizers(recipe: Recipe, hyper: Hyper) -> Pair:
    """The Pair of optax transformations with this state's numbers, gradients cut at a global norm where asked."""

    def one(name: str, clip: bool, numbers: Hyper) -> optax.GradientTransformation:
        rule = lookup("optimizer", OPTIMIZERS, name)(numbers)
        if not clip:
            return rule
        return optax.chain(optax.clip_by_global_norm(numbers["clip"]), rule)

    numbers = hyper["optim"]
    return Pair(
        one(recipe.optim.gen, recipe.clip.gen, numbers["gen"]),
        one(recipe.optim.disc, recipe.clip.disc, numbers["disc"]),
    )


def bind(recipe: Recipe, nets: Pair, axis: str | None = None) -> Any:
    """The objective of a recipe; `axis` names the mapped axis over which a batch is spread."""

    def gather(x: Any) -> Any:
        return jax.lax.all_gather(x, axis, tiled=True) if axis else x

    return lookup("objective", OBJECTIVES, recipe.objective).bind(recipe, nets, gather)


Slope = tuple[Any, tuple[Any, Metrics, Any]]  # gradients, (vars, metrics, memory)
Moved = tuple[Player, Any, Metrics]  # a player, memory, metrics
Ahead = Callable[[Player, Context, Any], Player]


class Turns:
    """What players can do in a step: imagine (a generator forward kept open), find their slope, step down it.

    disc_turn and gen_turn are both at once. How these make a step is the game's matter (games.py).
    """

    def __init__(self, recipe: Recipe, nets: Pair, axis: str | None):
        """With `axis`, gradients, statistics and memory are averaged over that mapped axis."""
        self.recipe, self.objective = recipe, bind(recipe, nets, axis)
        self.halves = (only_real, only_fake) if recipe.disc_split else (both,)
        self.axis = axis
        self.stalls = any(name in recipe.tricks for name in STALLS)

    def mean(self, tree: Any) -> Any:
        """The mean over all devices."""
        return jax.lax.pmean(tree, self.axis) if self.axis else tree

    def imagine(self, gen: Player, context: Context) -> tuple[Any, Any, Any]:
        """What G makes of fresh latents, the pull-back of a gradient on it to `gen.params`, the new statistics."""
        noise_key, net_key = jax.random.split(context.key)
        fed = self.objective.inputs(noise_key, context.batch)

        def forward(params: Any) -> Any:
            return self.objective.generate(params, gen.vars, context, fed, net_key)

        return jax.vjp(forward, gen.params, has_aux=True)

    def move(self, player: Player, grads: Any, vars: Any, tx: Any) -> Player:
        """A player after one update of its optimizer."""
        updates, opt = tx.update(grads, player.opt, player.params)
        params = optax.apply_updates(player.params, updates)
        return Player(params, self.mean(vars), opt)

    def clipped(self, disc: Player, hyper: Hyper) -> Player:
        """D with its parameters cut to -c..c (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1), if asked."""
        if "weight_clip" not in self.recipe.tricks:
            return disc
        c = hyper["trick"]["weight_clip"]
        params = jax.tree.map(lambda x: jnp.clip(x, -c, c), disc.params)
        return Player(params, disc.vars, disc.opt)

    def rest(self, hyper: Hyper, metrics: Metrics) -> Pair:
        """Which players rest by the bounds of the recipe, decided on the means over all devices."""
        bounds = {n: hyper["trick"][n] for n in STALLS if n in self.recipe.tricks}
        watched = {STALLS[name][1] for name in bounds} & set(metrics)
        seen = {name: self.mean(metrics[name]) for name in watched}
        return Pair(**stalled(seen, bounds))

    def disc_slope(
        self, disc: Player, context: Context, made: Any, detach: Any = None
    ) -> Slope:
        """The gradient of D's loss on this device, and (statistics, metrics, memory) after it."""
        gradient = jax.grad(self.objective.disc_loss, has_aux=True)
        return gradient(disc.params, disc.vars, context, made, detach or both)

    def gen_slope(
        self, players: Pair, context: Context, imagined: Any, ahead: Ahead | None = None
    ) -> Slope:
        """The gradient of G's loss on this device, and (statistics, metrics, memory) after it.

        ahead(disc, context, made) -> the D that G has to face; the gradient flows through it. None: D as it is.
        """
        made, pull_back, vars = imagined

        def loss(made: Any, params: Any) -> Any:
            faced = ahead(players.disc, context, made) if ahead else players.disc
            return self.objective.gen_loss(made, params, faced, context)

        gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
        (on_made, direct), seen = gradient(made, players.gen.params)
        through = pull_back(on_made)[0]
        return jax.tree.map(jnp.add, through, direct), (vars, *seen)

    def disc_step(self, disc: Player, slope: Slope, context: Context) -> Moved:
        """D after one update of its optimizer by a slope, memory and metrics."""
        grads, (vars, metrics, memory) = slope
        grads, memory = self.mean((grads, memory))
        tx = optimizers(self.recipe, context.hyper).disc
        moved = self.clipped(self.move(disc, grads, vars, tx), context.hyper)
        metrics = {**metrics, "grad/disc": optax.tree.norm(grads)}
        if self.stalls:
            rest = self.rest(context.hyper, metrics).disc
            moved = keep(rest, moved, disc)
            metrics["stall/disc"] = rest.astype(jnp.float32)
        return moved, memory, metrics

    def gen_step(self, gen: Player, slope: Slope, context: Context) -> Moved:
        """G after one update of its optimizer by a slope, memory and metrics."""
        grads, (vars, metrics, memory) = slope
        grads, memory = self.mean((grads, memory))
        tx = optimizers(self.recipe, context.hyper).gen
        moved = self.move(gen, grads, vars, tx)
        metrics = {**metrics, "grad/gen": optax.tree.norm(grads)}
        rests = []
        if self.stalls:
            rests.append(self.rest(context.hyper, metrics).gen)
            metrics["stall/gen"] = rests[0].astype(jnp.float32)
        if "disc_pretrain" in self.recipe.tricks:
            rests.append(context.step < context.hyper["trick"]["disc_pretrain"])
        for rest in rests:
            moved = keep(rest, moved, gen)
        return moved, memory, metrics

    def disc_turn(self, disc: Player, context: Context, made: Any) -> Moved:
        """D after its update, or updates where each side of its loss has its own."""
        memory, metrics = context.memory, {}
        for detach in self.halves:
            at = context._replace(memory=memory)
            slope = self.disc_slope(disc, at, made, detach)
            disc, memory, metrics = self.disc_step(disc, slope, at)
        return disc, memory, metrics

    def gen_turn(
        self, players: Pair, context: Context, imagined: Any, ahead: Ahead | None = None
    ) -> Moved:
        """G after its update; `ahead` as in `gen_slope`."""
        slope = self.gen_slope(players, context, imagined, ahead)
        return self.gen_step(players.gen, slope, context)


def both(real: Any, fake: Any) -> Any:
    """Train the discriminator on both sides of its loss."""
    return real, fake


def only_real(real: Any, fake: Any) -> Any:
    """Train it on the real side alone."""
    return real, jax.lax.stop_gradient(fake)


def only_fake(real: Any, fake: Any) -> Any:
    """Train it on the fake side alone."""
    return jax.lax.stop_gradient(real), fake
