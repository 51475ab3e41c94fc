"""Recognise a recording in an altered copy of itself: landmark fingerprints.

After A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003: peaks of the
spectrogram are joined in pairs, a pair's two frequencies and its time step make a hash,
and two clips hold the same recording where many hashes agree at one and the same time
shift. Only 300 to 3,400 Hz are looked at, which survive a telephone and a low bit rate,
and only where a peak is, not how high it is: loudness plays no part.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import soxr
from scipy import ndimage, signal

from genre_utils import progress
from genre_utils.alterations import ALTERATIONS

SR = 8000
"""Sample rate in Hz at which fingerprints are taken."""

HOP_LENGTH = 256
"""Samples at `SR` from one frame to the next."""

MIN_ALIGNED = 25
"""Fewest hashes that have to agree on one time shift."""

MIN_SCORE = 0.04
"""Least share of the hashes of the common stretch that have to agree."""

MIN_OVERLAP_S = 3.0
"""Shortest common stretch, unless it is half of a clip: shorter ones share a drum fill."""

MATCH_COLUMNS = ("item", "shift_s", "overlap_s", "aligned", "score")

_N_FFT = 1024
_BAND = slice(round(300 * _N_FFT / SR), round(3400 * _N_FFT / SR))
_NEIGHBOURHOOD = (9, 25)  # frames, bins: within it only the highest point is a peak
_FLOOR = 10 ** (-70 / 20)  # of the loudest point: what is lower is rounding noise
_SILENCE = 1e-7
_FAN_OUT = 8
_STEP = (2, 63)  # frames from a pair's first peak to its second; 6 bits of the hash
_REACH = 63  # bins from a pair's first peak to its second, up or down; 7 bits


def landmarks(y: np.ndarray, *, sr: int) -> np.ndarray:
    """Return the peaks of a clip's spectrogram between 300 and 3,400 Hz.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal of one channel.
    sr : int
        Its sample rate in Hz.

    Returns
    -------
    np.ndarray [shape=(n_peaks, 2), dtype=int32]
        Frame (of `HOP_LENGTH` samples at `SR`) and frequency bin of each peak, in the
        order of time; about 40 a second of music, none in silence.
    """
    if sr != SR:
        y = soxr.resample(y, sr, SR)
    if len(y) < _N_FFT:
        return np.empty((0, 2), np.int32)
    _, _, S = signal.stft(
        y, nperseg=_N_FFT, noverlap=_N_FFT - HOP_LENGTH, boundary=None, padded=False
    )
    level = np.abs(S[_BAND].T)
    highest = ndimage.maximum_filter(level, size=_NEIGHBOURHOOD, mode="constant")
    is_peak = (level == highest) & (level > max(_FLOOR * level.max(), _SILENCE))
    return np.argwhere(is_peak).astype(np.int32)


def hashes(peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join each peak with the next few after it.

    Parameters
    ----------
    peaks : np.ndarray [shape=(n_peaks, 2), dtype=int32]
        As `landmarks` returns them.

    Returns
    -------
    values : np.ndarray [shape=(n_hashes,), dtype=int32]
        22 bits: the first peak's bin, the way to the second's, the frames between.
    frames : np.ndarray [shape=(n_hashes,), dtype=int32]
        Frame of the first peak, ascending.
    """
    frame, bin_ = peaks.T
    to_join = np.full(len(frame), _FAN_OUT)
    values, frames = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for ahead in range(1, len(frame)):
        step, rise = frame[ahead:] - frame[:-ahead], bin_[ahead:] - bin_[:-ahead]
        if step.min() > _STEP[1]:
            break
        joined = (step >= _STEP[0]) & (step <= _STEP[1]) & (np.abs(rise) <= _REACH)
        joined &= to_join[:-ahead] > 0
        to_join[:-ahead] -= joined
        first = np.flatnonzero(joined)
        values.append(bin_[first] << 13 | (rise[first] + _REACH) << 6 | step[first])
        frames.append(frame[first])
    order = np.argsort(np.concatenate(frames), kind="stable")
    return np.concatenate(values)[order], np.concatenate(frames)[order]


