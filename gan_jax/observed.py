"""What the monitors look at: a state, and the batch that led to it, in a program of its own beside the training step.

    observe(state, batch, held_out) -> metrics

It is run where a row is logged and nowhere else. It changes nothing, and what it says depends on its arguments alone,
so that a run that was resumed says the same. docs/monitors.md explains each name.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gan_jax import monitors
from gan_jax.games import Deal
from gan_jax.judging import Context
from gan_jax.models.first import FIRST
from gan_jax.objectives import OBJECTIVES
from gan_jax.step import gathered, prepare
from gan_jax.tricks import scheduled
from gan_jax.turns import Turns, bind, both
from gan_jax.types import Batch, Metrics, Pair, Player, Recipe, TrainState, lookup

OBSERVED = 2**32 - 3  # folded into a step's key: no draw of the step has this number
MANY = 64  # examples from which on every second one is enough
POINTS = 3  # where slopes are found: here, after D's update, and after G's update then


class Seats(NamedTuple):
    """Contexts: where G imagines, and where each player judges. The same at all points."""

    dream: Context
    gen: Context
    disc: Context


class Found(NamedTuple):
    """At a point: both players' slopes, the metrics of their losses, and what their first layers said."""

    slopes: Pair
    metrics: Pair
    firsts: Pair


class Observer:
    """observe(state, batch, held_out), the pure observation of a recipe."""

    def __init__(
        self, recipe: Recipe, nets: Pair, axis: str | None = None, devices: int = 1
    ):
        """With `axis`, batches are spread over that mapped axis; without, over so many devices.

        Lazy penalties count at every point, once: the slopes are those of an average iteration.
        """
        self.recipe, self.devices = replace(recipe, penalty_every=1), devices
        self.turns = Turns(self.recipe, nets, axis)
        row = lookup("objective", OBJECTIVES, recipe.objective)
        self.networks = getattr(row, "networks", ())
        # for examples that nothing is learnt from
        self.bare = bind(replace(recipe, penalties=(), regularisers=()), nets, axis)

    def __call__(
        self, state: TrainState, batch: Batch, held_out: Batch | None = None
    ) -> Metrics:
        """What there is to say of a state.

        batch: [n_disc, B, ...], of which the last is looked at, every second example of 64 or more. held_out: [B, ...]
        that training does not see.
        Returns float32 scalars, and "gradients/gen_first" and "gradients/disc_first" [n].
        """
        batch = self.fewer(jax.tree.map(lambda x: x[-1], batch))
        held_out = None if held_out is None else self.fewer(held_out)
        seats = self.seats(state, batch)

        shapes: list[Any] = []

        def point(players: Pair, turn: Any) -> tuple[Pair, Any]:
            found, made = self.find(players, seats)
            look = partial(self.look, players.disc, seats.disc, made, held_out)
            seen = only(turn == 0, look)
            # as one array: a small network's loop spends its time on writing many
            told, back = ravel_pytree((found.metrics, found.firsts, seen))
            shapes.append(back)
            return self.moved(players, found, seats, turn), (found.slopes, told)

        turns = jnp.arange(POINTS)
        players, (slopes, told) = jax.lax.scan(point, state.players, turns)
        said, firsts, seen = shapes[-1](told[0])
        here = Found(jax.tree.map(lambda x: x[0], slopes), said, firsts)
        metrics = seen | self.told(here, state.players)
        metrics |= changes(state.players, players, slopes)
        scalars = {name: x for name, x in metrics.items() if not x.ndim}
        return metrics | gathered(scalars, self.turns.axis)

    def fewer(self, batch: Batch) -> Batch:
        """Every second example, where that leaves enough, whole packs, and as many to each device."""
        size = len(batch.image)
        if size < MANY or size % (2 * self.devices * self.recipe.packing):
            return batch
        return jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:])[:, 0], batch)

    def seats(self, state: TrainState, batch: Batch) -> Seats:
        """What the players are given: the batch [B, ...], numbers of the iteration that is done, noise that no step draws."""
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), OBSERVED)
        if self.turns.axis:
            key = jax.random.fold_in(key, jax.lax.axis_index(self.turns.axis))
        flip_key, disc_key, gen_key = jax.random.split(key, 3)
        one = jax.tree.map(lambda x: x[None], batch)
        batch = prepare(one, self.recipe.flip, flip_key)
        done = jnp.maximum(state.step - 1, 0)
        hyper = scheduled(self.recipe.schedules, state.hyper, done)
        deal = Deal(batch, hyper, done, Pair(gen_key, disc_key))
        dream, disc = deal.disc(0, state.memory)
        return Seats(dream, deal.gen(0, state.memory)[1], disc)

    def find(self, players: Pair, seats: Seats) -> tuple[Found, Any]:
        """Slopes at a point, the same pictures for both players, and what G made."""
        turns, networks = self.turns, self.networks
        gen, disc = (asked(player, networks) for player in players)
        imagined = turns.imagine(gen, seats.dream)
        of_disc, (disc_vars, seen, _) = turns.disc_slope(disc, seats.disc, imagined[0])
        of_gen, (gen_vars, more, _) = turns.gen_slope(players, seats.gen, imagined)
        slopes = turns.mean(Pair(of_gen, of_disc))
        firsts = Pair(answered(gen_vars, networks), answered(disc_vars, networks))
        return Found(slopes, Pair(more, seen), firsts), imagined[0]

    def moved(self, players: Pair, found: Found, seats: Seats, turn: Any) -> Pair:
        """The players at the next point: D moves first, then G. Statistics stay, so that the game does."""

        def step(who: str, players: Pair) -> Pair:
            player, context = getattr(players, who), getattr(seats, who)
            slope, metrics = (getattr(x, who) for x in found[:2])
            rest = player.vars, metrics, context.memory
            move = getattr(self.turns, f"{who}_step")
            return players._replace(**{who: move(player, (slope, rest), context)[0]})

        steps = [partial(step, who) for who in ("disc", "gen")]
        return jax.lax.switch(turn, [*steps, lambda players: players], players)

    def look(
        self, disc: Player, context: Context, made: Any, held_out: Batch | None
    ) -> Metrics:
        """How different from one another the fakes are, and what D says of examples that it was not trained on."""
        pictures = getattr(self.turns.objective, "compared", lambda *_: [])
        sides = [monitors.diversity(*x) for x in pictures(context.batch, made)]
        seen = {
            f"diversity/{name}": sum(side[name] for side in sides) / len(sides)
            for name in (sides[0] if sides else ())
        }
        if held_out is None:
            return seen
        one = jax.tree.map(lambda x: x[None], held_out)
        batch = jax.tree.map(lambda x: x[0], prepare(one, False, context.key))
        context = context._replace(batch=batch)
        _, (_, said, _) = self.bare.disc_loss(
            disc.params, disc.vars, context, made, both
        )
        logit = jnp.mean(said["logits/real"])
        return seen | {"disc/held_out": said["disc/real"], "logit/held_out": logit}

    def told(self, found: Found, players: Pair) -> Metrics:
        """What is seen at the first point alone."""
        said = found.metrics.disc
        metrics = {
            f"logit/{side}": jnp.mean(said[f"logits/{side}"])
            for side in ("real", "fake")
            if f"logits/{side}" in said
        }
        kernels = Pair(players.gen.params, players.disc.params)
        for layer, value in monitors.spectral_norms(kernels).items():
            metrics[f"spectral/{layer.replace('.', '/', 1)}"] = value
        for who in ("gen", "disc"):
            slope, player = getattr(found.slopes, who), getattr(players, who)
            metrics |= under(f"grad/{who}", monitors.layer_norms(slope))
            metrics[f"weight/{who}"] = monitors.norm(player.params)
            if first := getattr(found.firsts, who):
                metrics |= of_first(who, first, slope, player.params)
        return metrics


