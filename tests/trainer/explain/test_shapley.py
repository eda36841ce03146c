"""Shapley values against the definition over all orders, and against the axioms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dualtower_trainer.explain.shapley import exact_shapley, sampled_shapley


def by_all_orders(worth: dict[frozenset[int], float], players: int) -> list[float]:
    """The mean over all n! orders of what a player adds on joining, in plain Python."""
    values = [0.0] * players
    for order in itertools.permutations(range(players)):
        there: set[int] = set()
        for player in order:
            before = worth[frozenset(there)]
            there.add(player)
            values[player] += worth[frozenset(there)] - before
    return [value / math.factorial(players) for value in values]


def random_game(players: int, targets: int, seed: int):
    """Any game at all: a number for each coalition; and the same numbers by set."""
    table = np.random.default_rng(seed).normal(size=(1 << players, targets))

    def game(coalitions: np.ndarray) -> np.ndarray:
        assert coalitions.dtype == bool
        return table[coalitions @ (1 << np.arange(players)).astype(np.int64)]

    sets = {
        frozenset(p for p in range(players) if code >> p & 1): row for code, row in enumerate(table)
    }
    return game, sets


@pytest.mark.parametrize("players", range(6))
def test_exact_values_are_the_mean_over_all_orders(players: int) -> None:
    game, sets = random_game(players, 2, players)
    found = exact_shapley(game, players)
    for target in range(2):
        worth = {coalition: float(row[target]) for coalition, row in sets.items()}
        expected = by_all_orders(worth, players)
        np.testing.assert_allclose(found.values[:, target], expected, atol=1e-12)
    assert found.exact
    assert not found.errors.any()


@pytest.mark.parametrize("players", [1, 3, 8, 10])
def test_exact_values_are_additive(players: int) -> None:
    game, _ = random_game(players, 3, 1)
    found = exact_shapley(game, players)
    np.testing.assert_allclose(found.values.sum(0), found.full - found.empty, atol=1e-12)


@pytest.mark.parametrize("players", [1, 2, 3, 5, 17, 60])
def test_sampled_values_are_additive_whatever_their_noise(players: int) -> None:
    weights = np.random.default_rng(0).normal(size=(players, 2))

    def game(coalitions: np.ndarray) -> np.ndarray:
        return np.sin(coalitions @ weights)

    found = sampled_shapley(game, players, blocks=2, seed=3)
    np.testing.assert_allclose(found.values.sum(0), found.full - found.empty, atol=1e-12)
    np.testing.assert_allclose(found.full, np.sin(weights.sum(0)), atol=1e-12)
    assert not found.exact


def test_sampled_values_are_within_their_errors_of_the_exact_ones() -> None:
    game, _ = random_game(9, 4, 5)
    exact = exact_shapley(game, 9).values
    found = sampled_shapley(game, 9, blocks=200, seed=0)
    assert np.abs((found.values - exact) / found.errors).max() < 4
    again = sampled_shapley(game, 9, blocks=3200, seed=1)
    assert np.abs(again.values - exact).max() < np.abs(found.values - exact).max()
    ratio = np.median(found.errors / again.errors)
    assert 3.2 < ratio < 4.8  # sixteen times the blocks, a quarter of the error


def test_errors_are_those_of_repeated_sampling() -> None:
    game, _ = random_game(7, 1, 8)
    many = [sampled_shapley(game, 7, blocks=24, seed=seed) for seed in range(150)]
    spread = np.std([one.values for one in many], axis=0, ddof=1)
    said = np.sqrt(np.mean([one.errors**2 for one in many], axis=0))
    np.testing.assert_allclose(said, spread, rtol=0.3)


def test_balanced_blocks_are_less_noisy_than_as_many_plain_orders() -> None:
    """A game that saturates, as a pooled history does: the first to join adds the most."""
    weights = np.random.default_rng(2).random(20) + 0.5

    def game(coalitions: np.ndarray) -> np.ndarray:
        total = coalitions @ weights
        return (total / (1 + total))[:, None]

    def plain(seed: int) -> np.ndarray:
        random, gains = np.random.default_rng(seed), np.zeros((32, 20))
        for row in gains:
            order = random.permutation(20)
            prefixes = np.argsort(order) < np.arange(21)[:, None]
            row[order] = np.diff(game(prefixes)[:, 0])
        return gains.mean(0)

    ours = np.std([sampled_shapley(game, 20, blocks=4, seed=s).values for s in range(60)], axis=0)
    theirs = np.std([plain(seed) for seed in range(60)], axis=0)
    assert ours.mean() < 0.7 * theirs.mean()  # half the orders would do


def test_the_same_seed_gives_the_same_values() -> None:
    game, _ = random_game(8, 1, 4)
    one, other, third = (sampled_shapley(game, 8, blocks=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, other.values)
    assert (one.values != third.values).any()


@pytest.mark.parametrize("how", ["exact", "sampled"])
def test_a_player_who_changes_nothing_gets_nothing(how: str) -> None:
    game, _ = random_game(6, 1, 9)

    def with_dummy(coalitions: np.ndarray) -> np.ndarray:
        return game(np.delete(coalitions, 2, axis=1))

    found = (
        exact_shapley(with_dummy, 7)
        if how == "exact"
        else sampled_shapley(with_dummy, 7, blocks=5, seed=0)
    )
    assert found.values[2, 0] == 0
    assert found.errors[2, 0] == 0
    if how == "exact":  # and its presence changes nobody's share
        others = np.delete(found.values, 2, axis=0)
        np.testing.assert_allclose(others, exact_shapley(game, 6).values, atol=1e-12)


def test_players_who_do_the_same_get_the_same() -> None:
    weights = np.array([2.0, 1.0, 2.0, -1.0, 0.5])

    def game(coalitions: np.ndarray) -> np.ndarray:
        return np.tanh(coalitions @ weights)[:, None]

    found = exact_shapley(game, 5)
    assert found.values[0, 0] == pytest.approx(found.values[2, 0], abs=1e-12)


def test_values_of_a_sum_of_games_are_sums_of_values() -> None:
    one, other = random_game(5, 1, 1)[0], random_game(5, 1, 2)[0]
    both = exact_shapley(lambda c: 3 * one(c) + other(c), 5).values
    parts = 3 * exact_shapley(one, 5).values + exact_shapley(other, 5).values
    np.testing.assert_allclose(both, parts, atol=1e-12)


def test_a_game_without_players_has_one_worth() -> None:
    found = exact_shapley(lambda coalitions: np.full((len(coalitions), 2), 0.3), 0)
    assert found.values.shape == (0, 2)
    np.testing.assert_array_equal(found.empty, found.full)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda game: exact_shapley(game, 17), "0 to 16 players, got 17"),
        (lambda game: exact_shapley(game, -1), "got -1"),
        (lambda game: sampled_shapley(game, 0, blocks=2, seed=0), "must be a player"),
        (lambda game: sampled_shapley(game, 3, blocks=1, seed=0), "at least 2 for a standard"),
    ],
)
def test_wrong_numbers_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(lambda coalitions: np.zeros((len(coalitions), 1)))
