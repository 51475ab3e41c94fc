"""A close look at how a network hears a recording: what the demo page and its notebook show.

Needs the core dependencies alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genre_utils import bundle, inference, occlusion
from genre_utils.bundle import Bundle
from genre_utils.inference import Prediction, Window

LONGEST_S = 600.0
"""Length in seconds from the start that is looked at of longer recordings."""

SEGMENT_S = 5.0
"""Length in seconds of the steps of genre over time."""

_POINTS_PER_S = 20


@dataclass(frozen=True)
class CloseUp:
    """The window that speaks most clearly for the answer, and what it rests on there.

    Attributes
    ----------
    start_s, end_s : float
        Where it begins and ends, in seconds.
    genre : str
        The genre that the whole recording is given.
    probability : float
        What the network gives that genre here.
    S : np.ndarray [shape=(n_mels, n_frames), dtype=uint8]
        Its spectrogram, low bands first.
    drop : np.ndarray [shape=(8, n_moments), dtype=float64]
        How much of that probability is lost when a patch is hidden; low bands first,
        negative where hiding helps. There are 15 moments, fewer in a second of sound.
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Its samples.
    sr : int
        Their rate in Hz.
    """

    start_s: float
    end_s: float
    genre: str
    probability: float
    S: np.ndarray
    drop: np.ndarray
    y: np.ndarray
    sr: int


@dataclass(frozen=True)
class Hearing:
    """What a network says of a recording, and what there is to see of it.

    Attributes
    ----------
    prediction : Prediction
        The answer, with segments of `SEGMENT_S`.
    envelope : np.ndarray [shape=(n_points, 2), dtype=float32]
        Lowest and highest sample of each twentieth of a second; full scale is -1 to 1.
    S : np.ndarray [shape=(n_mels, n_frames), dtype=uint8]
        Mel spectrogram, low bands first. Each window of 30 s has its own scale, from its
        quietest point to its loudest.
    closeup : CloseUp
        What the answer rests on.
    """

    prediction: Prediction
    envelope: np.ndarray
    S: np.ndarray
    closeup: CloseUp


def hear(
    source: Path | str | np.ndarray,
    *,
    sr: int | None = None,
    model: Bundle | Path | str | None = None,
    longest_s: float = LONGEST_S,
) -> Hearing:
    """Classify a recording and keep what there is to see of it.

    Parameters
    ----------
    source, sr, model
        As for `inference.predict`.
    longest_s : float
        How much of a long recording is looked at, from its start, in seconds.

    Raises
    ------
    audio.AudioError, InferenceError, bundle.BundleError
        As `inference.predict`.
    """
    if not isinstance(model, Bundle):
        model = bundle.default() if model is None else bundle.load(model)
    seen = _Seen(model)
    prediction = inference.predict(
        source, sr=sr, model=model, segment_s=SEGMENT_S, longest_s=longest_s, watch=seen
    )
    return Hearing(
        prediction=prediction,
        envelope=np.concatenate(seen.envelopes),
        S=np.concatenate(seen.spectrograms, axis=1),
        closeup=seen.closeup(prediction.genre),
    )


@dataclass
class _Seen:
    """Keeps what is to be seen of each window, and the samples of the clearest ones."""

    model: Bundle
    envelopes: list[np.ndarray] = field(default_factory=list)
    spectrograms: list[np.ndarray] = field(default_factory=list)
    clearest: dict[int, tuple] = field(default_factory=dict)

    def __call__(
        self, window: Window, S: np.ndarray | None, probabilities: np.ndarray | None
    ) -> None:
        how = self.model.preprocessing
        frames_per_s = how.n_frames / how.clip_s
        fresh_s = window.fresh_s - window.start_s
        self.envelopes.append(_envelope(window.y[round(fresh_s * how.sr) :], how.sr))
        first, end = round(fresh_s * frames_per_s), self._n_frames(window)
        if S is None:
            self.spectrograms.append(np.zeros((how.n_mels, end - first), np.uint8))
            return
        self.spectrograms.append(S[:, first:end])
        for genre in self._clearer(probabilities):
            self.clearest[genre] = (float(probabilities[genre]), window, S)

    def _clearer(self, probabilities: np.ndarray) -> Iterator[int]:
        for genre, probability in enumerate(probabilities):
            if genre not in self.clearest or probability > self.clearest[genre][0]:
                yield genre

    def _n_frames(self, window: Window) -> int:
        how = self.model.preprocessing
        return max(1, round(len(window.y) / how.n_samples * how.n_frames))

    def closeup(self, genre: str) -> CloseUp:
        number = self.model.genres.index(genre)
        probability, window, S = self.clearest[number]
        n_frames, sr = self._n_frames(window), self.model.preprocessing.sr
        return CloseUp(
            start_s=window.start_s,
            end_s=window.start_s + len(window.y) / sr,
            genre=genre,
            probability=probability,
            S=S[:, :n_frames],
            drop=occlusion.probability_lost(self.model.probabilities, S, number, n_frames=n_frames),
            y=window.y,
            sr=sr,
        )


def _envelope(y: np.ndarray, sr: int) -> np.ndarray:
    """Return the lowest and highest sample of each twentieth of a second."""
    n_points = max(1, round(len(y) / sr * _POINTS_PER_S))
    if not len(y):
        return np.zeros((0, 2), np.float32)
    starts = np.arange(n_points) * len(y) // n_points
    return np.stack([np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)], axis=1)