def only(when: Any, look: Any) -> Metrics:
    """look() where `when` holds, else zeros without computing it."""
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(look))
    return jax.lax.cond(when, look, lambda: nothing)


def asked(player: Player, networks: tuple[str, ...]) -> Player:
    """A player whose networks are asked what their first layer says."""
    if not networks:
        return replace(player, vars={**player.vars, FIRST: {}})
    return replace(
        player, vars={name: {**player.vars[name], FIRST: {}} for name in networks}
    )


def answered(vars: Any, networks: tuple[str, ...]) -> dict[str, Any]:
    """What the first layers said, by their names in the player's parameters."""
    if not networks:
        return vars.get(FIRST, {})
    return {
        f"{name}.{layer}": said
        for name in networks
        for layer, said in vars[name].get(FIRST, {}).items()
    }


def of_first(who: str, first: dict[str, Any], slope: Any, params: Any) -> Metrics:
    """Of a player's first layers: activations that are off, in all passes alike, the weights' norm, the gradient's elements."""
    passes = sum(said["passes"] for said in first.values())
    weights, slopes = (
        [x for layer in first for x in of[layer]]
        for of in (monitors.layers(params), monitors.layers(slope))
    )
    return {
        f"sparsity/{who}": sum(said["zero"] for said in first.values()) / passes,
        f"dead/{who}": sum(said["dead"] for said in first.values()) / passes,
        f"weight/{who}_first": monitors.norm(weights),
        f"gradients/{who}_first": monitors.sampled(slopes),
    }


def under(group: str, values: Metrics) -> Metrics:
    """{"a": x} as {"group/a": x}."""
    return {f"{group}/{name}": x for name, x in values.items()}


def changes(before: Pair, after: Pair, slopes: Pair) -> Metrics:
    """What one update of each player does: how far it goes, how its slope turns, and how the game turns it.

    slopes: stacked, of all points. D's update leads from the first to the second, G's from that to the third.
    """
    start, middle, end = (jax.tree.map(lambda x, i=i: x[i], slopes) for i in range(3))
    moves = Pair(
        *(
            jax.tree.map(jnp.subtract, new.params, old.params)
            for new, old in zip(after, before, strict=True)
        )
    )
    metrics, lengths = {}, Pair(*map(monitors.norm, moves))
    for who in ("gen", "disc"):
        weight = monitors.norm(getattr(before, who).params)
        far = getattr(lengths, who)
        metrics[f"update/{who}"] = far / jnp.maximum(weight, monitors.TINY)
        pair = getattr(start, who), getattr(end, who)
        metrics[f"cosine/{who}"] = monitors.cosine(*pair)

    def change(of: str, new: Pair, old: Pair, far: Any) -> Any:
        turned = jax.tree.map(jnp.subtract, getattr(new, of), getattr(old, of))
        along = monitors.dot(turned, getattr(moves, of))
        return along / jnp.maximum(getattr(lengths, of) * far, monitors.TINY)

    game = monitors.shape_of_game(
        gg=change("gen", end, middle, lengths.gen),
        gd=change("gen", middle, start, lengths.disc),
        dg=change("disc", end, middle, lengths.gen),
        dd=change("disc", middle, start, lengths.disc),
    )
    return metrics | under("game", game)
