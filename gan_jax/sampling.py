"""Pictures from a generator: during training, from a saved run, along paths through the latent space."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from gan_jax import checkpoint, config, models
from gan_jax.best import best_step
from gan_jax.images import to_uint8
from gan_jax.latents import draw_latents, with_class
from gan_jax.models.kit import CONDITIONS
from gan_jax.plan import recorded
from gan_jax.rows import read_object
from gan_jax.step import init
from gan_jax.tricks import pack
from gan_jax.types import AnyArray, ModelSpec, Pair, Scores, UserError, lookup

BATCH = 256  # pictures a call: bounds memory, one compiled shape
POINTER = "member.json"  # of a sweep's member: its group's folder, and its place in it
MOST_COLUMNS = 16  # of a grid by class


class Fed(NamedTuple):
    """What a generator is fed: z [n, latent_dim], label int32 [n] or None, and the columns of its grid (0: square)."""

    z: Any
    label: Any = None
    columns: int = 0


def classes_of(spec: ModelSpec) -> int:
    """How many classes a generator can be asked for: labels that it is told, or InfoGAN's first code; 0: none."""
    if spec.condition != "none":
        return spec.classes
    return spec.codes[1] if spec.codes[0] else 0


def of_class(spec: ModelSpec, z: Any, label: Any) -> Fed:
    """Latents [n, latent_dim] asked for the classes `label`, an int or int [n]."""
    label = jnp.broadcast_to(jnp.asarray(label, jnp.int32), (len(z),))
    if spec.condition != "none":
        return Fed(z, label)
    return Fed(with_class(spec, z, label), None)


def by_class(spec: ModelSpec, z: Any) -> Fed:
    """Each latent once for each class (at most 16): a grid with a row for a latent and a column for a class."""
    columns = min(classes_of(spec), MOST_COLUMNS)
    label = jnp.tile(jnp.arange(columns), len(z))
    return of_class(spec, jnp.repeat(z, columns, axis=0), label)._replace(
        columns=columns
    )


def draw(spec: ModelSpec, key: Any, n: int) -> Fed:
    """n latents, with classes drawn uniformly where the generator is told any."""
    z = draw_latents(spec, key, n)
    if spec.condition == "none":
        return Fed(z)
    label = jax.random.randint(jax.random.fold_in(key, 3), (n,), 0, spec.classes)
    return Fed(z, label)


