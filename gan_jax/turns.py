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
    "adam": lambda n: optax.adam(n["lr"], b1=n["b1"], b2=n["b2"], eps=n["eps"]),
    "adamw": lambda n: optax.adamw(
        n["lr"], b1=n["b1"], b2=n["b2"], eps=n["eps"], weight_decay=n["weight_decay"]
    ),
    "adabelief": lambda n: optax.adabelief(
        n["lr"], b1=n["b1"], b2=n["b2"], eps=n["eps"]
    ),
    "lion": lambda n: optax.lion(
        n["lr"], b1=n["b1"], b2=n["b2"], weight_decay=n["weight_decay"]
    ),
    "rmsprop": lambda n: optax.rmsprop(
        n["lr"], decay=n["b2"], eps=n["eps"], momentum=n["momentum"]
    ),
    "sgd": lambda n: optax.sgd(n["lr"], momentum=n["momentum"]),
}


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


class Turns:
    """The three moves of a step: imagine (a generator forward kept open), disc_turn, gen_turn."""

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

    def disc_turn(self, disc: Player, context: Context, made: Any) -> Any:
        """(D after its update or updates, memory, metrics)."""
        tx = optimizers(self.recipe, context.hyper).disc
        metrics, memory = {}, context.memory
        for detach in self.halves:
            gradient = jax.grad(self.objective.disc_loss, has_aux=True)
            at = context._replace(memory=memory)
            grads, (vars, metrics, memory) = gradient(
                disc.params, disc.vars, at, made, detach
            )
            grads, memory = self.mean((grads, memory))
            moved = self.clipped(self.move(disc, grads, vars, tx), context.hyper)
            metrics = {**metrics, "grad/disc": optax.tree.norm(grads)}
            if self.stalls:
                rest = self.rest(context.hyper, metrics).disc
                moved = keep(rest, moved, disc)
                metrics["stall/disc"] = rest.astype(jnp.float32)
            disc = moved
        return disc, memory, metrics

    def gen_turn(self, players: Pair, context: Context, imagined: Any) -> Any:
        """(G after its update, memory, metrics)."""
        made, pull_back, vars = imagined
        gradient = jax.grad(self.objective.gen_loss, argnums=(0, 1), has_aux=True)
        (on_made, direct), (metrics, memory) = gradient(
            made, players.gen.params, players.disc, context
        )
        through = pull_back(on_made)[0]
        grads, memory = self.mean((jax.tree.map(jnp.add, through, direct), memory))
        tx = optimizers(self.recipe, context.hyper).gen
        gen = self.move(players.gen, grads, vars, tx)
        metrics = {**metrics, "grad/gen": optax.tree.norm(grads)}
        rests = []
        if self.stalls:
            rests.append(self.rest(context.hyper, metrics).gen)
            metrics["stall/gen"] = rests[0].astype(jnp.float32)
        if "disc_pretrain" in self.recipe.tricks:
            rests.append(context.step < context.hyper["trick"]["disc_pretrain"])
        for rest in rests:
            gen = keep(rest, gen, players.gen)
        return gen, memory, metrics


def both(real: Any, fake: Any) -> Any:
    """Train the discriminator on both sides of its loss."""
    return real, fake


def only_real(real: Any, fake: Any) -> Any:
    """Train it on the real side alone."""
    return real, jax.lax.stop_gradient(fake)


def only_fake(real: Any, fake: Any) -> Any:
    """Train it on the fake side alone."""
    return jax.lax.stop_gradient(real), fake
