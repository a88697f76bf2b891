"""The adversarial game as an objective: what `objectives.py` asks for, of any loss with its penalties and tricks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.augment import ada_update
from gan_jax.auxiliary import Auxiliary
from gan_jax.energies import began_balance, began_measure
from gan_jax.judging import Context, Critic, logit_metrics, make_judge, penalised, told
from gan_jax.latents import draw_latents
from gan_jax.losses import LOSSES, LossPair
from gan_jax.regularisers import REGULARISERS, View, start_memory
from gan_jax.tricks import FEATURE_MATCHING, label_flip, pack, top_k
from gan_jax.types import Batch, Hyper, Metrics, Pair, Recipe, Scores, lookup

NEAR = 0.05  # std of the step between z and its neighbour z'
SIGN_DECAY = 0.8  # of the running sign of D(x): about the four batches of ADA's authors


class Made(NamedTuple):
    """What G made: `image` of latents `z`, and `near` of latents close to them where a regulariser asks for it."""

    image: Any
    z: Any
    near: Any = None


def loss_numbers(defaults: dict[str, float], context: Context) -> dict[str, Any]:
    """The numbers a loss takes, from config or memory; a number that nothing sets keeps its default."""
    hyper, memory = context.hyper, context.memory
    trick = hyper["trick"]
    given = {
        **hyper["loss_args"],
        "smooth": trick["label_smooth"],
        "smooth_fake": trick["label_smooth_fake"],
        **{name: memory[name] for name in ("k",) if name in memory},
    }
    return {name: given.get(name, value) for name, value in defaults.items()}


def regularised(
    recipe: Recipe, player: str, view: View, context: Context
) -> tuple[Any, Metrics, dict[str, Any]]:
    """The weighted sum of a player's regularisers, their values, and the memory after them."""
    total, metrics, memory = jnp.float32(0.0), {}, dict(context.memory)
    for name in recipe.regularisers:
        function = getattr(REGULARISERS[name], player)
        if function is None:
            continue
        kept = memory[name]
        value, after = function(view._replace(memory=getattr(kept, player)))
        memory[name] = kept._replace(**{player: jax.lax.stop_gradient(after)})
        total = total + context.hyper["penalty"][name] * value
        metrics[f"penalty/{name}_{player}"] = value
    return total, metrics, memory


def remembered(
    recipe: Recipe, memory: Any, context: Context, real: Any, fake: Any
) -> tuple[dict[str, Any], Metrics]:
    """The memory after a D update that answered `real` and `fake` [B] (of all devices), and what to log of it."""
    metrics: Metrics = {}
    if "k" in memory:  # BEGAN's balance
        numbers = context.hyper["loss_args"]
        gamma = numbers["gamma"]
        k = began_balance(memory["k"], real, fake, gamma, numbers["k_rate"])
        metrics = {"began/k": k, "began/measure": began_measure(real, fake, gamma)}
        memory = {**memory, "k": k}
    if recipe.adaptive:
        numbers, kept = context.hyper["augment"], memory["augment"]
        now = jnp.mean(jnp.sign(real))
        sign = SIGN_DECAY * kept["sign"] + (1 - SIGN_DECAY) * now
        size = recipe.batch_size
        p = ada_update(kept["p"], sign, size, numbers["target"], numbers["kimg"])
        memory = {**memory, "augment": {"p": p, "sign": sign}}
        metrics |= {"augment/p": p, "augment/sign": sign}
    return memory, metrics


