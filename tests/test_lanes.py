"""Sixteen numbers side by side behave as an array of 16 does."""

import numpy as np
import pytest
from numba import TypingError, njit

from genre_utils.lanes import WIDTH, load, store, transpose, zeros


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)


@njit
def _combined(numbers, factor, out):
    a, b = load(numbers, 3), load(numbers, 3 + WIDTH)
    store(out, 1, (a + b) * (a - b) * factor - zeros())


def test_signs_work_on_all_of_them(numbers):
    out = np.full(WIDTH + 2, 7, np.float32)
    _combined(numbers.ravel(), np.float32(0.5), out)
    a, b = numbers.ravel()[3:19], numbers.ravel()[19:35]
    np.testing.assert_allclose(out[1:-1], (a + b) * (a - b) / 2, rtol=1e-5, atol=1e-6)
    assert out[0] == out[-1] == 7


@njit
def _transposed(numbers, place, width, out, to, out_width):
    transpose(numbers, place, width, out, to, out_width)


def test_a_tile_is_transposed_and_nothing_else_is_written(numbers):
    out = np.zeros((18, 19), np.float32)
    _transposed(numbers.ravel(), 2 * 30 + 5, 30, out.ravel(), 19 + 3, 19)
    np.testing.assert_array_equal(out[1:17, 3:], numbers[2:18, 5:21].T)
    assert np.count_nonzero(out) == WIDTH**2


def test_an_array_that_is_not_flat_is_refused(numbers):
    with pytest.raises(TypingError):
        _combined(numbers, np.float32(1), np.zeros(WIDTH, np.float32))
    with pytest.raises(TypingError):
        _combined(numbers.ravel()[::2], np.float32(1), np.zeros(WIDTH, np.float32))
