"""Classify music of one's own: a file of any format and length, or samples.

Needs the core dependencies alone. Music is read in windows of 30 s, one at a time, so that
a recording of hours takes no more memory than a song.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genre_utils import audio, bundle
from genre_utils.bundle import Bundle
from genre_utils.project import ProjectError, data_files

SHORTEST_S = 1.0
"""Shortest sound in seconds that is classified."""

LONGEST_S = 7200.0
"""Length in seconds from the start that is looked at of longer recordings."""

UNLIKE = "sounds unlike the music that the network learnt from: do not rely on the answer"
"""The warning that a recording lies outside of what the network knows."""

_SILENCE = 1e-4
_SHORTEST_SEGMENT_S = 3.0
_MAY_LACK = 0.02


class InferenceError(ProjectError):
    """Sound that cannot be classified; the message says why and what to do."""


@dataclass(frozen=True)
class Segment:
    """A piece of a recording, and its genre.

    Attributes
    ----------
    start_s, end_s : float
        Where it begins and ends, in seconds.
    probabilities : mapping of str to float
        Genre → probability; empty where the piece is silent.
    """

    start_s: float
    end_s: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Window:
    """Up to a clip's length of a recording, as it is given to the network.

    Attributes
    ----------
    start_s : float
        Where it begins.
    fresh_s : float
        Where what no earlier window holds begins: the last window reaches back.
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Its samples, at the bundle's sample rate.
    """

    start_s: float
    fresh_s: float
    y: np.ndarray


Watch = Callable[[Window, np.ndarray | None, np.ndarray | None], None]
"""What `predict` calls: window, spectrogram, probabilities; both None where it is silent."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of a recording.

    Attributes
    ----------
    source : str
        The file, or ``samples``.
    genre : str
        The most probable one.
    probabilities : mapping of str to float
        Every genre → its calibrated probability; they add up to 1.
    top : tuple of (str, float)
        The most probable genres, the first first.
    segments : tuple of Segment
        Genre over time.
    duration_s : float
        Length of what was looked at, in seconds.
    elapsed_s : float
        How long it took, from reading on, in seconds.
    warnings : tuple of str
        What makes the answer less sure.
    model : str
        Name of the network.
    """

    source: str
    genre: str
    probabilities: Mapping[str, float]
    top: tuple[tuple[str, float], ...]
    segments: tuple[Segment, ...]
    duration_s: float
    elapsed_s: float
    warnings: tuple[str, ...]
    model: str


def predict(
    source: Path | str | np.ndarray,
    *,
    sr: int | None = None,
    top: int = 3,
    model: Bundle | Path | str | None = None,
    segment_s: float | None = None,
    longest_s: float = LONGEST_S,
    watch: Watch | None = None,
) -> Prediction:
    """Classify a sound file, or samples.

    A recording is read in windows of 30 s; the last one ends with it. Their
    probabilities are averaged. One window of less is repeated to 30 s.

    Parameters
    ----------
    source : Path, str or np.ndarray [shape=(n_samples,) or (n_samples, n_channels)]
        A file in any format of libsndfile or, where ffmpeg is there, of ffmpeg; or samples,
        as numbers of -1 to 1 or as whole numbers of 8 to 32 bits.
    sr : int, optional
        Sample rate in Hz of samples.
    top : int
        How many genres to name in ``top``.
    model : Bundle, Path or str, optional
        A bundle or its folder; by default the one that comes with the package.
    segment_s : float, optional
        Length of a segment in seconds, from 3 to 30; by default windows are segments.
        Shorter ones show more of the course of time, and are less sure.
    longest_s : float
        How much of a long recording is looked at, from its start, in seconds.
    watch : callable, optional
        Called with each `Window`, its spectrogram [shape=(n_mels, n_frames), dtype=uint8]
        and its probabilities [shape=(n_genres,)] as soon as it was heard: for who draws
        them. Both are None where the window is silent.

    Returns
    -------
    Prediction

    Raises
    ------
    audio.AudioError
        If the file cannot be read.
    InferenceError
        If there is less than a second of music or only silence, or if the samples or
        another argument are not what they should be.
    bundle.BundleError
        If the bundle cannot be loaded.
    """
    started = time.perf_counter()
    found = _bundle(model)
    segment_s = _checked_segment(segment_s, found.preprocessing.clip_s)
    listener = _Listener(found, segment_s=segment_s, longest_s=longest_s, watch=watch)
    name = "samples" if isinstance(source, np.ndarray) else str(source)
    try:
        with _reading(source, sr) as (native_sr, blocks):
            listener.listen(audio.resampled(blocks, native_sr, found.preprocessing.sr))
    except InferenceError as error:
        raise InferenceError(f"{name}: {error}") from None
    mean = np.mean(listener.probabilities, axis=0)
    best = np.argsort(-mean, kind="stable")[: max(top, 1)]
    return Prediction(
        source=name,
        genre=found.genres[best[0]],
        probabilities=_named(found, mean),
        top=tuple((found.genres[index], float(mean[index])) for index in best),
        segments=tuple(listener.segments),
        duration_s=listener.duration_s,
        elapsed_s=time.perf_counter() - started,
        warnings=tuple(listener.warnings(native_sr)),
        model=found.name,
    )


def sound_files(folder: Path | str) -> list[Path]:
    """List the sound files below a folder, known by their endings, in a fixed order.

    Raises
    ------
    InferenceError
        If there is none.
    """
    found = [f for f in data_files(Path(folder)) if f.suffix.lower() in audio.EXTENSIONS]
    if not found:
        raise InferenceError(
            f"{folder}: holds no sound file; expected files that end in "
            f"{', '.join(audio.EXTENSIONS)}; name the folder that they are in"
        )
    return found


def _bundle(model: Bundle | Path | str | None) -> Bundle:
    if model is None:
        return bundle.default()
    return model if isinstance(model, Bundle) else bundle.load(model)


def _named(found: Bundle, probabilities: np.ndarray) -> dict[str, float]:
    return dict(zip(found.genres, map(float, probabilities), strict=True))


def _checked_segment(segment_s: float | None, clip_s: float) -> float:
    if segment_s is None:
        return clip_s
    if not _SHORTEST_SEGMENT_S <= segment_s <= clip_s:
        raise InferenceError(
            f"segment_s is {segment_s!r}; expected {_SHORTEST_SEGMENT_S:g} to {clip_s:g} seconds"
        )
    return float(segment_s)


@contextmanager
def _reading(
    source: Path | str | np.ndarray, sr: int | None
) -> Iterator[tuple[int, Iterable[np.ndarray]]]:
    if not isinstance(source, np.ndarray):
        with audio.reading(source) as found:
            yield found
        return
    if not isinstance(sr, int | np.integer) or sr < audio.PLAUSIBLE_SR[0]:
        raise InferenceError(
            f"sr is {sr!r}; expected their sample rate in Hz, a whole number from "
            f"{audio.PLAUSIBLE_SR[0]} on"
        )
    yield int(sr), _sample_blocks(source, 10 * int(sr))


def _sample_blocks(samples: np.ndarray, length: int) -> Iterator[np.ndarray]:
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if samples.ndim not in (1, 2) or not samples.size or kind not in "fiu" or bits > 64:
        raise InferenceError(
            f"shape {samples.shape} of {samples.dtype}; expected numbers of one signal, "
            "(n_samples,) or (n_samples, n_channels)"
        )
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T  # channels first, as librosa has them
    # Whole numbers have the full scale of their type; unsigned ones have zero in the middle.
    offset = 2 ** (bits - 1) if kind == "u" else 0
    full_scale = 1 if kind == "f" else 2 ** (bits - 1)
    for start in range(0, len(samples), length):
        block = (samples[start : start + length].astype(np.float64) - offset) / full_scale
        if not np.isfinite(block).all():
            raise InferenceError("some samples are NaN or infinite; expected finite numbers")
        yield block.astype(np.float32).reshape(len(block), -1).mean(axis=1)


def _windows(blocks: Iterable[np.ndarray], clip: int, sr: int) -> Iterator[Window]:
    """Cut a signal into clips of so many samples; the last one ends with the signal."""
    before = waiting = np.zeros(0, np.float32)
    start = 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= clip:
            before, waiting = waiting[:clip], waiting[clip:]
            yield Window(start / sr, start / sr, before)
            start += clip
    if len(waiting) >= SHORTEST_S * sr or not start:
        last = np.concatenate([before, waiting])[-clip:]
        yield Window((start + len(waiting) - len(last)) / sr, start / sr, last)


class _Listener:
    """Hears a recording window by window and keeps what the network says."""

    def __init__(self, found: Bundle, *, segment_s: float, longest_s: float, watch: Watch | None):
        self._bundle, self._segment_s, self._longest_s = found, segment_s, longest_s
        self._watch = watch
        self._sr = found.preprocessing.sr
        self._n_samples, self._is_longer = 0, False
        self._distances: list[float] = []
        self.probabilities: list[np.ndarray] = []
        self.segments: list[Segment] = []
        self.n_windows = 0

    @property
    def duration_s(self) -> float:
        return self._n_samples / self._sr

    def listen(self, blocks: Iterable[np.ndarray]) -> None:
        for window in _windows(self._limited(blocks), self._preprocessing.n_samples, self._sr):
            if self.duration_s < SHORTEST_S:
                raise InferenceError(
                    f"{self.duration_s:.2f} s of sound; expected at least {SHORTEST_S:g} s"
                )
            self._hear(window)
        if not self.probabilities:
            raise InferenceError("is silent; expected music; check how it was recorded")

    @property
    def _preprocessing(self) -> bundle.Preprocessing:
        return self._bundle.preprocessing

    def _limited(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        left = round(self._longest_s * self._sr)
        for block in blocks:
            if len(block) and not left:
                self._is_longer = True
                return
            self._is_longer = len(block) > left
            block = block[:left]
            left -= len(block)
            self._n_samples += len(block)
            yield block
            if self._is_longer:
                return

    def _hear(self, window: Window) -> None:
        self.n_windows += 1
        is_silent = _is_silent(window.y)
        x = probabilities = None
        if not is_silent:
            x = self._preprocessing.spectrogram(window.y)[None, None]
            probabilities = self._bundle.probabilities(x)[0]
            self.probabilities.append(probabilities)
            if self._bundle.familiar:
                self._distances.append(float(self._bundle.familiar.distances(x)[0]))
        if self._watch:
            self._watch(window, None if x is None else x[0, 0], probabilities)
        if self._segment_s == self._preprocessing.clip_s or is_silent:
            said = {} if is_silent else _named(self._bundle, probabilities)
            end_s = window.start_s + len(window.y) / self._sr
            whole = self._segment_s == self._preprocessing.clip_s
            self.segments.append(Segment(window.start_s if whole else window.fresh_s, end_s, said))
        else:
            self.segments += self._pieces(window, x)

    def _pieces(self, window: Window, x: np.ndarray) -> Iterator[Segment]:
        frames_per_s = x.shape[-1] / self._preprocessing.clip_s
        width = round(self._segment_s * frames_per_s)
        for start_s, end_s in _bounds(
            window.fresh_s - window.start_s, len(window.y) / self._sr, self._segment_s
        ):
            heard = window.y[round(start_s * self._sr) : round(end_s * self._sr)]
            said = {}
            if not _is_silent(heard):
                first = min(round(start_s * frames_per_s), x.shape[-1] - width)
                piece = x[..., first : first + width]
                said = _named(self._bundle, self._bundle.probabilities(piece)[0])
            yield Segment(window.start_s + start_s, window.start_s + end_s, said)

    def warnings(self, native_sr: int) -> Iterator[str]:
        """Say what makes the answer less sure."""
        clip_s = self._preprocessing.clip_s
        if self._is_longer:
            yield f"only the first {_clock(self.duration_s)} of a longer recording were heard"
        if self.duration_s < clip_s - SHORTEST_S:
            yield (
                f"only {self.duration_s:.1f} s of sound, repeated to {clip_s:g} s: "
                "answers are surest from there on"
            )
        if len(self.probabilities) < self.n_windows:
            n_silent = self.n_windows - len(self.probabilities)
            yield f"{n_silent} of {self.n_windows} windows are silent and were left out"
        if native_sr < self._sr:
            yield (
                f"sampled at {native_sr:,} Hz, so nothing above {native_sr / 2:,.0f} Hz is in it: "
                f"the network learnt from music with up to {self._sr / 2:,.0f} Hz"
            )
        familiar = self._bundle.familiar
        if familiar and np.median(self._distances) > familiar.limit:
            yield UNLIKE


def _is_silent(y: np.ndarray) -> bool:
    return bool(np.sqrt(np.mean(np.square(y))) < _SILENCE)


def _bounds(start_s: float, end_s: float, length_s: float) -> list[tuple[float, float]]:
    """Cut a stretch into pieces of one length; the last one ends with it."""
    n_pieces = max(1, math.ceil((end_s - start_s) / length_s - _MAY_LACK))
    starts = [start_s + index * length_s for index in range(n_pieces)]
    starts[-1] = max(0.0, min(starts[-1], end_s - length_s))
    return [(start, min(start + length_s, end_s)) for start in starts]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
