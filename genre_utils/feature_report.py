"""What the notebook on features shows: examples, meanings, coverage, cost, agreement."""

from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import pandas as pd

from genre_utils import arrays, audio, features
from genre_utils.datasets import Dataset

_MEANINGS = {
    "chroma_stft": "share of each of the 12 pitch classes: harmony",
    "rms": "loudness",
    "spectral_centroid": "centre of gravity of the spectrum: brightness",
    "spectral_bandwidth": "spread of the spectrum around its centre",
    "rolloff": "frequency below which 85 % of the magnitude lies",
    "zero_crossing_rate": "how often the signal changes its sign: noisiness",
    "harmony": "waveform of the held, pitched part (harmonic/percussive separation)",
    "perceptr": "waveform of the percussive part",
    "tempo": "beats per minute",
    "mfcc": "20 mel-frequency cepstral coefficients: shape of the spectrum, timbre",
}


def feature_group(feature: str) -> str:
    """Return the group that one of the 57 features belongs to, e.g. ``mfcc`` for ``mfcc3_var``."""
    return next(group for group in _MEANINGS if feature.startswith(group))


def feature_meanings() -> pd.DataFrame:
    """Return what the 57 features stand for: group, meaning, how many numbers."""
    counts = pd.Series([feature_group(name) for name in features.FEATURE_NAMES]).value_counts()
    return pd.DataFrame(
        [(group, meaning, counts[group]) for group, meaning in _MEANINGS.items()],
        columns=["feature", "what it describes", "numbers"],
    )


@dataclass(frozen=True)
class Example:
    """A stretch from the middle of a clip that stands for its genre.

    Attributes
    ----------
    track_id : str
        The clip.
    path : Path
        Its sound file.
    start_s : float
        Where the stretch begins in it.
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono signal at `features.SR`.
    """

    track_id: str
    path: Path
    start_s: float
    y: np.ndarray


