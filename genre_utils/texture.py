"""What a spectrogram is like as a whole: how its bands move, and which of them move together.

Each function takes spectrograms [shape=(n_items, n_bands, n_frames)] of any number type and
returns one row of numbers an item [shape=(n_items, n_columns), dtype=float32], whatever the
number of frames. Nothing is learnt here.
"""

import numpy as np
import torch
from torch import Tensor

N_BANDS = 20
"""Bands that those of a spectrogram are joined to before pairs of them are compared."""

LAGS = (0, 1, 4, 8)
"""Delays in frames at which bands are compared by `covariance`."""

_WINDOW, _STEP, _N_RATES = 256, 64, 10
_SHRINKAGE = 0.02
_SMALLEST = 1e-3


def levels(x: Tensor) -> Tensor:
    """Return mean, deviation, and three percentiles (10, 50, 90) of each band over time."""
    x = x.float()
    percentiles = torch.quantile(x, torch.tensor([0.1, 0.5, 0.9], device=x.device), dim=2)
    return torch.cat([x.mean(dim=2), x.std(dim=2, correction=0), *percentiles], dim=1)


def modulation(x: Tensor) -> Tensor:
    """Return how strongly each of `N_BANDS` bands fluctuates, slowly to fast [1]_.

    The power spectrum over time of each band, in windows of 256 frames (of all frames, where
    there are fewer, with zeros behind them), as logarithms in ten ranges of rates, each about
    1.6 times the last.

    References
    ----------
    .. [1] Pampalk, Rauber & Merkl, "Content-based organization and visualization of music
       archives", ACM Multimedia 2002.
    """
    bands = _joined(x)
    bands = bands - bands.mean(dim=2, keepdim=True)
    length = min(_WINDOW, bands.shape[2])
    window = torch.hann_window(length, periodic=False, dtype=bands.dtype, device=x.device)
    spectra = torch.fft.rfft(bands.unfold(2, length, _STEP) * window, n=_WINDOW)
    power = spectra.abs().square().mean(dim=2)
    edges = np.unique(np.round(np.geomspace(1, _WINDOW // 2, _N_RATES + 1)).astype(int))
    ranges = [power[:, :, a:b].mean(dim=2) for a, b in zip(edges, edges[1:], strict=False)]
    return (torch.stack(ranges, dim=2) + _SMALLEST).log().flatten(1).float()


def correlation(x: Tensor) -> Tensor:
    """Return how alike each pair of `N_BANDS` bands moves, and how much each moves [1]_.

    Correlation coefficients over time, and the logarithm of each band's deviation.

    References
    ----------
    .. [1] Seyerlehner, Widmer & Pohle, "Fusing block-level features for music similarity
       estimation", DAFx 2010.
    """
    covariances = _covariances(_joined(x))
    deviations = covariances.diagonal(dim1=1, dim2=2).sqrt() + _SMALLEST
    first, second = torch.triu_indices(N_BANDS, N_BANDS, 1)
    pairs = covariances[:, first, second] / (deviations[:, first] * deviations[:, second])
    return torch.cat([pairs, deviations.log()], dim=1).float()


def covariance(x: Tensor) -> Tensor:
    """Return the logarithm of the covariance of `N_BANDS` bands, now and some frames ago [1]_.

    Covariance matrices are no vectors: the mean of two is not half-way between them. Their
    matrix logarithms are, so that a classifier may add and compare them. Each of the `LAGS`
    adds `N_BANDS` rows to the matrix.

    References
    ----------
    .. [1] Arsigny, Fillard, Pennec & Ayache, "Log-Euclidean metrics for fast and simple
       calculus on diffusion tensors", Magnetic Resonance in Medicine 56(2), 2006.
    """
    bands, most = _joined(x), max(LAGS)
    delayed = [bands[:, :, most - lag : bands.shape[2] - lag] for lag in LAGS]
    matrices = _covariances(torch.cat(delayed, dim=1))
    size = matrices.shape[1]
    # Few frames leave directions without any movement, which have no logarithm.
    level = matrices.diagonal(dim1=1, dim2=2).mean(dim=1) + _SMALLEST
    identity = torch.eye(size, dtype=matrices.dtype, device=x.device)
    matrices = (1 - _SHRINKAGE) * matrices + _SHRINKAGE * level[:, None, None] * identity
    values, vectors = torch.linalg.eigh(matrices)
    logarithms = (vectors * values.log()[:, None, :]) @ vectors.mT
    first, second = torch.triu_indices(size, size)
    # What stands twice in the matrix counts twice in a distance.
    weights = torch.where(first == second, 1.0, 2**0.5).to(x.device)
    return (logarithms[:, first, second] * weights).float()


def _joined(x: Tensor) -> Tensor:
    """Return spectrograms with `N_BANDS` bands, each the mean of neighbours, as float64."""
    parts = x.double().tensor_split(N_BANDS, dim=1)
    return torch.stack([part.mean(dim=1) for part in parts], dim=1)


def _covariances(bands: Tensor) -> Tensor:
    moved = bands - bands.mean(dim=2, keepdim=True)
    return moved @ moved.mT / bands.shape[2]
