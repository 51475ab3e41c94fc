"""The spectrogram in GTZAN's pictures, and mel bands read from it: numpy alone.

Networks that learnt from those pictures (``images_original``) are given sound through
this module, wherever it comes from: `images` draws the picture of it, `inputs` makes the
training data, and `inference` needs nothing else before the network.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from genre_utils import project

SR = 22050
"""Sample rate in Hz of the sound that the pictures were drawn from."""

N_BINS, N_COLUMNS = 128, 496
"""Frequency bins and columns of pixels in a picture."""

N_MELS = 80
"""Mel bands that networks read."""

_N_FFT, _OVERLAP = 256, 32
_HOP = _N_FFT - _OVERLAP
_TAPER = 0.25
BIN_HZ = SR / _N_FFT
"""Hertz from one bin to the next."""

_FULL_SCALE, _LEAST_PEAK = 32768, 0.5
_SILENCE_DB = -100.0
_TOP_HZ = SR / 2
_TICKS_HZ = (200, 1000, 3000, 8000)

# Slaney's scale: even steps of 200/3 Hz up to 1,000 Hz, even ratios from there on.
_LINEAR_HZ, _LINEAR_UP_TO_HZ, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


class ImageError(project.ProjectError):
    """A picture that cannot be read, or a signal that none can be made of."""


def checked(y: np.ndarray) -> np.ndarray:
    """Return a signal as float32 [shape=(n_samples,)].

    Raises
    ------
    ImageError
        If it is empty, has several channels, or holds NaN or infinite samples.
    """
    y = np.ascontiguousarray(y, dtype=np.float32)
    if y.ndim != 1 or not len(y) or not np.isfinite(y).all():
        raise ImageError(
            f"the signal has shape {y.shape}; expected one channel of finite samples; "
            "load it with audio.load"
        )
    return y


def sixteen_bits(y: np.ndarray) -> np.ndarray:
    """Round a signal to 16 bits, as GTZAN's sound is.

    The lowest level of a picture is the quietest point of its clip. Decoded from mp3, or
    brought here from another sample rate, a clip has points far below what 16 bits can
    say, which would brighten all of its picture. A quiet signal is made louder first, so
    that it keeps as many steps as loud music has; GTZAN's loud clips stay as they are.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono signal; full scale is -1 to 1.
    """
    peak = float(np.abs(y).max())
    scale = _FULL_SCALE * max(1.0, _LEAST_PEAK / max(peak, 1 / _FULL_SCALE))
    return np.rint(y * np.float32(scale)) / np.float32(_FULL_SCALE)


def n_frames(n_samples: int) -> int:
    """Return how many frames of a signal were drawn; the last one was not."""
    return (n_samples - _OVERLAP) // _HOP - 1


def levels(y: np.ndarray, *, shown_frames: int | None = None) -> np.ndarray:
    """Return the levels that a picture of a clip shows.

    A spectrogram by scipy's defaults (256 samples under a Tukey window, 32 of them
    shared with the next frame, the mean taken away), natural logarithm, from the clip's
    own least to its largest value. There are about six frames to a column of pixels; the
    one that was drawn last, and is seen, is the last one that touches the column.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal at 22,050 Hz, of at least two frames (480 samples). Its loudness has
        no effect.
    shown_frames : int, optional
        How many frames the width stands for, where it is not the clip itself.

    Returns
    -------
    S : np.ndarray [shape=(128, 496), dtype=uint8]
        0 is the quietest point, 255 the loudest; linear frequency, low bins first.

    Raises
    ------
    ImageError
        If the signal is shorter than two frames, or as `checked`.
    """
    y = checked(y)
    count = _checked_count(y)
    power = _power(y, count)
    last = np.ceil(np.arange(1, N_COLUMNS + 1) * (shown_frames or count) / N_COLUMNS).astype(int)
    shown = power[np.clip(last - 1, 0, count - 1)]
    least, largest = _ends(power)
    if largest == 0:
        return np.zeros((N_BINS, N_COLUMNS), np.uint8)
    low, high = np.log(least), np.log(largest)
    scaled = (np.log(np.maximum(shown, least)) - low) * (255 / max(high - low, 1e-10))
    return np.rint(scaled).astype(np.uint8).T


def extent_db(y: np.ndarray) -> tuple[float, float]:
    """Return what a picture of a clip does not tell: what its levels stand for.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        As for `levels`; full scale is -1 to 1.

    Returns
    -------
    range_db : float
        From level 0 to level 255 in dB; 0 for silence.
    peak_db : float
        Power of the loudest point, level 255, in dB.

    Raises
    ------
    ImageError
        As `levels`.
    """
    y = checked(y)
    least, largest = _ends(_power(y, _checked_count(y)))
    if largest == 0:
        return 0.0, _SILENCE_DB
    return float(10 * np.log10(largest / least)), float(10 * np.log10(largest))


def _checked_count(y: np.ndarray) -> int:
    count = n_frames(len(y))
    if count < 1:
        raise ImageError(
            f"the signal has {len(y)} samples; expected at least {2 * _HOP + _OVERLAP} "
            "for a picture; take a longer piece"
        )
    return count


def _power(y: np.ndarray, count: int) -> np.ndarray:
    """Return the power of each frame's bins [shape=(count, 128)]."""
    framed = sliding_window_view(y, _N_FFT)[::_HOP][:count]
    centred = framed - framed.mean(axis=1, keepdims=True)
    centred *= _window()
    spectra = np.fft.rfft(centred, axis=1)[:, :N_BINS]
    power = np.square(spectra.real)
    power += np.square(spectra.imag)
    power[:, 1:] *= 2
    return power


