"""Energy out of readings: against integrals that a pencil knows, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from dualtower_benchmarks.devices.series import Series, Window, unwrapped

SECOND = 1_000_000_000


def test_a_ramp_is_integrated_exactly_between_readings() -> None:
    ramp = Series.of([(0, 100.0), (10 * SECOND, 200.0)])  # P = 100 + 10 t
    joules = ramp.integral(Window(2 * SECOND, 4 * SECOND))
    assert joules == pytest.approx(2 * 100 + 10 * (16 - 4) / 2, abs=1e-9)


def test_a_counter_grows_straight_between_readings() -> None:
    counter = Series.of([(0, 50.0), (SECOND, 150.0), (2 * SECOND, 350.0)])
    assert counter.growth(Window(SECOND // 2, SECOND * 3 // 2)) == pytest.approx(150.0)


def test_nothing_is_extrapolated() -> None:
    readings = Series.of([(SECOND, 1.0), (2 * SECOND, 1.0)])
    for window in (Window(0, 2 * SECOND), Window(SECOND, 3 * SECOND)):
        assert not readings.covers(window)
        with pytest.raises(ValueError, match="do not reach over"):
            readings.integral(window)


def test_a_clock_that_goes_back_is_refused() -> None:
    with pytest.raises(ValueError, match="went back"):
        Series.of([(SECOND, 1.0), (SECOND - 1, 2.0)])
    with pytest.raises(ValueError, match="ends after it begins"):
        Window(5, 5)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.floats(0, 1000)),
        min_size=2,
        max_size=40,
    )
)
def test_the_integral_over_all_readings_is_scipys(steps: list[tuple[int, float]]) -> None:
    at_ns = np.cumsum([step for step, _ in steps])
    values = np.array([value for _, value in steps])
    readings = Series(at_ns, values)
    ours = readings.integral(Window(int(at_ns[0]), int(at_ns[-1])))
    assert ours == pytest.approx(trapezoid(values, at_ns / 1e9), rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(0, 99), min_size=1, max_size=60), st.floats(0, 1e4))
def test_a_wrapped_counter_is_what_it_was_before_it_wrapped(
    steps: list[float], start: float
) -> None:
    true = start + np.concatenate([[0], np.cumsum(steps)])
    found = unwrapped(np.mod(true, 100.0), 100.0)
    assert found is not None
    np.testing.assert_allclose(np.diff(found), np.diff(true), atol=1e-6)


def test_a_counter_that_fell_without_a_known_range_is_not_guessed() -> None:
    assert unwrapped(np.array([5.0, 1.0]), None) is None
