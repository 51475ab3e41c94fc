"""Pictures of sound as arrays, without a plotting library: what image networks read.

They look like the plots that are usually saved and read back; a picture takes a few
milliseconds, and none is written to disk. `gtzan_picture` makes the pictures that come
with GTZAN (``images_original``), so that a network trained on those can be given sound.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.fft
from numba import njit

from genre_utils import features, gtzan_spectrogram, spectral
from genre_utils.gtzan_spectrogram import ImageError, checked

GTZAN_SHAPE = (370, gtzan_spectrogram.N_COLUMNS)
"""Height and width in pixels of GTZAN's own pictures."""

_N_FFT, _HOP = 2048, 512
_GTZAN_AXES_PX = 369.6
_MARGIN = 0.05
_LINE_PX = 1.5

_GTZAN_WIDTHS = {
    "country": ((0, 3000),),
    "disco": ((0, 2963), (1, 2972), (3, 2981)),
    "metal": ((0, 2999),),
    "pop": ((0, 2953),),
}
"""Genre → (first track number, frames that the width of its picture stands for)."""


def waveform_picture(
    y: np.ndarray, *, height: int = 128, width: int = 432, limit: float | None = None
) -> np.ndarray:
    """Draw a waveform, black on white, as ``librosa.display.waveshow`` in grey.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    height, width : int
        Size in pixels; the clip fills the width.
    limit : float, optional
        Amplitude at the upper and the lower edge; by default the clip's own largest,
        and 5 % above.

    Returns
    -------
    picture : np.ndarray [shape=(height, width), dtype=uint8]
        255 is paper, 0 is ink.

    Raises
    ------
    ImageError
        If the signal is empty or holds NaN or infinite samples.
    """
    y = checked(y)
    limit = limit or (1 + 2 * _MARGIN) * max(float(np.abs(y).max()), 1e-10)
    return _inked(*_envelope(y, width), bottom=-limit, top=limit, height=height, line=1.0)


def zcr_picture(y: np.ndarray, *, height: int = 128, width: int = 432) -> np.ndarray:
    """Draw the zero-crossing rate over time, a black line on white.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    height, width : int
        Size in pixels; the rate's own range fills the height but for a margin.

    Returns
    -------
    picture : np.ndarray [shape=(height, width), dtype=uint8]
        255 is paper, 0 is ink.

    Raises
    ------
    ImageError
        As `waveform_picture`.
    """
    rate = spectral.zero_crossings(checked(y), _N_FFT, _HOP)
    low, high = float(rate.min()), float(rate.max())
    margin = _MARGIN * (high - low) or 0.01
    low, high = low - margin, high + margin
    return _inked(*_envelope(rate, width), bottom=low, top=high, height=height, line=_LINE_PX)


def mel_picture(
    y: np.ndarray,
    *,
    sr: int = features.SR,
    height: int = 128,
    width: int = 432,
    cmap: str | None = "magma",
) -> np.ndarray:
    """Draw a log-mel spectrogram, as ``librosa.display.specshow``.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.
    height, width : int
        Size in pixels; low bands are at the bottom.
    cmap : str or None
        Matplotlib's name of a colour map; None for grey.

    Returns
    -------
    picture : np.ndarray [shape=(3, height, width) or (height, width), dtype=uint8]
        The clip's own least to largest value; 0 to 255 where it is grey.

    Raises
    ------
    ImageError
        As `waveform_picture`.
    """
    S = features.log_mel(checked(y), sr=sr)
    return _coloured(_levels(S[::-1], height, width), cmap)


def mfcc_picture(
    y: np.ndarray,
    *,
    sr: int = features.SR,
    n_mfcc: int = 20,
    height: int = 128,
    width: int = 432,
    cmap: str | None = "coolwarm",
) -> np.ndarray:
    """Draw mel-frequency cepstral coefficients, as ``librosa.display.specshow``.

    Parameters
    ----------
    y, sr
        As in `mel_picture`.
    n_mfcc : int
        Number of coefficients; the first is at the bottom.
    height, width, cmap
        As in `mel_picture`.

    Returns
    -------
    picture : np.ndarray [shape=(3, height, width) or (height, width), dtype=uint8]
        As `mel_picture`.

    Raises
    ------
    ImageError
        As `waveform_picture`.
    """
    S = features.log_mel(checked(y), sr=sr)
    coefficients = scipy.fft.dct(S, axis=0, norm="ortho")[:n_mfcc]
    return _coloured(_levels(coefficients[::-1], height, width), cmap)


def gtzan_picture(y: np.ndarray, *, n_frames: int | None = None) -> np.ndarray:
    """Draw a clip as the pictures that come with GTZAN are drawn.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        As for `gtzan_spectrogram.levels`.
    n_frames : int, optional
        How many frames the width stands for, where it is not the clip itself; see
        `gtzan_frames`.

    Returns
    -------
    picture : np.ndarray [shape=(370, 496), dtype=uint8]
        0 is the quietest point, 255 the loudest; linear frequency, 0 Hz near the
        bottom. The bottom row is white, as it is in those pictures.

    Raises
    ------
    ImageError
        As `gtzan_spectrogram.levels`.
    """
    picture = np.full(GTZAN_SHAPE, 255, np.uint8)
    picture[:-1] = gtzan_spectrogram.levels(y, shown_frames=n_frames)[_bins_of_rows()]
    return picture