def showcase(spec: ModelSpec, key: Any, n: int) -> Fed:
    """What the pictures during training show: n latents, or some latents by class."""
    columns = min(classes_of(spec), MOST_COLUMNS)
    if not columns:
        return Fed(draw_latents(spec, key, n))
    return by_class(spec, draw_latents(spec, key, max(1, n // columns)))


def make_sampler(nets: Pair) -> Callable[..., np.ndarray]:
    """sampler(weights {"params", "vars"}, hyper, Fed, each) -> float32 [n, ...] by running statistics.

    All devices share each batch. each(part) is what is kept of every batch's output, by default itself.
    """

    @jax.jit
    def call(weights: Any, hyper: Any, fed: Any) -> Any:
        params, vars = weights["params"], weights["vars"]
        return nets.gen.apply(params, vars, hyper, *fed, train=False)[0]

    def sampler(
        weights: Any, hyper: Any, fed: Fed, each: Callable[[Any], Any] = np.asarray
    ) -> np.ndarray:
        n, devices = len(fed.z), jax.local_devices()
        mesh = jax.make_mesh(
            (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
        )
        copied, split = (
            NamedSharding(mesh, PartitionSpec(*x)) for x in ((), ("data",))
        )
        weights, hyper = jax.device_put((weights, hyper), copied)
        size = -(-min(n, BATCH) // len(devices)) * len(devices)
        # waiting first: NumPy's view of an array that found no memory ends the process
        inputs = [
            np.asarray(x) for x in jax.block_until_ready(fed[:2]) if x is not None
        ]
        room = -(-n // size) * size
        padded = [np.resize(x, (room, *x.shape[1:])) for x in inputs]
        parts = []
        for i in range(0, room, size):
            part = jax.device_put([x[i : i + size] for x in padded], split)
            parts.append(each(np.asarray(call(weights, hyper, part))[: n - i]))
        return np.concatenate(parts)

    return sampler


def slerp(
    a: Float[AnyArray, "*batch latent"], b: Float[AnyArray, "*batch latent"], t: Any
) -> Float[AnyArray, "*batch latent"]:
    """Spherical interpolation from a (t=0) to b (t=1), norms interpolated linearly.

    Shoemake 1985; White 2016 (arXiv:1609.04468): a straight line between normal latents leaves the shell that
    the generator was trained on. Parallel or zero vectors fall back to the straight line.
    """
    norm_a = jnp.linalg.norm(a, axis=-1, keepdims=True)
    norm_b = jnp.linalg.norm(b, axis=-1, keepdims=True)
    floor = jnp.finfo(jnp.float32).tiny
    unit_a, unit_b = a / jnp.maximum(norm_a, floor), b / jnp.maximum(norm_b, floor)
    cosine = jnp.clip(jnp.sum(unit_a * unit_b, axis=-1, keepdims=True), -1.0, 1.0)
    angle = jnp.arccos(cosine)
    sine = jnp.sin(angle)
    flat = (sine < 1e-4) | (norm_a == 0) | (norm_b == 0)
    sine = jnp.where(flat, 1.0, sine)
    direction = (jnp.sin((1 - t) * angle) * unit_a + jnp.sin(t * angle) * unit_b) / sine
    curved = ((1 - t) * norm_a + t * norm_b) * direction
    return jnp.where(flat, (1 - t) * a + t * b, curved)


def interpolation(
    z: Float[AnyArray, "n latent"], columns: int
) -> Float[Array, "steps latent"]:
    """Rows of `columns` slerp steps from each z to the next: [(n // 2) * columns, latent], row by row."""
    pairs = [
        slerp(z[i], z[i + 1], t)
        for i in range(0, len(z) - 1, 2)
        for t in np.linspace(0.0, 1.0, columns)
    ]
    return jnp.stack(pairs)


def walk(
    z: Float[AnyArray, "n latent"], dim: int, reach: float | int, columns: int
) -> Float[Array, "steps latent"]:
    """Rows of copies of each z with coordinate `dim` set to `columns` values from -reach to reach.

    Raises UserError when the latent space has no such dimension.
    """
    size = z.shape[1]
    if not 0 <= dim < size:
        raise UserError(
            f"--walk={dim}: the latent space has dimensions 0 to {size - 1}"
        )
    rows = jnp.repeat(z, columns, axis=0)
    values = jnp.tile(jnp.linspace(-reach, reach, columns), len(z))
    return rows.at[:, dim].set(values)


def finished(out: np.ndarray) -> np.ndarray:
    """What a generator's output is shown as: pictures become uint8, points stay."""
    return to_uint8(out) if out.ndim == 4 else out


def checkpoints_of(
    workdir: str | Path,
) -> tuple[checkpoint.Checkpoints, dict[str, Any]]:
    """Where a run's states are, and for a member of a sweep which of its group's they are ({} otherwise)."""
    pointer = Path(workdir) / POINTER
    where = read_object(pointer, "start the sweep again") if pointer.is_file() else {}
    folder = Path(workdir) / where.get("group", "")
    return checkpoint.Checkpoints(folder / "checkpoints"), where


class Run:
    """A trained run, read from its folder. Made by `load`.

    config: the run's ConfigDict. step: the checkpoint's iteration. params: {"params", "vars"} of the
    generator, averaged or raw. recipe, hyper: what the networks need.
    """

    def __init__(
        self, workdir: str | Path, which: str = "ema", step: int | str | None = None
    ):
        """Read config.json and a checkpoint; see `load`."""
        if which not in ("ema", "raw"):
            raise UserError(f"unknown weights {which!r}; choices: ema, raw")
        folder = Path(workdir)
        path = folder / "config.json"
        if not path.is_file():
            raise UserError(
                f"{folder} holds no run (no config.json); train one there first: "
                f"python launch.py --config=FILE --workdir={folder}"
            )
        self.config, said = recorded(folder)
        self.workdir = folder
        self.labels = tuple(said["label_names"])
        shape = tuple(said["shape"])
        self.recipe = config.recipe_of(self.config, shape, len(self.labels))
        self._nets = models.build(self.recipe.model)
        target = jax.eval_shape(
            partial(init, self.recipe, self._nets, config.hyper_of(self.config)), 0
        )
        saved, where = checkpoints_of(folder)
        if step == "best":
            kept = saved.steps() if where else None
            step = best_step(folder, self.config.eval.best, kept)
        if where:
            many = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((where["members"], *x.shape), x.dtype),
                target,
            )
            state = saved.restore(step, many)
            state = jax.tree.map(lambda x: x[where["index"]], state)
        else:
            state = saved.restore(step, target)
        state = jax.device_put(state)
        self.step = int(state.step)
        self.hyper = state.hyper
        self.key = state.key
        gen = state.players.gen
        raw = {"params": gen.params, "vars": gen.vars}
        self.params = state.ema if which == "ema" else raw
        self._disc = state.players.disc
        self._sampler = make_sampler(self._nets)

    def latents(self, n: int, seed: int = 0) -> Float[AnyArray, "n latent"]:
        """n latent vectors [n, latent_dim] that depend on the seed only."""
        return draw_latents(self.recipe.model, jax.random.key(seed), n)

    def feed(self, z: Any, seed: int = 0, label: Any = None) -> Fed:
        """Latents with their classes: `label` (an int or int [n]), or drawn from the seed where G is told any.

        Raises UserError for a label that the run has not, or not one for each latent.
        """
        spec = self.recipe.model
        classes = classes_of(spec)
        if label is None:
            return draw(spec, jax.random.key(seed), len(z))._replace(z=z)
        if not classes:
            raise UserError("this run was trained without labels: leave label out")
        wrong = [x for x in np.ravel(label) if not 0 <= x < classes]
        if wrong:
            names = f" ({', '.join(self.labels)})" if spec.condition != "none" else ""
            raise UserError(
                f"label {wrong[0]}: this run has classes 0 to {classes - 1}{names}"
            )
        if np.shape(label) not in ((), (len(z),)):
            raise UserError(
                f"{np.size(label)} labels for {len(z)} latents: give one for each, or one for all"
            )
        return of_class(spec, z, label)

    def generator(self, params: Any, z: Any, label: Any = None) -> np.ndarray:
        """Pictures float32 [n, H, W, C] in -1..1 (points [n, D]) of latents z, with weights like `self.params`.

        label: classes of a conditional run, an int or int [n]; None: drawn as by seed 0.
        """
        return self._sampler(params, self.hyper, self.feed(z, 0, label))

    def sample(self, n: int, seed: int = 0, label: Any = None) -> np.ndarray:
        """n pictures uint8 [n, H, W, C], or points float32 [n, D], that depend on seed and label only."""
        fed = self.feed(self.latents(n, seed), seed, label)
        return self.pictures(fed)

    def pictures(
        self, fed: Fed, each: Callable[[Any], np.ndarray] = finished
    ) -> np.ndarray:
        """What the generator makes of `fed`, as `sample` gives it; each(batch) is kept of every batch's output."""
        return self._sampler(self.params, self.hyper, fed, each)

    def discriminator(self, x: Any, label: Any = None) -> Scores:
        """Scores of pictures float32 [n, H, W, C] in -1..1 by the trained discriminator (packed as it was).

        label: int [n]. Raises UserError where the discriminator is told labels and none are given.
        """
        disc, x = self._disc, pack(jnp.asarray(x), self.recipe.packing)
        told = [] if label is None else [jnp.asarray(label)]
        condition = lookup("", CONDITIONS, self.recipe.model.condition)
        if any(condition.disc) and not told:
            raise UserError("this discriminator is told the class: give a label each")
        apply = self._nets.disc.apply
        return apply(disc.params, disc.vars, self.hyper, x, *told, train=False)[0]


def load(workdir: str | Path, which: str = "ema", step: int | str | None = None) -> Run:
    """Open a run folder: `which` is "ema" (averaged weights) or "raw"; `step` a checkpoint, "best", None the latest.

    Raises UserError when the folder holds no run, CheckpointError when no good checkpoint is there.
    """
    return Run(workdir, which, step)
