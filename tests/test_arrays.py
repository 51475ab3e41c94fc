"""Arrays on disk, computed once; items picked evenly."""

import numpy as np
import pytest

from genre_utils import arrays


def test_an_array_is_computed_once_and_again_only_if_it_is_spoilt(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return np.arange(6.0).reshape(2, 3)

    file = tmp_path / "deep" / "below" / "x.npy"
    assert arrays.shape(file) is None
    for _ in range(2):
        np.testing.assert_array_equal(arrays.kept(file, compute), [[0, 1, 2], [3, 4, 5]])
    assert len(calls) == 1 and arrays.shape(file) == (2, 3)
    file.write_bytes(file.read_bytes()[:-8])
    assert arrays.shape(file) is None
    np.testing.assert_array_equal(arrays.kept(file, compute), [[0, 1, 2], [3, 4, 5]])
    assert len(calls) == 2 and list(file.parent.iterdir()) == [file]


def test_nothing_is_kept_of_a_computation_that_fails(tmp_path):
    with pytest.raises(ZeroDivisionError):
        arrays.kept(tmp_path / "x.npy", lambda: 1 / 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("n_items", "most", "expected"),
    [(10, 4, [0, 3, 6, 9]), (3, 9, [0, 1, 2]), (5, 1, [0]), (0, 4, []), (7, 0, [])],
)
def test_positions_are_spread_from_the_first_to_the_last(n_items, most, expected):
    found = arrays.spread(n_items, most)
    assert found.tolist() == expected and found.dtype.kind == "i"
