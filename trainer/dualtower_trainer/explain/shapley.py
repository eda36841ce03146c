"""Shapley values: what each player of a cooperative game contributes to its value.

    φᵢ = Σ_{S ∌ i}  |S|! (n − |S| − 1)! / n! · (f(S ∪ {i}) − f(S))

L. S. Shapley, "A Value for n-Person Games", 1953 (https://doi.org/10.1515/9781400881970-018). It is
the only division of f(all) − f(∅) that is additive, symmetric and gives nothing to a player who
changes nothing; as explanations of a model: Štrumbelj & Kononenko 2014
(https://doi.org/10.1007/s10115-013-0679-x), Lundberg & Lee 2017 (https://arxiv.org/abs/1705.07874).

Few players: the sum itself, over all 2ⁿ coalitions. Many: the mean of f(S ∪ {i}) − f(S) over random
orders in which the players join (Castro, Gómez & Tejada 2009,
https://doi.org/10.1016/j.cor.2008.04.004). Most of the noise is in *when* a player joins, so orders
come in blocks that balance it: an order turned on by equal steps, after van Campen et al. 2018
(https://doi.org/10.1007/s13278-017-0480-z), and the reverse of each (Mitchell et al. 2022,
https://arxiv.org/abs/2104.12199). An order's differences telescope to f(all) − f(∅), so that the
sum over the players is exact whatever the noise of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np

__all__ = ["MOST_EXACT_PLAYERS", "Game", "Shapley", "exact_shapley", "sampled_shapley"]

MOST_EXACT_PLAYERS = 16  # 65,536 coalitions
_TURNS = 4  # of an order in a block

# bool [coalitions, players] to float64 [coalitions, targets]
Game = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Shapley:
    """Shapley values of n players for m targets that share the coalitions.

    Attributes:
        values: float64 [players, targets].
        errors: float64 [players, targets], standard errors; zeros where the values are exact.
        empty: float64 [targets], f(∅).
        full: float64 [targets], f(all); `values` sum to full − empty.
        exact: whether all coalitions were asked.
    """

    values: np.ndarray
    errors: np.ndarray
    empty: np.ndarray
    full: np.ndarray
    exact: bool


def exact_shapley(game: Game, players: int) -> Shapley:
    """The sum over all coalitions, asked in one call.

    Args:
        game: bool [2^players, players] to float64 [2^players, targets].
        players: 0 to MOST_EXACT_PLAYERS.

    Example:
        >>> weights = np.array([3.0, 1.0])
        >>> exact_shapley(lambda coalitions: coalitions @ weights[:, None], 2).values.ravel()
        array([3., 1.])
    """
    if not 0 <= players <= MOST_EXACT_PLAYERS:
        raise ValueError(
            f"exact values need 0 to {MOST_EXACT_PLAYERS} players, got {players}; "
            "sample them with sampled_shapley"
        )
    codes = np.arange(1 << players)
    coalitions = (codes[:, None] >> np.arange(players) & 1).astype(bool)
    worth = np.asarray(game(coalitions), np.float64)
    sizes = coalitions.sum(1)
    # |S|! (n − |S| − 1)! / n! = 1 / (n · C(n − 1, |S|))
    weights = np.array([1.0 / (players * comb(players - 1, size)) for size in range(players)])
    values = np.zeros((players, worth.shape[1]))
    for player in range(players):
        without = codes[~coalitions[:, player]]
        gain = worth[without | 1 << player] - worth[without]
        values[player] = weights[sizes[without]] @ gain
    return Shapley(values, np.zeros_like(values), worth[0], worth[-1], True)


def sampled_shapley(game: Game, players: int, *, blocks: int, seed: int) -> Shapley:
    """The mean over blocks of eight random orders, asked in one call.

    Args:
        game: bool [coalitions, players] to float64 [coalitions, targets]; coalitions are ∅, all,
            and 8 · blocks · (players − 1) others.
        players: at least 1.
        blocks: at least 2, so that there is a standard error.
        seed: of the orders.
    """
    if players < 1:
        raise ValueError(f"there must be a player to sample, got {players}")
    if blocks < 2:
        raise ValueError(f"blocks must be at least 2 for a standard error, got {blocks}")
    joins = _balanced_orders(players, blocks, seed)
    inner = joins[:, :, None, :] < np.arange(1, players)[:, None]
    ends = np.array([[False] * players, [True] * players])
    worth = np.asarray(game(np.concatenate([ends, inner.reshape(-1, players)])), np.float64)
    orders, targets = joins.shape[1], worth.shape[1]
    along = np.empty((blocks, orders, players + 1, targets))
    along[:, :, 0], along[:, :, -1] = worth[0], worth[1]
    along[:, :, 1:-1] = worth[2:].reshape(blocks, orders, players - 1, targets)
    gains = np.take_along_axis(np.diff(along, axis=2), joins[..., None], axis=2)
    means = gains.mean(axis=1)  # [blocks, players, targets]: blocks are independent, orders not
    errors = means.std(axis=0, ddof=1) / np.sqrt(blocks)
    return Shapley(means.mean(axis=0), errors, worth[0], worth[1], False)


def _balanced_orders(players: int, blocks: int, seed: int) -> np.ndarray:
    """When each player joins, int64 [blocks, 2 · turns, players] in 0 … players − 1."""
    random = np.random.default_rng(seed)
    firsts = np.array([random.permutation(players) for _ in range(blocks)])
    steps = np.arange(_TURNS) * players // _TURNS
    turned = (firsts[:, None] + steps[:, None]) % players
    return np.concatenate([turned, players - 1 - turned], axis=1)
