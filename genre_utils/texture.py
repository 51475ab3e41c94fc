"""What a spectrogram is like as a whole: how its bands move, and which of them move together.

Each function takes spectrograms [shape=(n_items, n_bands, n_frames)] and returns one row of
numbers an item [shape=(n_items, n_columns), dtype=float32], whatever the number of frames.
Nothing is learnt here.
"""

from collections.abc import Sequence

import numpy as np

N_BANDS = 20
"""Bands that those of a spectrogram are joined to before pairs of them are compared."""

LAGS = (0, 1, 4, 8)
"""Delays in frames at which bands are compared by `covariance`."""

_WINDOW, _STEP, _N_RATES = 256, 64, 10
_SHRINKAGE = 0.02
_SMALLEST = 1e-3


def levels(x: np.ndarray) -> np.ndarray:
    """Return mean, deviation, and three percentiles (10, 50, 90) of each band over time."""
    x = np.asarray(x, np.float32)
    percentiles = np.percentile(x, [10, 50, 90], axis=2)
    return np.concatenate([x.mean(axis=2), x.std(axis=2), *percentiles], axis=1, dtype=np.float32)


def modulation(x: np.ndarray) -> np.ndarray:
    """Return how strongly each of `N_BANDS` bands fluctuates, slowly to fast [1]_.

    The power spectrum over time of each band, in windows of 256 frames (of all frames, where
    there are fewer), as logarithms in ten ranges of rates, each about 1.6 times the last.

    References
    ----------
    .. [1] Pampalk, Rauber & Merkl, "Content-based organization and visualization of music
       archives", ACM Multimedia 2002.
    """
    bands = joined(x, N_BANDS)
    bands = bands - bands.mean(axis=2, keepdims=True)
    length = min(_WINDOW, bands.shape[2])
    starts = range(0, bands.shape[2] - length + 1, _STEP)
    window = np.hanning(length)
    spectra = [np.fft.rfft(bands[:, :, at : at + length] * window, axis=2) for at in starts]
    power = np.mean([np.abs(spectrum) ** 2 for spectrum in spectra], axis=0)
    edges = np.unique(np.round(np.geomspace(1, length // 2, _N_RATES + 1)).astype(int))
    ranges = [power[:, :, a:b].mean(axis=2) for a, b in zip(edges, edges[1:], strict=False)]
    return np.log(np.stack(ranges, axis=2) + _SMALLEST).reshape(len(x), -1).astype(np.float32)


def correlation(x: np.ndarray) -> np.ndarray:
    """Return how alike each pair of `N_BANDS` bands moves, and how much each moves [1]_.

    Correlation coefficients over time, and the logarithm of each band's deviation.

    References
    ----------
    .. [1] Seyerlehner, Widmer & Pohle, "Fusing block-level features for music similarity
       estimation", DAFx 2010.
    """
    covariances = _covariances(joined(x, N_BANDS))
    deviations = np.sqrt(np.einsum("nii->ni", covariances)) + _SMALLEST
    first, second = np.triu_indices(N_BANDS, 1)
    pairs = covariances[:, first, second] / (deviations[:, first] * deviations[:, second])
    return np.concatenate([pairs, np.log(deviations)], axis=1, dtype=np.float32)


def covariance(x: np.ndarray, *, lags: Sequence[int] = LAGS) -> np.ndarray:
    """Return the logarithm of the covariance of `N_BANDS` bands, now and some frames ago [1]_.

    Covariance matrices are no vectors: the mean of two is not half-way between them. Their
    matrix logarithms are, so that a classifier may add and compare them.

    Parameters
    ----------
    x : np.ndarray [shape=(n_items, n_bands, n_frames)]
        Spectrograms.
    lags : sequence of int
        Delays in frames; each adds `N_BANDS` rows to the matrix.

    References
    ----------
    .. [1] Arsigny, Fillard, Pennec & Ayache, "Log-Euclidean metrics for fast and simple
       calculus on diffusion tensors", Magnetic Resonance in Medicine 56(2), 2006.
    """
    bands, most = joined(x, N_BANDS), max(lags)
    delayed = [bands[:, :, most - lag : bands.shape[2] - lag] for lag in lags]
    matrices = _covariances(np.concatenate(delayed, axis=1))
    size = matrices.shape[1]
    # Few frames leave directions without any movement, which have no logarithm.
    level = np.einsum("nii->n", matrices) / size + _SMALLEST
    matrices = (1 - _SHRINKAGE) * matrices + _SHRINKAGE * level[:, None, None] * np.eye(size)
    values, vectors = np.linalg.eigh(matrices)
    logarithms = (vectors * np.log(values)[:, None, :]) @ vectors.transpose(0, 2, 1)
    first, second = np.triu_indices(size)
    # What stands twice in the matrix counts twice in a distance.
    weights = np.where(first == second, 1, np.sqrt(2))
    return (logarithms[:, first, second] * weights).astype(np.float32)


def joined(x: np.ndarray, n_bands: int) -> np.ndarray:
    """Return spectrograms with fewer bands, each the mean of neighbours.

    Parameters
    ----------
    x : np.ndarray [shape=(n_items, n, n_frames)]
        Spectrograms.
    n_bands : int
        At most n.

    Returns
    -------
    bands : np.ndarray [shape=(n_items, n_bands, n_frames), dtype=float64]
    """
    parts = np.array_split(np.arange(x.shape[1]), n_bands)
    return np.stack([x[:, part].mean(axis=1, dtype=np.float64) for part in parts], axis=1)


def _covariances(bands: np.ndarray) -> np.ndarray:
    moved = bands - bands.mean(axis=2, keepdims=True)
    return moved @ moved.transpose(0, 2, 1) / bands.shape[2]