class Index:
    """An inverted index of clips: which clip has a hash, and when.

    Parameters
    ----------
    clips : sequence of np.ndarray
        Each clip's `landmarks`. Memory is about 4 KiB a second of music.
    """

    def __init__(self, clips: Sequence[np.ndarray]):
        hashed = [hashes(peaks) for peaks in clips]
        self._frames = [frames for _, frames in hashed]
        values = np.concatenate([np.empty(0, np.int32), *(values for values, _ in hashed)])
        order = np.argsort(values, kind="stable")
        self._values = values[order]
        self._when = np.concatenate([np.empty(0, np.int32), *self._frames])[order]
        sizes = [len(frames) for frames in self._frames]
        self._item = np.repeat(np.arange(len(clips), dtype=np.int32), sizes)[order]

    def search(
        self, peaks: np.ndarray, *, min_aligned: int = MIN_ALIGNED, min_score: float = MIN_SCORE
    ) -> pd.DataFrame:
        """Find the clips that hold the same recording as a query.

        Parameters
        ----------
        peaks : np.ndarray [shape=(n_peaks, 2), dtype=int32]
            The query's `landmarks`.
        min_aligned : int
            Fewest hashes that have to agree on one time shift.
        min_score : float
            Least share of them among the hashes of the common stretch.

        Returns
        -------
        pd.DataFrame
            One row a clip found, the best first, with `MATCH_COLUMNS`: ``item`` is the
            position in the index, ``shift_s`` how much later the same music comes in
            that clip than in the query, ``overlap_s`` how long the common stretch is,
            ``score`` is in [0, 1]: 1 for the clip itself, about 0.2 to 0.9 for altered
            copies, below 0.02 for other recordings.
        """
        values, when = hashes(peaks)
        low = np.searchsorted(self._values, values, "left")
        n_hits = np.searchsorted(self._values, values, "right") - low
        of_query = np.repeat(np.arange(len(values)), n_hits)
        within = np.arange(n_hits.sum()) - np.repeat(np.cumsum(n_hits) - n_hits, n_hits)
        hit = np.repeat(low, n_hits) + within
        shift = self._when[hit].astype(np.int64) - when[of_query]
        rows = [
            (item, at, count, *self._agreement(item, at, count, when))
            for item, at, count in _best_shifts(self._item[hit], shift, min_aligned)
        ]
        found = pd.DataFrame(rows, columns=["item", "shift", "aligned", "overlap", "score"])
        frame_s = HOP_LENGTH / SR
        found = found.assign(
            shift_s=found["shift"] * frame_s, overlap_s=found["overlap"] * frame_s
        ).astype({"item": int, "aligned": int, "score": float})
        half = np.array([_length(self._frames[item]) for item in found["item"]]) / 2
        half = np.minimum(half, _length(when) / 2) * frame_s
        enough = found["overlap_s"] >= np.minimum(half, MIN_OVERLAP_S)
        found = found[(found["score"] >= min_score) & enough]
        return found.sort_values("score", ascending=False, ignore_index=True)[list(MATCH_COLUMNS)]

    def _agreement(
        self, item: int, shift: int, aligned: int, when: np.ndarray
    ) -> tuple[float, float]:
        """Return the frames that two clips share, and the share of hashes that agree."""
        other = self._frames[item]
        start, end = max(when[0], other[0] - shift), min(when[-1], other[-1] - shift) + 1
        own = np.diff(np.searchsorted(when, [start, end]))[0]
        others = np.diff(np.searchsorted(other, [start + shift, end + shift]))[0]
        # At most 1: a hash that a clip has twice within two frames is counted twice.
        return float(end - start), min(1.0, aligned / max(1, min(own, others)))


def _length(frames: np.ndarray) -> int:
    return int(frames[-1] - frames[0]) + 1 if len(frames) else 0


def _best_shifts(item: np.ndarray, shift: np.ndarray, least: int) -> list[tuple[int, int, int]]:
    """Return (item, shift, number of hits) for each item with enough hits at one shift.

    Two neighbouring shifts count as one, since a copy's frames lie between the frames.
    """
    if not len(item):
        return []
    half = 1 << 31
    key, count = np.unique(item.astype(np.int64) * 2 * half + shift + half, return_counts=True)
    follows = np.zeros(len(key), bool)
    follows[:-1] = key[1:] == key[:-1] + 1
    pooled = count + np.where(follows, np.roll(count, -1), 0)
    key, count, pooled = key[pooled >= least], count[pooled >= least], pooled[pooled >= least]
    items = key // (2 * half)
    order = np.lexsort((-count, -pooled, items))
    first = order[np.unique(items[order], return_index=True)[1]]
    return [(int(items[k]), int(key[k] % (2 * half) - half), int(pooled[k])) for k in first]


def repeated_pairs(clips: Sequence[np.ndarray]) -> pd.DataFrame:
    """Find the pairs of clips that hold the same recording.

    Parameters
    ----------
    clips : sequence of np.ndarray
        Each clip's `landmarks`; 1,000 clips of 30 s take about ten seconds.

    Returns
    -------
    pd.DataFrame
        ``first``, ``second`` (positions, first < second) and the columns of
        `Index.search` but ``item``; the best first.
    """
    index = Index(clips)
    found = [index.search(peaks).assign(first=number) for number, peaks in enumerate(clips)]
    columns = ["first", "second", *MATCH_COLUMNS[1:]]
    if not found:
        return pd.DataFrame(columns=columns)
    pairs = pd.concat(found).rename(columns={"item": "second"})
    pairs = pairs[pairs["first"] < pairs["second"]]
    return pairs.sort_values("score", ascending=False, ignore_index=True)[columns]


def trial(clips: Sequence[np.ndarray], *, sr: int) -> pd.DataFrame:
    """Look for altered copies of clips among the clips themselves.

    Parameters
    ----------
    clips : sequence of np.ndarray [shape=(n_samples,)]
        Different recordings, mono, each of at least 13 seconds.
    sr : int
        Sample rate in Hz.

    Returns
    -------
    pd.DataFrame
        One row an alteration (`alterations.ALTERATIONS`): copies tried (``n_copies``) and
        found (``n_found``), unrelated pairs compared (``n_unrelated``) and wrongly joined
        (``n_wrong``).
    """
    columns = ["alteration", "n_copies", "n_found", "n_unrelated", "n_wrong"]
    if not len(clips):
        return pd.DataFrame(columns=columns)
    index = Index([landmarks(y, sr=sr) for y in clips])
    rows = []
    work = list(ALTERATIONS.items())
    for name, alter in progress.track(work, total=len(work), desc="altered copies"):
        found = [
            set(index.search(landmarks(alter(y, sr).astype(np.float32), sr=sr))["item"])
            for y in clips
        ]
        right = sum(number in items for number, items in enumerate(found))
        wrong = sum(len(items - {number}) for number, items in enumerate(found))
        rows.append((name, len(clips), right, len(clips) * (len(clips) - 1), wrong))
    return pd.DataFrame(rows, columns=columns)
