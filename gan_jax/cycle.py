"""CycleGAN: two domains without pairs, two generators that undo each other, and the pool that D is shown fakes from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gan_jax.adversarial import Made
from gan_jax.auxiliary import Auxiliary, nothing
from gan_jax.judging import Context
from gan_jax.translation import Mapped, Pictures, l1
from gan_jax.types import Batch, Hyper, Metrics, Pair, Player, Recipe, UserError

DIRECTIONS = ("there", "back")  # source -> image, image -> source
_POOL = 100  # folded into a key for the pool: no split of the losses has so many


class Round(NamedTuple):
    """What both generators made: `there` of sources and `back` of images, as Made.

    Pairs (of the source, of the image): `around`, each translated there and back again; `same`, what each generator
    makes of a picture that is in its domain already, back(source) and there(image).
    """

    there: Made
    back: Made
    around: tuple[Any, Any]
    same: tuple[Any, Any]


class Cycle:
    """Two games at once, source -> image and image -> source, whose generators undo each other: CycleGAN.

    Zhu et al. 2017 (arXiv:1703.10593), eq. 3, and section 5.2 for the identity term. Each player's params, vars and
    memory hold the two directions under the names of DIRECTIONS. G's loss is the sum of both adversarial ones and

        loss_args.cycle (mean |back(there(a)) - a| + mean |there(back(b)) - b|)
        loss_args.identity (mean |back(a) - a| + mean |there(b) - b|)

    for sources a and images b; the paper's weights are 10 and 0 or 5. D's loss is the sum of both, which the paper
    halves. Logged are means over both directions, and each one's own loss/gen_there, loss/disc_back, ...
    """

    def __init__(self, recipe: Recipe, nets: Pair, gather: Callable[[Any], Any]):
        """Raise UserError unless both domains have pictures of one shape."""
        self.recipe, spec = recipe, recipe.model
        self.game = Mapped(Auxiliary(nothing), recipe, nets, gather)
        if spec.source_shape != spec.image_shape:
            one, other = (
                "x".join(map(str, shape))
                for shape in (spec.source_shape, spec.image_shape)
            )
            raise UserError(
                f"objective 'cycle' goes from each domain to the other and back, so both need pictures of one shape; "
                f"these are {one} and {other}"
            )

    def init(self, gen_key: Any, disc_key: Any, hyper: Hyper) -> Pair:
        """First parameters and statistics of the four networks."""
        keys = zip(jax.random.split(gen_key), jax.random.split(disc_key), strict=True)
        both = [self.game.init(*pair, hyper) for pair in keys]
        gens, discs = zip(*both, strict=True)
        return Pair(_by_name(gens), _by_name(discs))

    def memory(self, params: Pair) -> dict[str, Any]:
        """What the losses of each direction remember, and the pool that its D is shown fakes from."""
        kept = {}
        for name in DIRECTIONS:
            of = Pair(params.gen[name], params.disc[name])
            kept[name] = self.game.memory(of)
            if self.recipe.image_pool:
                shape = (self.recipe.image_pool, *self.recipe.model.image_shape)
                pool = {"pictures": jnp.zeros(shape), "count": jnp.int32(0)}
                kept[name]["pool"] = pool
        return kept

    def inputs(self, key: Any, batch: Batch) -> Any:
        """Source pictures and images."""
        return batch.source, batch.image

    def generate(
        self, params: Any, vars: Any, context: Context, fed: Any, key: Any
    ) -> Any:
        """The six pictures that the loss asks for; statistics go through all passes of a generator."""
        vars, keys = dict(vars), iter(jax.random.split(key, 6))

        def run(name: str, x: Any) -> Any:
            at = (params[name], vars[name], context, (x, None), next(keys))
            made, vars[name] = self.game.generate(*at)
            return made

        there, back = run("there", fed[0]), run("back", fed[1])
        around = run("back", there.image).image, run("there", back.image).image
        same = run("back", fed[0]).image, run("there", fed[1]).image
        return Round(there, back, around, same), vars

    def compared(self, batch: Batch, made: Round) -> list[tuple[Any, Any]]:
        """(translations, pictures of their domain) of both directions."""
        return [(made.there.image, batch.image), (made.back.image, batch.source)]

    def halves(self, context: Context) -> dict[str, Context]:
        """What each direction's own game sees; for `back` the images are the sources."""
        batch, keys = context.batch, jax.random.split(context.key)
        turned = batch._replace(image=batch.source, source=batch.image)
        return {
            name: context._replace(batch=of, memory=context.memory[name], key=key)
            for name, of, key in zip(DIRECTIONS, (batch, turned), keys, strict=True)
        }

    def pooled(self, made: Made, context: Context) -> tuple[Made, Context]:
        """Fakes as D is shown them, and the context whose memory holds the pool after them."""
        if not self.recipe.image_pool:
            return made, context
        kept, key = context.memory, jax.random.fold_in(context.key, _POOL)
        image, pool = from_pool(kept["pool"], made.image, key)
        return made._replace(image=image), context._replace(
            memory={**kept, "pool": pool}
        )

    def disc_loss(
        self,
        params: Any,
        vars: Any,
        context: Context,
        made: Round,
        detach: Callable[..., Any],
    ) -> Any:
        """The sum of both discriminators' losses."""
        total, seen, metrics, memory = jnp.float32(0.0), {}, {}, {}
        for name, half in self.halves(context).items():
            shown, half = self.pooled(getattr(made, name), half)
            value, after = self.game.disc_loss(
                params[name], vars[name], half, shown, detach
            )
            seen[name], metrics[name], memory[name] = after
            total = total + value
        return total, (seen, joined(metrics), memory)

    def gen_loss(self, made: Round, params: Any, disc: Player, context: Context) -> Any:
        """The sum of both generators' losses, with the cycle and the identity term."""
        total, metrics, memory = jnp.float32(0.0), {}, {}
        for name, half in self.halves(context).items():
            against = Player(disc.params[name], disc.vars[name], disc.opt)
            value, after = self.game.gen_loss(
                getattr(made, name), params[name], against, half
            )
            metrics[name], memory[name] = after
            total = total + value
        pair = context.batch.source, context.batch.image
        weights = context.hyper["loss_args"]
        terms = {
            name: sum(l1(x, y) for x, y in zip(pictures, pair, strict=True))
            for name, pictures in (("cycle", made.around), ("identity", made.same))
        }
        total = total + sum(weights[name] * value for name, value in terms.items())
        more = {f"loss/{name}": value for name, value in terms.items()}
        return total, ({**joined(metrics), **more}, memory)


