"""How players move: rules over the two slopes of a step, whatever the loss and the objective.

    play(turns, players, memory, deal) -> (players, memory, metrics)

`turns` finds slopes and steps down them, `deal` holds the examples, numbers and keys of this step. Negative momentum
and optimism are the optimizers' own (optim.*.momentum or b1 below 0; optimistic_gd, optimistic_adam), so they combine
with every rule here. No rule needs forward-mode differentiation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.judging import Context
from gan_jax.turns import Ahead, Turns
from gan_jax.types import Batch, Hyper, Metrics, Pair, Player

Played = tuple[Pair, Any, Metrics]
Field = Callable[[Pair], tuple[Pair, Any]]
FLAT = 1e-16  # added under the root of Adam's squared gradient where it is differentiated: no infinite slope at 0


@dataclass(frozen=True)
class Deal:
    """What one step is played with: examples [n_disc, B, ...] (float), numbers, its count, a key for each player."""

    batch: Batch
    hyper: Hyper
    step: Any
    keys: Pair

    def _contexts(
        self, key: Any, i: Any, row: Any, memory: Any
    ) -> tuple[Context, Context]:
        first, second = jax.random.split(jax.random.fold_in(key, i))
        batch = jax.tree.map(lambda x: x[row], self.batch)
        make = (batch, self.hyper, memory, self.step)
        return Context(*make, first), Context(*make, second)

    def disc(self, i: Any, memory: Any) -> tuple[Context, Context]:
        """(where G imagines, where D judges) in D's update i."""
        return self._contexts(self.keys.disc, i, i, memory)

    def gen(self, i: Any, memory: Any) -> tuple[Context, Context]:
        """(where G imagines, where D judges) in G's update i, beside D's last real examples."""
        return self._contexts(self.keys.gen, i, -1, memory)


def alternating(
    turns: Turns, players: Pair, memory: Any, deal: Deal, ahead: Ahead | None = None
) -> Played:
    """n_disc updates of D, then n_gen of G against the D that they left (Goodfellow et al. 2014, algorithm 1)."""
    recipe, last = turns.recipe, turns.recipe.n_disc - 1

    def one_disc(carry: Any, i: Any) -> Any:
        disc, memory = carry
        dream, judge = deal.disc(i, memory)
        imagined = turns.imagine(players.gen, dream)
        disc, memory, metrics = turns.disc_turn(disc, judge, imagined[0])
        return (disc, memory), metrics, imagined

    carry = (players.disc, memory)
    if last:
        carry = jax.lax.fori_loop(0, last, lambda i, c: one_disc(c, i)[0], carry)
    (disc, memory), metrics, imagined = one_disc(carry, last)

    def one_gen(carry: Any, i: Any, imagined: Any = None) -> Any:
        gen, memory, _ = carry
        dream, judge = deal.gen(i, memory)
        if recipe.same_noise:
            dream = deal.disc(last, memory)[0]
        imagined = imagined or turns.imagine(gen, dream)
        return turns.gen_turn(Pair(gen, disc), judge, imagined, ahead)

    shared = imagined if recipe.share_noise else None
    moved = one_gen((players.gen, memory, None), 0, shared)
    if recipe.n_gen > 1:
        moved = jax.lax.fori_loop(1, recipe.n_gen, lambda i, c: one_gen(c, i), moved)
    gen, memory, more = moved
    return Pair(gen, disc), memory, {**metrics, **more}


def simultaneous(
    turns: Turns, players: Pair, memory: Any, deal: Deal, base: Pair | None = None
) -> Played:
    """Both players step from where both stand: G does not see D's update (Mescheder et al. 2017, algorithm 1).

    base: whose parameters step down the slopes found at `players`; by default their own.
    """
    base = base or players
    dream, judge = deal.disc(0, memory)
    imagined = turns.imagine(players.gen, dream)
    slope = turns.disc_slope(players.disc, judge, imagined[0])
    disc, memory, metrics = turns.disc_step(base.disc, slope, judge)
    dream, judge = deal.gen(0, memory)
    if not turns.recipe.share_noise:
        imagined = turns.imagine(players.gen, dream)
    slope = turns.gen_slope(players, judge, imagined)
    gen, memory, more = turns.gen_step(base.gen, slope, judge)
    return Pair(gen, disc), memory, {**metrics, **more}


