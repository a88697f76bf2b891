"""The training step as one pure function, and the loop of many steps in one program.

    step(state, batch) -> (state, metrics)

One step is one iteration: `n_disc` discriminator updates on `n_disc` fresh batches, then `n_gen` generator
updates. jit, donation, devices and populations are outside (parallel.py); nothing here has a side effect.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gan_jax.objectives import OBJECTIVES, Context
from gan_jax.types import (
    Batch,
    Hyper,
    Metrics,
    Pair,
    Player,
    Recipe,
    TrainState,
    lookup,
)

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
FIXED_NOISE = (
    2**32 - 1
)  # folded into the key for the pictures: no step ever has this number

# Each takes the numbers of `hyper["optim"][player]`, which may be traced. The structure of an optimizer's
# state is fixed by its name (momentum is always carried), so that a sweep over any number is one program.
OPTIMIZERS: dict[str, Callable[[Hyper], optax.GradientTransformation]] = {
    "adam": lambda n: optax.adam(n["lr"], b1=n["b1"], b2=n["b2"], eps=n["eps"]),
    "adamw": lambda n: optax.adamw(
        n["lr"], b1=n["b1"], b2=n["b2"], eps=n["eps"], weight_decay=n["weight_decay"]
    ),
    "rmsprop": lambda n: optax.rmsprop(
        n["lr"], decay=n["b2"], eps=n["eps"], momentum=n["momentum"]
    ),
    "sgd": lambda n: optax.sgd(n["lr"], momentum=n["momentum"]),
}


def optimizers(recipe: Recipe, hyper: Hyper) -> Pair:
    """The Pair of optax transformations with this state's numbers."""
    kinds = [lookup("optimizer", OPTIMIZERS, name) for name in recipe.optim]
    numbers = hyper["optim"]
    return Pair(kinds[0](numbers["gen"]), kinds[1](numbers["disc"]))


def init(recipe: Recipe, nets: Pair, hyper: Hyper, seed: Any) -> TrainState:
    """The state before the first step. `hyper` and `seed` may be traced, so members of a sweep can be mapped."""
    key = jax.random.key(seed)
    gen_key, disc_key = jax.random.split(jax.random.fold_in(key, FIXED_NOISE - 1))
    hyper = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), hyper)
    z = jnp.zeros((2, recipe.model.latent_dim))
    x = jnp.zeros((2, *recipe.model.image_shape))
    gen = nets.gen.init(gen_key, hyper, z)
    disc = nets.disc.init(disc_key, hyper, x)
    tx = optimizers(recipe, hyper)
    state = TrainState(
        step=jnp.int32(0),
        key=key,
        players=Pair(
            Player(*gen, tx.gen.init(gen[0])), Player(*disc, tx.disc.init(disc[0]))
        ),
        ema={"params": gen[0], "vars": gen[1]},
        hyper=hyper,
        memory={},
        halted=jnp.bool_(False),
    )
    # copies: the average starts as an alias of the parameters, and an aliased buffer cannot be donated
    return jax.tree.map(jnp.copy, state)


def prepare(batch: Batch, flip: bool, key: Any) -> Batch:
    """Pictures uint8 [n, B, H, W, C] -> float32 in -1..1, each mirrored with probability 1/2 if `flip`."""
    image = jnp.asarray(batch.image)
    if image.dtype == jnp.uint8:
        image = image.astype(jnp.float32) / 127.5 - 1.0
    if flip:
        mirror = jax.random.bernoulli(key, 0.5, image.shape[:2] + (1,) * 3)
        image = jnp.where(mirror, image[..., ::-1, :], image)
    return batch._replace(image=image)


