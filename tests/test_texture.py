"""What `texture` says of spectrograms whose bands move in known ways."""

import numpy as np
import pytest
import torch

from genre_utils import texture


@pytest.fixture
def noise():
    return 100 + 20 * torch.randn(3, 40, 500, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("describe", "n_columns"),
    [
        (texture.levels, 5 * 40),
        (texture.modulation, 20 * 10),
        (texture.correlation, 190 + 20),
        (texture.covariance, 80 * 81 // 2),
    ],
)
def test_each_item_gets_a_finite_row_of_the_same_length_however_long_it_is(
    describe, n_columns, noise
):
    for x in (noise, noise[..., :60], torch.full((2, 40, 60), 7, dtype=torch.uint8)):
        found = describe(x)
        assert found.shape == (len(x), n_columns) and found.dtype == torch.float32
        assert torch.isfinite(found).all()
    torch.testing.assert_close(describe(noise)[1:2], describe(noise[1:2]))


def test_modulation_is_greatest_at_the_rate_a_band_fluctuates_with(noise):
    x = torch.zeros(2, 20, 512)
    x[0, 3], x[1, 3] = (torch.sin(2 * np.pi * torch.arange(512) / period) for period in (256, 4))
    slow, fast = texture.modulation(x).reshape(2, 20, 10)[:, 3].argmax(dim=1)
    assert slow == 0 and fast == 8


def test_correlation_tells_bands_that_move_together_from_those_that_take_turns(noise):
    x = noise[:1].clone()
    x[0, 2:4] = x[0, 0:2]
    x[0, 4:6] = 200 - x[0, 0:2]
    together, in_turn = texture.correlation(x)[0, :2]
    assert together == pytest.approx(1, abs=1e-3) and in_turn == pytest.approx(-1, abs=1e-3)
    assert abs(texture.correlation(noise)[0, :2]).max() < 0.2


def test_covariance_of_levels_that_are_scaled_moves_by_the_logarithm_only_on_the_diagonal(noise):
    first, second = torch.triu_indices(80, 80)
    difference = (texture.covariance(3 * noise) - texture.covariance(noise))[0]
    on_diagonal = first == second
    np.testing.assert_allclose(difference[on_diagonal], 2 * np.log(3), rtol=1e-3)
    np.testing.assert_allclose(difference[~on_diagonal], 0, atol=1e-3)


def test_covariance_hears_the_order_of_frames_and_correlation_does_not(noise):
    x = torch.cumsum(noise - 100, dim=2)
    shuffled = x[..., torch.randperm(x.shape[2])]
    np.testing.assert_allclose(
        texture.correlation(shuffled), texture.correlation(x), rtol=1e-3, atol=1e-4
    )
    assert abs(texture.covariance(shuffled) - texture.covariance(x)).max() > 0.5