def extra_gradient(turns: Turns, players: Pair, memory: Any, deal: Deal) -> Played:
    """Step to a look-ahead point, find both slopes there, and step down these from the old point.

    Korpelevich 1976; for GANs Gidel et al. 2019 (arXiv:1802.10551), algorithm 4: the optimizers' moments see both
    slopes, statistics and memory only the second ones. Both use the same examples and noise, which converges where
    independent ones may not (Mishchenko et al. 2020, arXiv:1905.11373). The metrics are the look-ahead point's.
    """
    ahead, _, _ = simultaneous(turns, players, memory, deal)

    def joined(new: Player, old: Player, params: Any) -> Player:
        return Player(params, old.vars, new.opt)

    pairs = list(zip(ahead, players, strict=True))
    there = Pair(*(joined(new, old, new.params) for new, old in pairs))
    base = Pair(*(joined(new, old, old.params) for new, old in pairs))
    return simultaneous(turns, there, memory, deal, base)


def field(turns: Turns, players: Pair, memory: Any, deal: Deal) -> Field:
    """The vector field of the game: field(params) -> (both slopes at these parameters of G and D, what comes with them).

    What comes with a slope is as in `Turns.disc_slope`.
    """

    def slopes(params: Pair) -> tuple[Pair, Any]:
        gen, disc = (
            replace(player, params=p) for player, p in zip(players, params, strict=True)
        )
        dream, judge = deal.disc(0, memory)
        imagined = turns.imagine(gen, dream)
        of_disc, (vars, seen, kept) = turns.disc_slope(disc, judge, imagined[0])
        kept = jax.lax.stop_gradient(kept)
        dream, other = deal.gen(0, kept)
        if not turns.recipe.share_noise:
            imagined = turns.imagine(gen, dream)
        of_gen, rest = turns.gen_slope(Pair(gen, disc), other, imagined)
        return Pair(of_gen, of_disc), Pair(rest, (vars, seen, kept))

    return slopes


def consensus(turns: Turns, players: Pair, memory: Any, deal: Deal) -> Played:
    """Simultaneous steps down v + gamma J^T v, v being both slopes and J their Jacobian in all parameters.

    Mescheder et al. 2017 (arXiv:1705.10461), algorithm 2: J^T v is the gradient of |v|^2 / 2, gamma is
    game_args.consensus. Spread over devices, v is the mean of theirs. Logged: "game/field", |v|^2 / 2.
    """
    params = Pair(players.gen.params, players.disc.params)
    at = field(turns, players, memory, deal)
    slopes, pull, rest = jax.vjp(at, params, has_aux=True)
    slopes = turns.mean(slopes)
    gamma = deal.hyper["game_args"]["consensus"]
    bent = jax.tree.map(lambda v, pulled: v + gamma * pulled, slopes, pull(slopes)[0])
    judge = deal.disc(0, memory)[1]
    disc, memory, metrics = turns.disc_step(players.disc, (bent.disc, rest.disc), judge)
    judge = deal.gen(0, memory)[1]
    gen, memory, more = turns.gen_step(players.gen, (bent.gen, rest.gen), judge)
    half = 0.5 * sum(jnp.sum(x * x) for x in jax.tree.leaves(slopes))
    return Pair(gen, disc), memory, {**metrics, **more, "game/field": half}


def unrolled(turns: Turns, players: Pair, memory: Any, deal: Deal) -> Played:
    """Alternating, but G steps against the D that `unroll` further updates on this batch would make, and through them.

    Metz et al. 2017 (arXiv:1611.02163), eq. 10 to 12. D's imagined updates are those of its own optimizer and are
    forgotten after G's step. Adam's root gets 1e-16 under it there, without which its derivative at 0 is no number.
    """
    numbers = deal.hyper["optim"]
    flat = {**numbers, "disc": {**numbers["disc"], "eps_root": jnp.float32(FLAT)}}

    def ahead(disc: Player, context: Context, made: Any) -> Player:
        context = context._replace(hyper={**context.hyper, "optim": flat})

        def once(disc: Player, i: Any) -> tuple[Player, None]:
            key = jax.random.fold_in(context.key, i)
            return turns.disc_turn(disc, context._replace(key=key), made)[0], None

        return jax.lax.scan(once, disc, jnp.arange(turns.recipe.unroll))[0]

    return alternating(turns, players, memory, deal, ahead)


class Game(NamedTuple):
    """A row of GAMES; `together`: both players move once and at once, so n_disc = n_gen = 1."""

    play: Callable[[Turns, Pair, Any, Deal], Played]
    together: bool = False


GAMES: dict[str, Game] = {
    "alternating": Game(alternating),
    "simultaneous": Game(simultaneous, together=True),
    "extra_gradient": Game(extra_gradient, together=True),
    "consensus": Game(consensus, together=True),
    "unrolled": Game(unrolled),
}
