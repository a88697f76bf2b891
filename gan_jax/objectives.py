"""Who minimises what. An objective binds a recipe and two networks into the four functions a step needs.

    inputs(key, batch)                                   -> what the generator is fed (a pytree)
    generate(params, vars, hyper, inputs, key)           -> (fake, vars)
    disc_loss(params, vars, context, fake, detach)       -> (scalar, (vars, metrics))
    gen_loss(disc, context, fake)                        -> (scalar, metrics)

`fake` may be any pytree, so a step never needs to know what is generated. In both losses the other player is
a constant. `detach(real_logits, fake_logits)` lets a step train on one side of the loss only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.losses import LOSSES
from gan_jax.penalties import PENALTIES
from gan_jax.tricks import TRICKS, linear_decay
from gan_jax.types import Batch, Hyper, Metrics, Pair, Recipe, Scores, lookup


class Context(NamedTuple):
    """What both losses of one update see: real examples (float), numbers, the step's count and a key."""

    batch: Batch
    hyper: Hyper
    step: Any
    key: Any


class Objective(NamedTuple):
    """A row of OBJECTIVES once bound; see the module's docstring for the signatures."""

    inputs: Callable[..., Any]
    generate: Callable[..., Any]
    disc_loss: Callable[..., Any]
    gen_loss: Callable[..., Any]


LATENTS: dict[str, Callable[..., Any]] = {
    "normal": lambda key, shape: jax.random.normal(key, shape),
    "uniform": lambda key, shape: jax.random.uniform(key, shape, minval=-1.0),
}


def loss_numbers(defaults: dict[str, float], hyper: Hyper) -> dict[str, Any]:
    """The numbers a loss takes, from `hyper`; a number that no config field sets keeps its default."""
    given = {**hyper["loss_args"], "smooth": hyper["trick"]["label_smooth"]}
    return {name: given.get(name, value) for name, value in defaults.items()}


def observe(recipe: Recipe, x: Any, context: Context, key: Any) -> Any:
    """What the discriminator is shown of `x`: instance noise when the recipe has it."""
    if "instance_noise" not in recipe.tricks:
        return x
    trick = context.hyper["trick"]
    std = trick["instance_noise"] * linear_decay(
        context.step, trick["instance_noise_steps"]
    )
    return TRICKS["instance_noise"](x, std, key)


def logit_metrics(real: Any, fake: Any) -> Metrics:
    """What every objective logs of D's two batches of logits [B]: mean probabilities, accuracy, the logits."""
    return {
        "disc/real": jnp.mean(jax.nn.sigmoid(real)),
        "disc/fake": jnp.mean(jax.nn.sigmoid(fake)),
        "disc/accuracy": 0.5 * (jnp.mean(real > 0) + jnp.mean(fake < 0)),
        "logits/real": real,
        "logits/fake": fake,
    }


def noise_to_image(recipe: Recipe, nets: Pair) -> Objective:
    """z -> G(z) against D: the adversarial game of Goodfellow et al. 2014 with any loss and penalties."""
    loss = lookup("loss", LOSSES, recipe.loss)
    draw = lookup("model.latent_dist", LATENTS, recipe.model.latent_dist)

    def inputs(key: Any, batch: Batch) -> Any:
        return draw(key, (batch.image.shape[0], recipe.model.latent_dim))

    def generate(params: Any, vars: Any, hyper: Hyper, z: Any, key: Any) -> Any:
        return nets.gen.apply(params, vars, hyper, z, key=key, train=True)

    def judge(params: Any, vars: Any, context: Context, x: Any, key: Any) -> Any:
        noise, drop = jax.random.split(key)
        x = observe(recipe, x, context, noise)
        return nets.disc.apply(params, vars, context.hyper, x, key=drop, train=True)

    def disc_loss(
        params: Any, vars: Any, context: Context, fake: Any, detach: Callable[..., Any]
    ) -> Any:
        real_key, fake_key, penalty_key = jax.random.split(context.key, 3)
        real = context.batch.image
        of_real, seen = judge(params, vars, context, real, real_key)
        of_fake, seen = judge(params, seen, context, fake, fake_key)
        numbers = loss_numbers(loss.numbers.disc, context.hyper)
        total = loss.disc(*detach(of_real.logits, of_fake.logits), **numbers)
        metrics = {"loss/disc": total, **logit_metrics(of_real.logits, of_fake.logits)}

        def critic(x: Any) -> Scores:
            # the real batch's key: XLA then shares the forward pass of r1 with that of the loss
            return judge(params, vars, context, x, real_key)[0]

        for i, name in enumerate(recipe.penalties):
            key = jax.random.fold_in(penalty_key, i)
            value = lookup("penalty", PENALTIES, name)(critic, real, fake, key)
            total = total + context.hyper["penalty"][name] * value
            metrics[f"penalty/{name}"] = value
        return total, (seen, metrics)

    def gen_loss(disc: Any, context: Context, fake: Any) -> Any:
        real_key, fake_key = jax.random.split(context.key)
        of_fake, seen = judge(disc.params, disc.vars, context, fake, fake_key)
        of_real, _ = judge(disc.params, seen, context, context.batch.image, real_key)
        numbers = loss_numbers(loss.numbers.gen, context.hyper)
        total = loss.gen(of_real.logits, of_fake.logits, **numbers)
        return total, {"loss/gen": total}

    return Objective(inputs, generate, disc_loss, gen_loss)


OBJECTIVES: dict[str, Callable[[Recipe, Pair], Objective]] = {
    "noise_to_image": noise_to_image,
}