def examples(
    dataset: Dataset, *, seconds: float, most_genres: int | None = None
) -> dict[str, Example]:
    """Return the middle of the first readable clip of each genre.

    Parameters
    ----------
    dataset : Dataset
        A genre without readable audio is left out.
    seconds : float
        Length of each example; a shorter clip is taken whole.
    most_genres : int, optional
        Stop after so many genres.

    Returns
    -------
    dict of str to Example
        By genre, in alphabetical order.
    """
    n_samples = int(seconds * features.SR)
    found = {}
    for genre, tracks in dataset.tracks.dropna(subset="audio_path").groupby("genre"):
        if len(found) == most_genres:
            break
        for track_id, path in zip(tracks["track_id"], tracks["audio_path"], strict=True):
            try:
                y = audio.load(path, sr=features.SR)
            except audio.AudioError:
                continue
            start = max(0, (len(y) - n_samples) // 2)
            stretch = y[start : start + n_samples]
            found[genre] = Example(track_id, path, start / features.SR, stretch)
            break
    return found


def example_clips(dataset: Dataset, *, seconds: float) -> dict[str, np.ndarray]:
    """Return the signals of `examples`, by genre."""
    return {genre: found.y for genre, found in examples(dataset, seconds=seconds).items()}


def standardised_rows(pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return pictures whose rows have mean 0 and standard deviation 1, cut at ±3."""
    shown = {}
    for title, picture in pictures.items():
        spread = picture.std(axis=1, keepdims=True)
        scaled = (picture - picture.mean(axis=1, keepdims=True)) / np.where(spread, spread, 1)
        shown[title] = np.clip(scaled, -3, 3)
    return shown


def below_loudest(pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return pictures in decibels relative to the loudest point of each."""
    return {title: picture - picture.max() for title, picture in pictures.items()}


def feature_tables(dataset: Dataset, lengths: list[float]) -> dict[float, features.FeatureTable]:
    """Return the feature tables that this data set can give, by segment length in seconds."""
    from_audio = [length for length in lengths if length not in dataset.tables]
    features.prepare(dataset, segment_lengths=from_audio, series_kinds=("log_mel", "mfcc"))
    tables = {}
    for segment_s in lengths:
        try:
            tables[segment_s] = features.table(dataset, segment_s=segment_s)
        except features.FeatureError:
            continue
    return tables


def coverage(tables: dict[float, features.FeatureTable], lengths: list[float]) -> pd.DataFrame:
    """Return how many tracks and segments each segment length rests on."""
    rows = []
    for segment_s in lengths:
        table = tables.get(segment_s)
        rows.append(
            {
                "segment_s": segment_s,
                "source": table.source if table else "none",
                "n_tracks": table.items["track_id"].nunique() if table else 0,
                "n_segments": len(table.items) if table else 0,
                "n_failures": len(table.failures) if table else 0,
            }
        )
    return pd.DataFrame(rows)


def failures(tables: dict[float, features.FeatureTable]) -> pd.DataFrame:
    """Return the tracks that gave no features, with the reason for each."""
    columns = ["segment_s", "track_id", "file", "reason"]
    frames = [table.failures.assign(segment_s=s) for s, table in tables.items()]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns)


def costs(dataset: Dataset, *, repeats: int) -> pd.DataFrame:
    """Return what each group of features costs on the data set's first readable clip.

    Parameters
    ----------
    dataset : Dataset
        Without audio, the table is empty.
    repeats : int
        How often each is measured; the median counts.
    """
    for path in dataset.tracks["audio_path"].dropna():
        try:
            y = audio.load(path, sr=features.SR)
        except audio.AudioError:
            continue
        return features.milliseconds_per_feature(y, features.SR, repeats=repeats)
    return pd.DataFrame(columns=["feature_group", "milliseconds"])


def agreement(dataset: Dataset) -> pd.DataFrame:
    """Compare features computed from sound with the data set's own tables.

    Returns
    -------
    pd.DataFrame
        One row a segment length × feature: ``n_tracks`` with both; the median and the
        largest difference, in standard deviations of the table's column. Empty where
        the data set has no table or no audio.
    """
    columns = ["segment_s", "feature", "n_tracks", "median_difference", "largest_difference"]
    rows = []
    if not dataset.tracks["audio_path"].notna().any():
        return pd.DataFrame(columns=columns)
    for segment_s in sorted(dataset.tables):
        given = features.table(dataset, segment_s=segment_s, source="table")
        ours = features.table(dataset, segment_s=segment_s, source="audio")
        keys = ["track_id", "segment_index"]
        both = (
            given.items[keys]
            .reset_index()
            .merge(ours.items[keys].reset_index(), on=keys, suffixes=("_given", "_ours"))
        )
        spread = given.X.std(axis=0)
        distance = np.abs(given.X[both["index_given"]] - ours.X[both["index_ours"]]) / spread
        for name, column in zip(given.names, distance.T, strict=True):
            rows.append(
                (segment_s, name, both["track_id"].nunique(), np.median(column), column.max())
            )
    return pd.DataFrame(rows, columns=columns)


def plain_librosa(y: np.ndarray, *, sr: int = features.SR) -> np.ndarray:
    """Compute the 57 features as it is usually done, with one librosa call each.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.

    Returns
    -------
    values : np.ndarray [shape=(57,), dtype=float64]
        In the order of `features.FEATURE_NAMES`.
    """
    series = {
        "chroma_stft": librosa.feature.chroma_stft(y=y, sr=sr),
        "rms": librosa.feature.rms(y=y),
        "spectral_centroid": librosa.feature.spectral_centroid(y=y, sr=sr),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(y=y, sr=sr),
        "rolloff": librosa.feature.spectral_rolloff(y=y, sr=sr),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(y),
        "harmony": librosa.effects.harmonic(y),
        "perceptr": librosa.effects.percussive(y),
    }
    for k, values in enumerate(librosa.feature.mfcc(y=y, sr=sr, n_mfcc=20), start=1):
        series[f"mfcc{k}"] = values
    means = {f"{name}_mean": np.mean(values) for name, values in series.items()}
    variances = {f"{name}_var": np.var(values) for name, values in series.items()}
    tempo, _ = librosa.beat.beat_track(y=y, sr=sr)
    everything = means | variances | {"tempo": np.ravel(tempo)[0]}
    return np.array([everything[name] for name in features.FEATURE_NAMES], dtype=np.float64)


def librosa_agreement(
    dataset: Dataset, *, n_tracks: int, segment_s: float | None = None
) -> pd.DataFrame:
    """Compare features, log-mel spectrograms and MFCC series with librosa's own.

    Parameters
    ----------
    dataset : Dataset
        Its tracks are taken evenly spread over the table.
    n_tracks : int
        How many tracks to take at most.
    segment_s : float, optional
        Also compare the first segment of this length of each track.

    Returns
    -------
    pd.DataFrame
        One row a feature (the series last): ``n`` signals compared; the largest relative
        and absolute difference; the largest difference as a multiple of what is allowed,
        a thousandth of the value and 0.0001; and the share of equal values (to six
        digits). Empty without audio.
    """
    paths = dataset.tracks["audio_path"].dropna()
    chosen = paths.iloc[arrays.spread(len(paths), n_tracks)]
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for path in chosen:
        try:
            whole = audio.load(path, sr=features.SR)
        except audio.AudioError:
            continue
        signals = [whole]
        if segment_s is not None and len(whole) > segment_s * features.SR:
            signals.append(whole[: round(segment_s * features.SR)])
        for y, ours in zip(signals, features.tabular_batch(signals), strict=True):
            for name, a, b in zip(features.FEATURE_NAMES, ours, plain_librosa(y), strict=True):
                pairs.setdefault(name, []).append((np.array([a]), np.array([b])))
            mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=features.SR))
            pairs.setdefault("log-mel spectrogram", []).append(
                (features.log_mel(y, sr=features.SR), mel)
            )
            mfcc = librosa.feature.mfcc(y=y, sr=features.SR, n_mfcc=13)
            pairs.setdefault("MFCC series", []).append(
                (features.mfcc_series(y, sr=features.SR).T, mfcc)
            )
    columns = ["feature", "n", "relative", "absolute", "of_allowed", "share_equal"]
    return pd.DataFrame(
        [(name, *_largest_differences(values)) for name, values in pairs.items()], columns=columns
    )