def gtzan_levels(picture: np.ndarray) -> np.ndarray:
    """Return the levels that one of GTZAN's pictures shows.

    Parameters
    ----------
    picture : np.ndarray [shape=(370, 496), dtype=uint8]
        As `gtzan_picture` draws it.

    Returns
    -------
    S : np.ndarray [shape=(128, 496), dtype=uint8]
        As `gtzan_spectrogram.levels`, from the row in the middle of each bin.

    Raises
    ------
    ImageError
        If the picture has another size.
    """
    if picture.shape != GTZAN_SHAPE:
        raise ImageError(
            f"the picture has the shape {picture.shape}; expected {GTZAN_SHAPE}, as "
            "GTZAN's pictures have and images.gtzan_picture draws"
        )
    return picture[_middle_rows()]


@lru_cache(maxsize=1)
def _bins_of_rows() -> np.ndarray:
    """Return the frequency bin that each row shows, from the top, but for the last row."""
    n_bins = gtzan_spectrogram.N_BINS
    from_top = (np.arange(GTZAN_SHAPE[0] - 1) + 0.6) * n_bins / _GTZAN_AXES_PX
    return n_bins - 1 - from_top.astype(int)


@lru_cache(maxsize=1)
def _middle_rows() -> np.ndarray:
    bins = _bins_of_rows()
    every = range(gtzan_spectrogram.N_BINS)
    return np.array([round(np.flatnonzero(bins == b).mean()) for b in every])


def gtzan_frames(track_id: str, y: np.ndarray) -> int:
    """Return how many frames the width of a GTZAN picture stands for.

    Whoever drew them kept one pair of axes for a genre, which grew with the longest clip so
    far: a shorter clip does not reach the right edge, and the one before it shows there.
    What is known was measured on the 100 tracks of gtzan_mini.

    Parameters
    ----------
    track_id : str
        Such as ``disco.00002``.
    y : np.ndarray [shape=(n_samples,)]
        The track at 22,050 Hz.
    """
    own = gtzan_spectrogram.n_frames(len(y))
    genre, _, number = track_id.partition(".")
    widths = [frames for first, frames in _GTZAN_WIDTHS.get(genre, ()) if number >= f"{first:05d}"]
    return max([own, *widths[-1:]])


def load_picture(path: Path | str) -> np.ndarray:
    """Read a stored picture as a grey array, as `gtzan_picture` returns it.

    Parameters
    ----------
    path : Path or str
        A PNG or JPEG file.

    Returns
    -------
    picture : np.ndarray [shape=(height, width), dtype=uint8]

    Raises
    ------
    ImageError
        If the file is missing or is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("L"))
    except (OSError, SyntaxError) as error:  # Pillow's own words for a damaged PNG
        raise ImageError(
            f"{path}: cannot be read as a picture ({error}); expected a PNG or JPEG file; "
            "fetch it again"
        ) from error


def _envelope(series: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return least and largest value of a line between points, in each column."""
    edges = np.linspace(0, max(len(series) - 1, 1e-9), width + 1)
    at_edges = np.interp(edges, np.arange(len(series)), series)
    low = np.minimum(at_edges[:-1], at_edges[1:])
    high = np.maximum(at_edges[:-1], at_edges[1:])
    starts = np.minimum(np.ceil(edges[:-1]).astype(int), len(series) - 1)
    within = starts <= edges[1:]
    low = np.where(within, np.minimum(low, np.minimum.reduceat(series, starts)), low)
    high = np.where(within, np.maximum(high, np.maximum.reduceat(series, starts)), high)
    return low, high


@njit(cache=True, nogil=True)
def _ink(lower, upper, height):
    """Cover each column from `lower` to `upper`, in pixels from the top, in part at the ends."""
    picture = np.full((height, len(lower)), 255, np.uint8)
    for column in range(len(lower)):
        first, last = max(int(upper[column]), 0), min(int(lower[column]) + 1, height)
        for row in range(first, last):
            covered = min(lower[column], row + 1.0) - max(upper[column], float(row))
            picture[row, column] = np.uint8(255 * (1 - min(max(covered, 0.0), 1.0)) + 0.5)
    return picture


def _inked(low, high, *, bottom, top, height, line) -> np.ndarray:
    scale = height / (top - bottom)
    return _ink((top - low) * scale + line / 2, (top - high) * scale - line / 2, height)


def _levels(S: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale values to 0 … 255, and their array to a size by its nearest cells."""
    low, high = float(S.min()), float(S.max())
    rows = (np.arange(height) + 0.5) * S.shape[0] / height
    columns = (np.arange(width) + 0.5) * S.shape[1] / width
    shown = S[np.ix_(rows.astype(int), columns.astype(int))]
    return np.rint((shown - low) * (255 / max(high - low, 1e-10))).astype(np.uint8)


def _coloured(levels: np.ndarray, cmap: str | None) -> np.ndarray:
    return levels if cmap is None else np.stack([channel[levels] for channel in _colours(cmap)])


@lru_cache(maxsize=8)
def _colours(cmap: str) -> np.ndarray:
    """Return a colour map's 256 colours [shape=(3, 256), dtype=uint8]."""
    import matplotlib

    colours = matplotlib.colormaps[cmap](np.arange(256), bytes=True)
    return np.ascontiguousarray(colours[:, :3].T)