def all_finite(tree: Any) -> Any:
    """True when every floating-point element of the tree is finite."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]).all()


def average(ema: Any, new: Any, decay: Any, step: Any) -> Any:
    """Exponential moving average with the warm-up min(decay, (1+t)/(10+t)), t iterations done before."""
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, ema, new)


def both(real: Any, fake: Any) -> Any:
    """Train the discriminator on both sides of its loss."""
    return real, fake


def only_real(real: Any, fake: Any) -> Any:
    """Train it on the real side alone."""
    return real, jax.lax.stop_gradient(fake)


def only_fake(real: Any, fake: Any) -> Any:
    """Train it on the fake side alone."""
    return jax.lax.stop_gradient(real), fake


def make_turns(recipe: Recipe, nets: Pair, axis: str | None) -> tuple[Any, Any, Any]:
    """The three moves of a step: imagine (a generator forward kept open), disc_turn, gen_turn."""
    objective = lookup("objective", OBJECTIVES, recipe.objective)(recipe, nets)
    halves = (only_real, only_fake) if recipe.disc_split else (both,)
    mean = (lambda tree: jax.lax.pmean(tree, axis)) if axis else (lambda tree: tree)

    def imagine(gen: Player, context: Context) -> tuple[Any, Any, Any]:
        """Fakes of fresh noise, the pull-back of a gradient on them to `gen.params`, the new statistics."""
        noise_key, net_key = jax.random.split(context.key)
        z = objective.inputs(noise_key, context.batch)

        def forward(params: Any) -> Any:
            return objective.generate(params, gen.vars, context.hyper, z, net_key)

        return jax.vjp(forward, gen.params, has_aux=True)

    def move(player: Player, grads: Any, vars: Any, tx: Any) -> Player:
        updates, opt = tx.update(grads, player.opt, player.params)
        return Player(optax.apply_updates(player.params, updates), mean(vars), opt)

    def disc_turn(disc: Player, context: Context, fake: Any) -> tuple[Player, Metrics]:
        tx = optimizers(recipe, context.hyper).disc
        metrics = {}
        for detach in halves:
            gradient = jax.grad(objective.disc_loss, has_aux=True)
            grads, (vars, metrics) = gradient(
                disc.params, disc.vars, context, fake, detach
            )
            grads = mean(grads)
            disc = move(disc, grads, vars, tx)
            metrics = {**metrics, "grad/disc": optax.tree.norm(grads)}
        return disc, metrics

    def gen_turn(players: Pair, context: Context, imagined: Any) -> Any:
        fake, pull_back, vars = imagined

        def loss(fake: Any) -> Any:
            return objective.gen_loss(players.disc, context, fake)

        on_fake, metrics = jax.grad(loss, has_aux=True)(fake)
        grads = mean(pull_back(on_fake)[0])
        tx = optimizers(recipe, context.hyper).gen
        gen = move(players.gen, grads, vars, tx)
        return gen, {**metrics, "grad/gen": optax.tree.norm(grads)}

    return imagine, disc_turn, gen_turn


def make_step(recipe: Recipe, nets: Pair, axis: str | None = None) -> Step:
    """The pure step of a recipe. With `axis`, gradients and statistics are averaged over that mapped axis.

    batch: Batch of [n_disc, B, ...] (uint8 pictures or float points). metrics: float32 scalars "loss/disc",
    "loss/gen", "disc/real", "disc/fake", "disc/accuracy", "grad/disc", "grad/gen", "penalty/...", and
    "logits/real", "logits/fake" [B], all of the last update of each player.
    """
    imagine, disc_turn, gen_turn = make_turns(recipe, nets, axis)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        if axis:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis))
        flip_key, disc_key, gen_key = jax.random.split(key, 3)
        batch = prepare(batch, recipe.flip, flip_key)

        def context(key: Any, i: Any, batch: Batch) -> tuple[Context, Context]:
            first, second = jax.random.split(jax.random.fold_in(key, i))
            make = (batch, state.hyper, state.step)
            return Context(*make, first), Context(*make, second)

        def one_disc(disc: Player, i: Any) -> Any:
            real = jax.tree.map(lambda x: x[i], batch)
            dream, judge = context(disc_key, i, real)
            imagined = imagine(state.players.gen, dream)
            return *disc_turn(disc, judge, imagined[0]), imagined

        disc = state.players.disc
        if recipe.n_disc > 1:
            disc = jax.lax.fori_loop(
                0, recipe.n_disc - 1, lambda i, d: one_disc(d, i)[0], disc
            )
        disc, metrics, imagined = one_disc(disc, recipe.n_disc - 1)

        last = jax.tree.map(lambda x: x[-1], batch)

        def one_gen(gen: Player, i: Any, imagined: Any = None) -> Any:
            dream, judge = context(gen_key, i, last)
            return gen_turn(Pair(gen, disc), judge, imagined or imagine(gen, dream))

        shared = imagined if recipe.share_noise else None
        gen, gen_metrics = one_gen(state.players.gen, 0, shared)
        if recipe.n_gen > 1:
            gen, gen_metrics = jax.lax.fori_loop(
                1, recipe.n_gen, lambda i, c: one_gen(c[0], i), (gen, gen_metrics)
            )
        metrics = gathered({**metrics, **gen_metrics}, axis)
        return settle(state, Pair(gen, disc), metrics), metrics

    return step


def gathered(metrics: Metrics, axis: str | None) -> Metrics:
    """Under a mapped axis: scalars averaged, batches of logits joined in device order."""
    if axis is None:
        return metrics
    return {
        name: jax.lax.all_gather(x, axis, tiled=True)
        if x.ndim
        else jax.lax.pmean(x, axis)
        for name, x in metrics.items()
    }


def settle(state: TrainState, players: Pair, metrics: Metrics) -> TrainState:
    """The state after the players moved, or the old one, halted, if anything is not finite."""
    gen = players.gen
    ema = average(
        state.ema,
        {"params": gen.params, "vars": gen.vars},
        state.hyper["ema_decay"],
        state.step,
    )
    good = all_finite([p.params for p in players] + [p.vars for p in players])
    good &= all_finite(metrics)
    go = good & ~state.halted

    def choose(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(go, a, b), new, old)

    return TrainState(
        step=state.step + go.astype(jnp.int32),
        key=state.key,
        players=choose(players, state.players),
        ema=choose(ema, state.ema),
        hyper=state.hyper,
        memory=state.memory,
        halted=state.halted | ~good,
    )


def streamed(feed: Batch, i: Any) -> Batch:
    """Step i's batch of a feed that holds the chunk's pictures [K, n_disc, B, ...]."""
    return jax.tree.map(lambda x: x[i], feed)


def resident(feed: tuple[Batch, Any], i: Any) -> Batch:
    """Step i's batch of a feed that is (the whole set [N, ...], indices int32 [K, n_disc, B])."""
    table, indices = feed
    return jax.tree.map(lambda x: x[indices[i]], table)


def make_chunk(step: Step, take: Callable[[Any, Any], Batch]) -> Callable[..., Any]:
    """chunk(state, feed, n) -> (state, metrics of the last step that ran); n <= K is traced.

    One executable serves any n, so cadences and interruptions never change a byte. After a halt the
    remaining steps change nothing and the metrics stay those of the step that halted.
    """

    def chunk(state: TrainState, feed: Any, n: Any) -> tuple[TrainState, Metrics]:
        def body(i: Any, carry: Any) -> Any:
            state, metrics = carry
            after, new = step(state, take(feed, i))
            kept = jax.tree.map(
                lambda a, b: jnp.where(state.halted, a, b), metrics, new
            )
            return after, kept

        shapes = jax.eval_shape(lambda: step(state, take(feed, 0))[1])
        empty = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.fori_loop(0, n, body, (state, empty))

    return chunk
