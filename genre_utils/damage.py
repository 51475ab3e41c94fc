"""What music goes through before a network hears it: codecs, noise, cuts, other speeds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import soxr

from genre_utils import alterations
from genre_utils.project import ProjectError


@dataclass(frozen=True)
class Damage:
    """One thing that may happen to a clip.

    Attributes
    ----------
    apply : callable
        ``apply(y, sr)`` returns samples [shape=(n_samples,)] and their rate in Hz.
    longer_than_s : float
        It changes nothing about clips that are not longer than this.
    """

    apply: Callable[[np.ndarray, int], tuple[np.ndarray, int]]
    longer_than_s: float = 0.0


def noisy(y: np.ndarray, sr: int, *, snr_db: float) -> np.ndarray:
    """Return the clip with white noise, the same for every clip.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        One channel.
    sr : int
        Its sample rate in Hz.
    snr_db : float
        How much louder the music is than the noise, in dB.
    """
    level = np.sqrt(np.mean(np.square(y, dtype=np.float64))) * 10 ** (-snr_db / 20)
    return (y + level * np.random.default_rng(sr).standard_normal(len(y))).astype(np.float32)


def higher(y: np.ndarray, sr: int, *, semitones: float) -> np.ndarray:
    """Return the clip at another pitch and the same speed."""
    from librosa.effects import pitch_shift

    return pitch_shift(y, sr=sr, n_steps=semitones, res_type="soxr_hq")


def faster(y: np.ndarray, _sr: int, *, rate: float) -> np.ndarray:
    """Return the clip at another speed and the same pitch."""
    from librosa.effects import time_stretch

    return time_stretch(y, rate=rate)


def middle(y: np.ndarray, sr: int, *, seconds: float) -> np.ndarray:
    """Return so many seconds from the middle of the clip."""
    length = round(seconds * sr)
    start = max(0, (len(y) - length) // 2)
    return y[start : start + length]


def at_rate(y: np.ndarray, sr: int, *, rate: int) -> tuple[np.ndarray, int]:
    """Return the clip at another sample rate, with that rate."""
    return soxr.resample(y, sr, rate, quality="soxr_hq"), rate


def _at_its_rate(change: Callable, **options) -> Callable:
    return partial(_unchanged_rate, change=partial(change, **options))


def _unchanged_rate(y: np.ndarray, sr: int, *, change: Callable) -> tuple[np.ndarray, int]:
    return change(y, sr), sr


DAMAGES: dict[str, Damage] = {
    "MP3, 128 kbit/s": Damage(_at_its_rate(alterations.re_encoded, kbit=128)),
    "MP3, 64 kbit/s": Damage(_at_its_rate(alterations.re_encoded, kbit=64)),
    "MP3, 32 kbit/s": Damage(_at_its_rate(alterations.re_encoded, kbit=32)),
    "noise, 20 dB": Damage(_at_its_rate(noisy, snr_db=20)),
    "noise, 10 dB": Damage(_at_its_rate(noisy, snr_db=10)),
    "noise, 0 dB": Damage(_at_its_rate(noisy, snr_db=0)),
    "telephone band": Damage(_at_its_rate(alterations.telephone)),
    "12 dB louder": Damage(_at_its_rate(alterations.louder)),
    "12 dB softer": Damage(_at_its_rate(alterations.softer)),
    "2 semitones higher": Damage(_at_its_rate(higher, semitones=2)),
    "2 semitones lower": Damage(_at_its_rate(higher, semitones=-2)),
    "10 % faster": Damage(_at_its_rate(faster, rate=1.1)),
    "10 % slower": Damage(_at_its_rate(faster, rate=0.9)),
    "5-s excerpt": Damage(_at_its_rate(middle, seconds=5), longer_than_s=5.0),
    "2-s excerpt": Damage(_at_its_rate(middle, seconds=2), longer_than_s=2.0),
    "8,000 Hz": Damage(partial(at_rate, rate=8_000)),
    "16,000 Hz": Damage(partial(at_rate, rate=16_000)),
    "48,000 Hz": Damage(partial(at_rate, rate=48_000)),
}
"""What is tried, by the name that tables and figures use."""


def named(names: list[str] | None) -> dict[str, Damage]:
    """Return some of `DAMAGES`, or all of them for None.

    Raises
    ------
    ProjectError
        If there is none of a name.
    """
    if names is None:
        return DAMAGES
    unknown = [name for name in names if name not in DAMAGES]
    if unknown:
        raise ProjectError(f"unknown damage {unknown[0]!r}; expected one of {', '.join(DAMAGES)}")
    return {name: DAMAGES[name] for name in names}