class Adversarial:
    """What G makes of latents (or of source pictures) against D: the game of Goodfellow et al. 2014 with any loss, penalties and tricks.

    `auxiliary` is what the players do together beside it (name the class, find the code). `gather` joins a
    batch that is spread over a mapped axis.
    """

    def __init__(
        self,
        auxiliary: Auxiliary,
        recipe: Recipe,
        nets: Pair,
        gather: Callable[[Any], Any],
    ):
        """Look everything up that the recipe names."""
        self.recipe, self.nets, self.gather = recipe, nets, gather
        self.loss = lookup("loss", LOSSES, recipe.loss)
        self.judge = make_judge(recipe, nets)
        self.extra = auxiliary.bind(recipe.model)
        self.needs_near = any(REGULARISERS[n].needs_near for n in recipe.regularisers)
        self.sign = -1.0 if recipe.role_swap else 1.0

    def init(self, gen_key: Any, disc_key: Any, hyper: Hyper) -> Pair:
        """First parameters and statistics of both networks."""
        recipe, spec = self.recipe, self.recipe.model
        blank = jnp.zeros((2 * recipe.packing, *spec.image_shape))
        source = jnp.zeros((2, *spec.source_shape))
        batch = Batch(blank, jnp.zeros(2, jnp.int32), source)
        (x,), label = self.judged(batch, blank), told(recipe, batch)
        return Pair(
            self.nets.gen.init(gen_key, hyper, self.blank(batch), *label),
            self.nets.disc.init(disc_key, hyper, x, *label),
        )

    def blank(self, batch: Batch) -> Any:
        """What G is fed beside a batch of two, all zeros."""
        return jnp.zeros((2, self.recipe.model.latent_dim))

    def memory(self, params: Pair) -> dict[str, Any]:
        """What the losses remember, before the first step."""
        kept = start_memory(self.recipe.regularisers, params)
        if "k" in self.loss.numbers.disc:
            kept["k"] = jnp.zeros(())
        if self.recipe.adaptive:
            kept["augment"] = {"p": jnp.zeros(()), "sign": jnp.zeros(())}
        return kept

    def inputs(self, key: Any, batch: Batch) -> Any:
        """Latents [B, latent_dim], and others close to them or None."""
        z = draw_latents(self.recipe.model, key, batch.image.shape[0])
        if not self.needs_near:
            return z, None
        return z, z + NEAR * jax.random.normal(jax.random.fold_in(key, 2), z.shape)

    def generate(
        self, params: Any, vars: Any, context: Context, fed: Any, key: Any
    ) -> Any:
        """What G makes of latents; the fakes have the labels of the real batch."""
        label = told(self.recipe, context.batch)

        def make(z: Any) -> Any:
            numbers = context.hyper
            return self.nets.gen.apply(
                params, vars, numbers, z, *label, key=key, train=True
            )

        image, after = make(fed[0])
        near = make(fed[1])[0] if self.needs_near else None
        return Made(image, fed[0], near), after

    def judged(self, batch: Batch, *pictures: Any) -> list[Any]:
        """Pictures made or real as D judges them, beside the `batch` that they belong to."""
        return [pack(x, self.recipe.packing) for x in pictures]

    def logits(self, *scores: Scores) -> list[Any]:
        """What D says, high for what it was taught to call real."""
        return [self.sign * of.logits for of in scores]

    def compared(self, batch: Batch, made: Made) -> list[tuple[Any, Any]]:
        """(fakes, real examples) whose diversity the monitors compare."""
        return [(made.image, batch.image)]

    def answers(self, context: Context, *logits: Any) -> list[Any]:
        """Logits as the loss takes them: cut to -c..c by `logit_clip`, with no gradient beyond.

        c = log((1 - 1e-7) / 1e-7) = 16.118 is Keras' cross entropy, which cuts probabilities to 1e-7..1 - 1e-7.
        """
        if "logit_clip" not in self.recipe.tricks:
            return list(logits)
        c = context.hyper["trick"]["logit_clip"]
        return [jnp.clip(x, -c, c) for x in logits]

    def disc_loss(
        self,
        params: Any,
        vars: Any,
        context: Context,
        made: Made,
        detach: Callable[..., Any],
    ) -> Any:
        """D's loss with penalties, regularisers and its auxiliary task."""
        recipe, loss = self.recipe, self.loss
        *keys, penalty_key, flip_key = jax.random.split(context.key, 4)
        batch = context.batch
        real, fake = self.judged(batch, batch.image, made.image)
        of_real, of_fake, seen, passes = self.judge.both(
            params, vars, context, real, fake, keys
        )
        whole = self.logits(of_real, of_fake)
        numbers = loss_numbers(loss.numbers.disc, context)
        metrics = logit_metrics(loss, *whole, **numbers)
        pair = detach(*self.answers(context, *whole))
        if "label_flip" in recipe.tricks:
            pair = label_flip(*pair, context.hyper["trick"]["label_flip"], flip_key)
        total = loss.disc(*pair, **numbers)
        if loss.terms:
            terms = loss.terms(*pair, **numbers)
            metrics |= {"loss/disc_real": terms[0], "loss/disc_fake": terms[1]}

        def judge(x: Any) -> Scores:
            return self.judge.one(params, vars, context, x, keys[0])[0]

        at = context._replace(key=penalty_key)
        critic = Critic(judge, passes)
        penalty, values = penalised(recipe, critic, real, fake, at)
        near = None
        if self.needs_near:
            (x,) = self.judged(batch, made.near)
            near = self.judge.one(params, vars, context, x, keys[1])[0]
        view = View(params, None, of_real, of_fake, near)
        regular, more, kept = regularised(recipe, "disc", view, context)
        helped, told_of = self.extra.disc(context, of_real, of_fake, made)
        whole = self.gather(tuple(whole))
        kept, states = remembered(recipe, kept, context, *whole)
        metrics |= {"loss/disc": total, **values, **more, **told_of, **states}
        return total + penalty + regular + helped, (seen, metrics, kept)

    def gen_loss(self, made: Made, params: Any, disc: Any, context: Context) -> Any:
        """G's loss with regularisers and its auxiliary task."""
        keys = jax.random.split(context.key)
        batch = context.batch
        real, fake = self.judged(batch, batch.image, made.image)
        of_real, of_fake, *_ = self.judge.both(
            disc.params, disc.vars, context, real, fake, keys
        )
        scores = (of_real, of_fake)
        pair = self.answers(context, *self.logits(*scores))
        total, metrics = gen_terms(self.recipe, self.loss, pair, scores, context)
        view = View(params, None, of_real, of_fake, None, (made.image, made.near))
        regular, more, kept = regularised(self.recipe, "gen", view, context)
        helped, told_of = self.extra.gen(context, of_fake, made)
        return total + regular + helped, ({**metrics, **more, **told_of}, kept)


def gen_terms(
    recipe: Recipe, loss: LossPair, pair: Any, scores: Any, context: Context
) -> tuple[Any, Metrics]:
    """G's adversarial loss (of the best fakes only under top-k), plus feature matching."""
    numbers = loss_numbers(loss.numbers.gen, context)
    trick = context.hyper["trick"]
    if "top_k" in recipe.tricks:
        each = jax.vmap(lambda r, f: loss.gen(r[None], f[None], **numbers))(*pair)
        liked = -pair[1] if loss.energy else pair[1]
        total = jnp.sum(top_k(liked, trick["top_k"]) * each)
    else:
        total = loss.gen(*pair, **numbers)
    metrics = {"loss/gen": total}
    total = trick["adversarial"] * total
    if "feature_matching" in recipe.tricks:
        distance = lookup("feature matching", FEATURE_MATCHING, recipe.feature_matching)
        value = distance(*(of.features for of in scores))
        total = total + trick["feature_matching"] * value
        metrics["loss/feature_matching"] = value
    return total, metrics
