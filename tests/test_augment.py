"""Augmentation changes what it says and nothing else."""

import pytest
import torch

from genre_utils.augment import Augmentation


def batch(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randint(0, 256, (n, 1, 12, 60), generator=torch.Generator().manual_seed(1))
    return x.to(torch.uint8), torch.eye(n)


def changed(augmentation: Augmentation, *, seed: int = 0, x=None):
    first, targets = batch()
    chance = torch.Generator().manual_seed(seed)
    return augmentation(first if x is None else x, targets, chance)


def test_off_by_default():
    x, targets = changed(Augmentation())
    torch.testing.assert_close(x, batch()[0].float())
    torch.testing.assert_close(targets, batch()[1])


def test_crops_are_pieces_of_their_item():
    x, _ = changed(Augmentation(crop_frames=20))
    assert x.shape == (6, 1, 12, 20)
    for piece, whole in zip(x, batch()[0].float(), strict=True):
        assert any(torch.equal(piece, whole[..., s : s + 20]) for s in range(41))


def test_a_crop_longer_than_the_item_leaves_it():
    assert changed(Augmentation(crop_frames=100))[0].shape == (6, 1, 12, 60)


def test_stretching_keeps_the_length():
    assert changed(Augmentation(crop_frames=20, stretch=0.3))[0].shape == (6, 1, 12, 20)


def test_masks_hide_at_most_a_sixth_each_behind_the_mean():
    original = batch()[0].float()
    x, _ = changed(Augmentation(masks=1))
    for item, whole in zip(x, original, strict=True):
        differs = (item != whole)[0]
        bands = differs.all(dim=1).sum()
        moments = differs.all(dim=0).sum()
        assert bands <= 2 and moments <= 10
        assert torch.unique(item[item != whole]).numel() <= 2


def test_mixup_mixes_targets_as_it_mixes_items():
    x, targets = changed(Augmentation(mixup=0.4))
    original = batch()[0].float()
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
    mixed = torch.einsum("nk,kcbt->ncbt", targets, original)  # the targets are the items' numbers
    torch.testing.assert_close(x, mixed, rtol=1e-4, atol=1e-3)


def test_an_equaliser_adds_one_smooth_curve_an_item():
    x, _ = changed(Augmentation(equaliser=0.5, gain=0.2))
    curve = x - batch()[0].float()
    torch.testing.assert_close(curve, curve[..., :1].expand_as(curve), rtol=1e-3, atol=1e-2)
    assert curve[0, 0, :, 0].std() > 1 and not torch.allclose(curve[0], curve[1])


def test_a_shift_moves_bands():
    x, _ = changed(Augmentation(shift=2))
    original = batch()[0].float()
    for item, whole in zip(x, original, strict=True):
        assert any(torch.equal(item, torch.roll(whole, by, 1)) for by in range(-2, 3))


def test_other_branches_are_mixed_with_the_first():
    first, targets = batch()
    other = torch.eye(6)
    (x, row), mixed = Augmentation(mixup=0.4)(
        (first, other), targets, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(row, mixed)
    assert x.shape == first.shape


@pytest.mark.parametrize("seed", [0, 5])
def test_equal_seeds_change_equally_and_others_do_not(seed):
    everything = Augmentation(crop_frames=30, stretch=0.1, gain=0.1, masks=2, mixup=0.4)
    torch.testing.assert_close(changed(everything, seed=seed)[0], changed(everything, seed=seed)[0])
    assert not torch.equal(changed(everything, seed=seed)[0], changed(everything, seed=seed + 1)[0])
