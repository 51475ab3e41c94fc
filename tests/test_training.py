"""The training loop learns, stops, resumes, and repeats itself; ResNet18 takes our pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genre_utils import training
from genre_utils.models import resnet
from genre_utils.training import Machine, Recipe

PLAIN = Machine("cpu", bfloat16=False)
RECIPE = Recipe(epochs=4, batch_size=8, learning_rate=0.02, seed=3)


def bright_or_dark(n: int = 40, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Byte pictures [n, 1, 8, 8] of two classes that differ in brightness."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return (rng.integers(0, 128, (n, 1, 8, 8)) + 127 * y[:, None, None, None]).astype(np.uint8), y


def small_network(x: np.ndarray, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()]
    return training.standardised(nn.Sequential(*layers, nn.Linear(4 * 36, 2)), x)


def trained(checkpoint=None, *, recipe=RECIPE, **options):
    train = bright_or_dark()
    network = small_network(train[0])
    fit = training.fit(
        network, train, recipe=recipe, checkpoint=checkpoint, machine=PLAIN, **options
    )
    return network, fit


def weights(network: nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in network.state_dict().values()])


def without_seconds(history):
    return history.drop(columns=[c for c in history if c.startswith("seconds_")])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_learns_what_can_be_learnt_and_says_how_it_went():
    network, fit = trained(valid=bright_or_dark(20, seed=1))
    x, y = bright_or_dark(20, seed=2)
    probabilities = training.predict(network, x, batch_size=7, machine=PLAIN)
    assert probabilities.dtype == np.float32 and probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == y).all()
    assert list(fit.history["epoch"]) == [1, 2, 3, 4]
    assert fit.history["valid_accuracy"].iloc[-1] == 1
    assert (fit.history.filter(like="seconds_") > 0).all(axis=None)
    assert fit.best_epoch == fit.history["valid_loss"].idxmin() + 1


def test_equal_arguments_give_equal_weights_and_another_seed_others():
    first, again = trained()[0], trained()[0]
    np.testing.assert_array_equal(weights(first), weights(again))
    other = trained(recipe=replace(RECIPE, seed=4))[0]
    assert not np.array_equal(weights(first), weights(other))


def test_a_run_that_was_cut_off_ends_as_if_it_never_was(tmp_path):
    whole, whole_fit = trained()
    checkpoint = tmp_path / "run.pt"
    epochs_begun = []

    def cut_in_the_third_epoch(x, y, chance):
        epochs_begun.append(len(x))
        if len(epochs_begun) == 12:  # five steps an epoch
            raise KeyboardInterrupt
        return x, y

    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint, augment=cut_in_the_third_epoch)
    resumed, fit = trained(checkpoint)
    np.testing.assert_array_equal(weights(whole), weights(resumed))
    assert without_seconds(fit.history).equals(without_seconds(whole_fit.history))
    finished = trained(checkpoint, augment=lambda *_: pytest.fail("trained again"))[1]
    assert len(finished.history) == RECIPE.epochs
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_checkpoint_of_another_recipe_is_not_used(tmp_path):
    trained(tmp_path / "run.pt", recipe=replace(RECIPE, learning_rate=0.5, epochs=1))
    begun_anew = trained(tmp_path / "run.pt")[0]
    np.testing.assert_array_equal(weights(begun_anew), weights(trained()[0]))


def test_stops_without_progress_and_keeps_the_best_epoch():
    x, y = bright_or_dark(20, seed=1)
    # Right answers turned round: learning makes the validation loss worse.
    network, fit = trained(recipe=replace(RECIPE, epochs=20, patience=2), valid=(x, 1 - y))
    assert fit.best_epoch == 1 and len(fit.history) == 3
    assert fit.history["valid_loss"].idxmin() == 0


def test_targets_may_be_probabilities_and_batches_may_be_mixed():
    x, y = bright_or_dark()
    seen = []

    def mix(batch, targets, chance):
        seen.append((batch.dtype, targets.shape))
        order = torch.randperm(len(batch), generator=chance)
        share = 0.9
        mixed = share * batch.float() + (1 - share) * batch[order].float()
        return mixed, share * targets + (1 - share) * targets[order]

    network = small_network(x)
    soft = np.eye(2, dtype=np.float32)[y]
    fit = training.fit(network, (x, soft), recipe=RECIPE, augment=mix, machine=PLAIN)
    assert seen[0] == (torch.uint8, (8, 2))
    assert fit.history["train_accuracy"].iloc[-1] > 0.9
    assert fit.best_epoch == RECIPE.epochs  # no validation: the last epoch counts


def test_arrays_may_be_mapped_from_disk_and_hold_series(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(12, 20, 13)).astype(np.float32))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    network = training.standardised(nn.Sequential(nn.Flatten(), nn.Linear(260, 3)), x)
    fit = training.fit(network, (x, np.arange(12) % 3), recipe=RECIPE, machine=PLAIN)
    assert np.isfinite(fit.history["train_loss"]).all()
    assert training.predict(network, x, machine=PLAIN).shape == (12, 3)


def test_inputs_are_standardised_by_the_training_part():
    x, _ = bright_or_dark()
    seen = training.standardised(nn.Identity(), x)(torch.from_numpy(x))
    assert seen.dtype == torch.float32
    assert abs(seen.mean()) < 1e-5 and abs(seen.std() - 1) < 1e-3
    silent = np.zeros((3, 4), np.uint8)
    assert torch.isfinite(training.standardised(nn.Identity(), silent)(torch.zeros(1, 4))).all()


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ((np.zeros((0, 4)), np.zeros(0, int)), "0 items"),
        ((np.zeros((3, 4)), np.zeros(2, int)), "3 items and 2 targets"),
    ],
)
def test_parts_that_do_not_fit_together_are_told(train, said):
    network = nn.Linear(4, 2)
    with pytest.raises(training.TrainingError, match=said):
        training.fit(network, train, recipe=RECIPE, machine=PLAIN)


def test_a_loss_that_is_no_number_is_told():
    x = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(training.TrainingError, match="epoch 1.*learning rate"):
        training.fit(nn.Linear(4, 2), (x, np.zeros(4, int)), recipe=RECIPE, machine=PLAIN)


def test_bfloat16_learns_as_well_as_float32():
    x, y = bright_or_dark()
    losses = {}
    for bfloat16 in (False, True):
        network = small_network(x)
        machine = Machine("cpu", bfloat16)
        fit = training.fit(network, (x, y), recipe=RECIPE, machine=machine)
        losses[bfloat16] = fit.history["train_loss"].iloc[-1]
        assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert losses[True] == pytest.approx(losses[False], abs=0.1)


def test_this_computer_uses_bfloat16_only_with_instructions_for_it(monkeypatch):
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx512_bf16": has})
        assert Machine.cpu() == Machine("cpu", has)


# ---- ResNet18


@pytest.mark.parametrize("n_channels", [1, 3])
def test_resnet_gives_a_logit_a_genre(n_channels):
    network = resnet.build(n_classes=7, n_channels=n_channels).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, n_channels, 32, 48)).shape == (2, 7)


def test_resnet_takes_grey_or_coloured_pictures_only():
    with pytest.raises(ValueError, match="n_channels is 2"):
        resnet.build(n_channels=2)


def test_grey_pretrained_equals_coloured_pretrained_on_equal_channels(monkeypatch):
    torch.manual_seed(1)
    pretrained = resnet.resnet18(weights=None).state_dict()
    monkeypatch.setattr(type(resnet.IMAGENET), "fetch", lambda _: pretrained)
    grey = resnet.build(n_channels=1, pretrained=True).eval()
    coloured = resnet.build(n_channels=3, pretrained=True).eval()
    coloured.fc = grey.fc
    x = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(grey(x), coloured(x.expand(1, 3, 32, 32)), rtol=1e-3, atol=1e-4)
