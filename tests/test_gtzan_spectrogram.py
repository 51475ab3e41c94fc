"""The numpy-only spectrogram equals scipy's and librosa's, which it stands in for."""

import librosa
import numpy as np
import pytest
import scipy.signal

from genre_utils import gtzan_spectrogram, images, inputs

SR = 22050


def sixteen_bits(seconds: float, seed: int = 0) -> np.ndarray:
    t = np.arange(round(seconds * SR)) / SR
    noise = np.random.default_rng(seed).standard_normal(len(t))
    y = 0.3 * np.exp(-4 * (t % 0.5)) * np.sin(2 * np.pi * 440 * t) + 0.05 * noise
    return np.rint(32768 * y).astype(np.int16)


def by_scipy(samples: np.ndarray) -> np.ndarray:
    power = scipy.signal.spectrogram(samples.astype(np.float64))[2][:128, :-1]
    last = np.ceil(np.arange(1, 497) * power.shape[1] / 496).astype(int) - 1
    low, high = np.log(power[power > 0].min()), np.log(power.max())
    scaled = (np.log(power[:, last]) - low) * 255 / (high - low)
    return np.rint(scaled).astype(np.uint8)


@pytest.mark.parametrize("seconds", [0.1, 3.0, 30.0])
def test_levels_are_those_of_scipys_spectrogram(seconds):
    samples = sixteen_bits(seconds)
    ours = gtzan_spectrogram.levels(samples / 32768)
    difference = np.abs(ours.astype(int) - by_scipy(samples))
    assert ours.shape == (128, 496) and difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("n_bands", [8, 80, 128])
def test_mel_centres_are_librosas(n_bands):
    expected = librosa.mel_frequencies(n_bands + 2, fmin=0.0, fmax=SR / 2)[1:-1]
    np.testing.assert_allclose(gtzan_spectrogram.mel_centres(n_bands), expected, rtol=1e-12)


def test_a_picture_and_its_sound_give_the_same_bands():
    y = sixteen_bits(5.0) / 32768
    levels = gtzan_spectrogram.levels(y)
    picture = images.gtzan_picture(y)
    np.testing.assert_array_equal(images.gtzan_levels(picture), levels)
    np.testing.assert_array_equal(
        inputs.mel_of_picture(picture), gtzan_spectrogram.mel_levels(levels)
    )


def test_a_tone_is_in_the_band_of_its_frequency():
    y = np.sin(2 * np.pi * 3000 * np.arange(SR) / SR) + 1e-3 * sixteen_bits(1.0) / 32768
    bands = gtzan_spectrogram.mel_levels(gtzan_spectrogram.levels(y)).mean(axis=1)
    assert gtzan_spectrogram.mel_centres(80)[bands.argmax()] == pytest.approx(3000, rel=0.05)


def test_silence_has_the_lowest_level_and_a_part_of_a_clip_may_be_shown():
    assert not gtzan_spectrogram.levels(np.zeros(SR)).any()
    y = sixteen_bits(2.0) / 32768
    count = gtzan_spectrogram.n_frames(len(y))
    wide = gtzan_spectrogram.levels(y, shown_frames=2 * count)
    assert (wide[:, 248:] == wide[:, 248:249]).all() and wide[:, :248].std() > 0


@pytest.mark.parametrize("y", [np.zeros(0), np.full(SR, np.nan), np.zeros((2, SR)), np.zeros(479)])
def test_unusable_signals_are_refused(y):
    with pytest.raises(gtzan_spectrogram.ImageError, match="expected"):
        gtzan_spectrogram.levels(y)


def test_a_mean_half_way_between_two_levels_is_rounded_up_whatever_the_rounding_error(monkeypatch):
    S = np.array([[1, 3, 254], [2, 4, 255]], np.uint8)
    for error in (-1e-12, 0, 1e-12):
        weights = np.array([[0.5, 0.5 + error]])
        monkeypatch.setattr(gtzan_spectrogram, "_mel_weights", lambda n_mels, w=weights: w)
        assert gtzan_spectrogram.mel_levels(S).tolist() == [[2, 4, 255]]
