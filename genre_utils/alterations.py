"""Copies of a clip as they circulate: cut, shifted, louder, band-limited, re-encoded."""

import io
from collections.abc import Callable

import numpy as np
import soundfile as sf
from scipy import signal

# Between these libsndfile places its level of compression, at rates of 16 to 24 kHz.
_MP3_MOST, _MP3_LEAST = 160, 8


def cut(y: np.ndarray, sr: int) -> np.ndarray:
    """Return five seconds from inside the clip."""
    return y[round(7.31 * sr) : round(12.31 * sr)]


def shifted(y: np.ndarray, sr: int) -> np.ndarray:
    """Return the clip without its first seconds."""
    return y[round(3.777 * sr) :]


def louder(y: np.ndarray, _sr: int) -> np.ndarray:
    """Return the clip 12 dB louder, clipped where it leaves full scale."""
    return np.clip(y * 10 ** (12 / 20), -1, 1)


def softer(y: np.ndarray, _sr: int) -> np.ndarray:
    """Return the clip 12 dB softer, in 16 bits."""
    return np.round(y * 10 ** (-12 / 20) * 32768) / 32768


def mp3(y: np.ndarray, sr: int, *, kbit: int = 64) -> bytes:
    """Return the clip as an MP3 file.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        One channel.
    sr : int
        Its sample rate in Hz, from 16,000 to 24,000.
    kbit : int
        Constant bit rate in kbit/s, from 8 to 160.
    """
    stream = io.BytesIO()
    level = (_MP3_MOST - kbit) / (_MP3_MOST - _MP3_LEAST)
    sf.write(stream, y, sr, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    return stream.getvalue()


def re_encoded(y: np.ndarray, sr: int, *, kbit: int = 64) -> np.ndarray:
    """Return the clip after a way through `mp3`."""
    return sf.read(io.BytesIO(mp3(y, sr, kbit=kbit)))[0]


def telephone(y: np.ndarray, sr: int) -> np.ndarray:
    """Return the clip between 300 and 3,400 Hz."""
    sos = signal.butter(4, [300, 3400], "bandpass", fs=sr, output="sos")
    return signal.sosfilt(sos, y)


def everything(y: np.ndarray, sr: int) -> np.ndarray:
    """Return five seconds, band-limited, louder and re-encoded."""
    return re_encoded(louder(telephone(cut(y, sr), sr), sr), sr)


ALTERATIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "5 s cut out": cut,
    "shifted": shifted,
    "12 dB louder": louder,
    "12 dB softer": softer,
    "MP3 at 64 kbit/s": re_encoded,
    "telephone band": telephone,
    "all of these": everything,
}
"""What may happen to a recording and leave it the same recording, by name."""
