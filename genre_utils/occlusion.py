"""What a network goes by in a spectrogram: patches are hidden, and it is asked again.

Needs numpy alone, so that any runtime's networks can be asked.
"""

from collections.abc import Callable

import numpy as np

PATCHES = (8, 15)
"""Bands and moments that are hidden one by one."""


def probability_lost(
    predict: Callable[[np.ndarray], np.ndarray],
    S: np.ndarray,
    genre: int,
    *,
    n_frames: int | None = None,
) -> np.ndarray:
    """Measure how much a genre's probability falls when a patch of a spectrogram is hidden [1]_.

    Parameters
    ----------
    predict : callable
        Takes spectrograms [shape=(n_items, 1, n_mels, n_columns), dtype=uint8] and returns
        probabilities [shape=(n_items, n_genres)].
    S : np.ndarray [shape=(n_mels, n_columns), dtype=uint8]
        One spectrogram.
    genre : int
        Number of the genre.
    n_frames : int, optional
        After how many columns a short sound begins anew; a patch is hidden each time.

    Returns
    -------
    drop : np.ndarray [shape=(8, n_moments), dtype=float]
        Low bands first, in the order of time; negative where hiding helps. There are 15
        moments, fewer where there are fewer columns. A patch is hidden behind the
        spectrogram's mean.

    References
    ----------
    .. [1] Zeiler & Fergus, "Visualizing and understanding convolutional networks",
       ECCV 2014.
    """
    n_frames = n_frames or S.shape[1]
    n_bands, n_moments = PATCHES[0], min(PATCHES[1], n_frames)
    band = _parts(S.shape[0], n_bands)[:, None]
    moment = _parts(n_frames, n_moments)[np.arange(S.shape[1]) % n_frames]
    patch = band * n_moments + moment
    mean = np.uint8(round(float(S.mean())))
    hidden = np.where(patch == np.arange(n_bands * n_moments)[:, None, None], mean, S)
    probability = predict(np.concatenate([S[None], hidden])[:, None])[:, genre]
    return (probability[0] - probability[1:]).reshape(n_bands, n_moments)


def _parts(n_items: int, n_parts: int) -> np.ndarray:
    """Return the part that each item belongs to, of parts as large as each other."""
    return np.arange(n_items) * n_parts // n_items