def _ends(power: np.ndarray) -> tuple[float, float]:
    """Return the least power above 0, and the largest."""
    return np.min(power, where=power > 0, initial=np.inf), power.max()


def mel_levels(S: np.ndarray, *, n_mels: int = N_MELS) -> np.ndarray:
    """Read mel bands from a picture's levels.

    Parameters
    ----------
    S : np.ndarray [shape=(128, n_columns), dtype=uint8]
        As `levels` returns it.
    n_mels : int
        Mel bands. Low ones are narrower than the bins of 86 Hz and share them.

    Returns
    -------
    M : np.ndarray [shape=(n_mels, n_columns), dtype=uint8]
        Low bands first; weighted means of the levels.
    """
    means = _mel_weights(n_mels).astype(np.float64) @ S.astype(np.float64)
    # What lies half-way between two levels must not depend on how a processor adds up.
    return np.floor(means + (0.5 + 1e-9)).astype(np.uint8)


def mel_of_sound(y: np.ndarray, *, n_mels: int = N_MELS) -> np.ndarray:
    """Return what networks read of a clip: mel bands of the picture of its 16-bit sound.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        As for `levels`.
    n_mels : int
        As for `mel_levels`.

    Returns
    -------
    M : np.ndarray [shape=(n_mels, 496), dtype=uint8]
        Low bands first, 0 the quietest point, 255 the loudest.

    Raises
    ------
    ImageError
        As `levels`.
    """
    return mel_levels(levels(sixteen_bits(y)), n_mels=n_mels)


def mel_centres(n_bands: int) -> np.ndarray:
    """Return the centre of each mel band in Hz [shape=(n_bands,)], from 0 to 11,025 Hz.

    The scale is that of Slaney's Auditory Toolbox (1998), as in librosa.
    """
    return _mel_edges(n_bands)[1:-1]


def hertz_ticks(band_hz: np.ndarray) -> dict[int, float]:
    """Return what to write beside a picture of bands, and where.

    Parameters
    ----------
    band_hz : np.ndarray [shape=(n_bands,)]
        Centre of each band in Hz, ascending; of mel bands, `mel_centres`.

    Returns
    -------
    dict of int to float
        Round frequencies in Hz → how high they lie, from 0 (the foot) to 1 (the top).
    """
    middles = (np.arange(len(band_hz)) + 0.5) / len(band_hz)
    return {hz: float(np.interp(hz, band_hz, middles)) for hz in _TICKS_HZ}


def _mel_edges(n_bands: int) -> np.ndarray:
    linear_mels = _LINEAR_UP_TO_HZ / _LINEAR_HZ
    top = linear_mels + np.log(_TOP_HZ / _LINEAR_UP_TO_HZ) / _LOG_STEP
    mels = np.linspace(0.0, top, n_bands + 2)
    above = _LINEAR_UP_TO_HZ * np.exp(_LOG_STEP * (mels - linear_mels))
    return np.where(mels >= linear_mels, above, _LINEAR_HZ * mels)


@lru_cache(maxsize=4)
def _mel_weights(n_mels: int) -> np.ndarray:
    edges = _mel_edges(n_mels)
    centre = edges[1:-1, None]
    # No band is narrower than the bins it is read from.
    low = np.minimum(edges[:-2, None], centre - BIN_HZ)
    high = np.maximum(edges[2:, None], centre + BIN_HZ)
    hz = np.arange(N_BINS) * BIN_HZ
    weights = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clip(0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    """Return scipy's ``get_window(("tukey", 0.25), 256)``: flat, with cosines at its ends."""
    n = np.arange(_N_FFT)
    edge = np.minimum(n, _N_FFT - n) / (_TAPER * _N_FFT / 2)
    return np.where(edge < 1, (1 - np.cos(np.pi * edge)) / 2, 1.0).astype(np.float32)
