"""What the discriminator sees of real and fake examples, and what is logged of its answers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.augment import augment
from gan_jax.losses import LossPair
from gan_jax.penalties import PENALTIES, slope
from gan_jax.tricks import instance_noise, linear_decay, pack, unpack
from gan_jax.types import Batch, Hyper, Metrics, Pair, Recipe, Scores, lookup


class Context(NamedTuple):
    """What both losses of one update see: real examples (float), numbers, memory, the step's count and a key."""

    batch: Batch
    hyper: Hyper
    memory: dict[str, Any]
    step: Any
    key: Any


class Pass(NamedTuple):
    """A pass of D over examples `x` that its loss has made, kept open: slope() = the gradient of its summed logits."""

    x: Any
    slope: Callable[[], Any]


class Judge(NamedTuple):
    """one(params, vars, context, x, key) -> (Scores, vars); both(params, vars, context, real, fake, key) ->
    (Scores of real, Scores of fake, vars, passes that are open). Examples are packed: [B / packing, ..., packing * C].
    """

    one: Callable[..., Any]
    both: Callable[..., Any]


def told(recipe: Recipe, batch: Batch) -> tuple[Any, ...]:
    """The inputs that the networks get beside z or x: the label, or nothing."""
    return () if recipe.model.condition == "none" else (batch.label,)


def shown(recipe: Recipe, x: Any, context: Context, key: Any) -> Any:
    """Examples as D is shown them: augmented, then with instance noise."""
    first, second = jax.random.split(key)
    if recipe.augment:
        p = (
            context.memory["augment"]["p"]
            if recipe.adaptive
            else context.hyper["augment"]["p"]
        )
        x = augment(recipe.augment, x, p, first)
    if "instance_noise" in recipe.tricks:
        trick = context.hyper["trick"]
        fade = linear_decay(context.step, trick["instance_noise_steps"])
        x = instance_noise(x, trick["instance_noise"] * fade, second)
    return x


def make_judge(recipe: Recipe, nets: Pair) -> Judge:
    """D of a recipe, as its losses and penalties call it."""
    m = recipe.packing

    def apply(
        params: Any, vars: Any, context: Context, x: Any, label: Any, key: Any
    ) -> Any:
        return nets.disc.apply(
            params, vars, context.hyper, x, *label, key=key, train=True
        )

    def seen(x: Any, context: Context, key: Any) -> Any:
        return (
            pack(shown(recipe, unpack(x, m), context, key), m)
            if m > 1
            else shown(recipe, x, context, key)
        )

    def one(params: Any, vars: Any, context: Context, x: Any, key: Any) -> Any:
        look, drop = jax.random.split(key)
        label = told(recipe, context.batch)
        return apply(params, vars, context, seen(x, context, look), label, drop)

    def opened(params: Any, vars: Any, context: Context, x: Any, key: Any) -> Any:
        def run(x: Any) -> Any:
            scores, after = one(params, vars, context, x, key)
            return jnp.sum(scores.logits), (scores, after)

        total, pull_back, (scores, after) = jax.vjp(run, x, has_aux=True)
        return scores, after, Pass(x, lambda: pull_back(jnp.ones_like(total))[0])

    def apart(
        params: Any, vars: Any, context: Context, real: Any, fake: Any, keys: Any
    ) -> Any:
        of_real, vars, first = opened(params, vars, context, real, keys[0])
        of_fake, vars, second = opened(params, vars, context, fake, keys[1])
        return of_real, of_fake, vars, (first, second)

    def joint(
        params: Any, vars: Any, context: Context, real: Any, fake: Any, keys: Any
    ) -> Any:
        (look, drop), (other, _) = (jax.random.split(key) for key in keys)
        x = jnp.concatenate([seen(real, context, look), seen(fake, context, other)])
        label = tuple(jnp.tile(y, 2) for y in told(recipe, context.batch))
        out, vars = apply(params, vars, context, x, label, drop)
        halves = [
            jax.tree.map(lambda y, i=i: jnp.split(y, 2)[i], out) for i in range(2)
        ]
        return *halves, vars, ()

    return Judge(one, joint if recipe.joint_batch else apart)


class Critic:
    """D with everything but its input fixed, as penalties see it: critic(x) -> Scores.

    On what the loss has judged already (`passes`) its slope comes from that pass. A second one would have a backward
    pass of its own: of a DCGAN step with R1 that is one convolution in nine.
    """

    def __init__(self, run: Callable[[Any], Scores], passes: tuple[Pass, ...]):
        """run(x) -> Scores; passes: those of the loss."""
        self.run, self.passes = run, passes

    def __call__(self, x: Any) -> Scores:
        """Judge x."""
        return self.run(x)

    def slope(self, x: Any) -> Any:
        """The gradient of the summed logits by x."""
        known = [seen.slope for seen in self.passes if seen.x is x]
        return known[0]() if known else slope(self.run, x)


def penalised(
    recipe: Recipe, critic: Callable[[Any], Scores], real: Any, fake: Any, context: Any
) -> tuple[Any, Metrics]:
    """The weighted sum of the recipe's penalties, and each unweighted as "penalty/NAME".

    Lazy penalties (Karras et al. 2020, arXiv:1912.04958, appendix B): computed in every k-th iteration only and
    taken k times there; in the others they are 0, in the metrics too.
    """

    def compute(_: Any) -> tuple[Any, Metrics]:
        total, metrics = jnp.float32(0.0), {}
        for i, name in enumerate(recipe.penalties):
            key = jax.random.fold_in(context.key, i)
            value = lookup("penalty", PENALTIES, name)(critic, real, fake, key)
            total = total + context.hyper["penalty"][name] * value
            metrics[f"penalty/{name}"] = value
        return recipe.penalty_every * total, metrics

    if recipe.penalty_every == 1 or not recipe.penalties:
        return compute(None)
    shapes = jax.eval_shape(compute, None)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    now = (context.step + 1) % recipe.penalty_every == 0
    return jax.lax.cond(now, compute, lambda _: nothing, None)


def logit_metrics(loss: LossPair, real: Any, fake: Any, **numbers: Any) -> Metrics:
    """What every objective logs of D's two batches of answers [B]: mean probabilities, accuracy, the logits.

    Of energies, which have no natural zero, the logit is the mean energy of both batches less the sample's own.
    numbers: of D's loss, which may move the border that accuracy is counted by.
    """
    metrics = {}
    if loss.energy:
        metrics = {"energy/real": jnp.mean(real), "energy/fake": jnp.mean(fake)}
        middle = 0.5 * (metrics["energy/real"] + metrics["energy/fake"])
        real, fake = middle - real, middle - fake
    of_real, of_fake = loss.border(real, fake, **numbers)
    right = jnp.mean(real > of_real), jnp.mean(fake < of_fake)
    return {
        **metrics,
        "disc/real": jnp.mean(jax.nn.sigmoid(real)),
        "disc/fake": jnp.mean(jax.nn.sigmoid(fake)),
        "disc/accuracy": 0.5 * (right[0] + right[1]),
        "disc/accuracy_real": right[0],
        "disc/accuracy_fake": right[1],
        "logits/real": real,
        "logits/fake": fake,
    }