def _largest_differences(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple:
    ours = np.concatenate([np.ravel(a) for a, _ in pairs]).astype(np.float64)
    theirs = np.concatenate([np.ravel(b) for _, b in pairs]).astype(np.float64)
    difference, size = np.abs(ours - theirs), np.abs(theirs)
    return (
        len(pairs),
        np.max(difference / np.maximum(size, 1e-4)),
        difference.max(),
        np.max(difference / (1e-4 + 1e-3 * size)),
        np.mean(difference <= 1e-6 * np.maximum(size, 1e-4)),
    )


def collection_estimate(cost: pd.DataFrame, *, n_clips: int, cores: int) -> dict[str, float]:
    """Return how long a large collection of 30-s clips would take, from measured costs.

    Parameters
    ----------
    cost : pd.DataFrame
        As `costs` returns it, of a 30-s clip.
    n_clips, cores : int
        Size of the collection and number of cores.

    Returns
    -------
    dict
        ``n_clips, cores, clips_per_second`` (one core), ``hours``; NaN without audio.
    """
    seconds = cost["milliseconds"].sum() / 1000 if len(cost) else float("nan")
    return {
        "n_clips": n_clips,
        "cores": cores,
        "clips_per_second": 1 / seconds,
        "hours": n_clips * seconds / cores / 3600,
    }


def series_coverage(dataset: Dataset) -> pd.DataFrame:
    """Compute the log-mel and MFCC series of all tracks and return what there is of them.

    Returns
    -------
    pd.DataFrame
        One row a kind: tracks, failures, shape of the first array, mebibytes on disk.
    """
    rows = []
    for kind, axes in (("log_mel", "bands × frames"), ("mfcc", "frames × coefficients")):
        found = features.series(dataset, kind=kind)
        size = sum(file.stat().st_size for file in found.files.values())
        shape = found.load(next(iter(found.files))).shape if found.files else ()
        rows.append(
            {
                "series": kind,
                "n_tracks": len(found.files),
                "n_failures": len(found.failures),
                "shape": " × ".join(map(str, shape)),
                "axes": axes,
                "mib": size / 2**20,
            }
        )
    return pd.DataFrame(rows)
