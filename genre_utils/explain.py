"""A made-up sound for readers: simple enough that every picture of it can be understood."""

import numpy as np
from scipy.signal import chirp

from genre_utils import images
from genre_utils.features import SR

SECONDS = 6.0
"""Length of the sound."""

_PART_S = 2.0
_BEATS_A_SECOND = 4


def sound(*, seed: int = 0) -> np.ndarray:
    """Return a steady tone with overtones, a tone that rises, and noise that beats.

    Parameters
    ----------
    seed : int
        Seed of the noise.

    Returns
    -------
    y : np.ndarray [shape=(132300,), dtype=float32]
        At 22,050 Hz, in [-1, 1]; two seconds of each.
    """
    t = np.arange(int(_PART_S * SR)) / SR
    tone = sum(np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 7)) / 2.5
    rising = chirp(t, f0=200, f1=5000, t1=_PART_S, method="logarithmic")
    since_beat = (t * _BEATS_A_SECOND) % 1
    beats = np.random.default_rng(seed).normal(0, 0.3, len(t)) * np.exp(-6 * since_beat)
    y = np.concatenate([0.6 * tone, 0.4 * rising, beats])
    return y.clip(-1, 1).astype(np.float32)


def pictures() -> dict[str, np.ndarray]:
    """Return the sound as the four pictures that networks of this study read, in grey.

    Returns
    -------
    dict of str to np.ndarray [shape=(128, 432), dtype=uint8]
        Title → picture, its top row first.
    """
    y = sound()
    return {
        "waveform: loudness and its outline": images.waveform_picture(y),
        "zero-crossing rate: how often the signal changes its sign": images.zcr_picture(y),
        "mel spectrogram: which frequencies sound when": images.mel_picture(y, cmap=None),
        "MFCC: the spectrum's outline, coarse (bottom) to fine": images.mfcc_picture(y, cmap=None),
    }