def _by_name(networks: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """[(params, vars) of there, of back] -> ({name: params}, {name: vars})."""
    params, vars = zip(*networks, strict=True)
    return tuple(dict(zip(DIRECTIONS, of, strict=True)) for of in (params, vars))


def joined(metrics: dict[str, Metrics]) -> Metrics:
    """Scalars averaged over the directions, answers [B] one after the other, and each direction's own losses."""
    there, back = (metrics[name] for name in DIRECTIONS)
    both = {
        name: jnp.concatenate([x, back[name]]) if x.ndim else 0.5 * (x + back[name])
        for name, x in there.items()
    }
    own = {
        f"{name}_{direction}": metrics[direction][name]
        for name in ("loss/disc", "loss/gen")
        for direction in DIRECTIONS
        if name in there
    }
    return {**both, **own}


def from_pool(
    pool: dict[str, Any], new: Pictures, key: Any
) -> tuple[Float[Array, "B H W C"], dict[str, Any]]:
    """What D is shown in place of `new` pictures, and the pool after it: {"pictures": [n, H, W, C], "count"}.

    Shrivastava et al. 2017 (arXiv:1612.07828), section 2.3, as CycleGAN's authors have it: pictures come one after
    the other; while the pool fills, each is stored and shown; then, with probability 1/2, one of the pool is shown
    and the new one takes its place, otherwise the new one is shown. `count` int32: how many are stored.
    """
    size = pool["pictures"].shape[0]

    def one(carry: Any, given: Any) -> Any:
        pictures, count = carry
        picture, place, old = given
        filling = count < size
        place = jnp.where(filling, count, place)
        kept = pictures[place]
        stored = filling | old
        pictures = pictures.at[place].set(jnp.where(stored, picture, kept))
        shown = jnp.where(~filling & old, kept, picture)
        return (pictures, jnp.minimum(count + 1, size)), shown

    place, old = pool_draws(key, len(new), size)
    carry = pool["pictures"], pool["count"]
    (pictures, count), shown = jax.lax.scan(one, carry, (new, place, old))
    return shown, {"pictures": pictures, "count": count}


def pool_draws(
    key: Any, n: int, size: int
) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
    """For each of n pictures: a place in the pool, and whether the picture there is shown."""
    first, second = jax.random.split(key)
    place = jax.random.randint(first, (n,), 0, size)
    return place, jax.random.bernoulli(second, 0.5, (n,))
