"""Features of music: the 57 classical ones, log-mel spectrograms and MFCC series.

The 57 are those of the public GTZAN tables: the mean and the variance of 28 series,
and the tempo. Values are librosa's with its default settings, called on a segment
alone, but what several of them start from is computed once for all, and a sound file is
decoded once for all lengths of its segments.
"""

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import scipy.fft
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from genre_utils import arrays, audio, datasets, fast_mel, progress, project, spectral

RECIPE = "2"
"""Version of what `tabular` computes; raise it when a value changes, and caches renew."""

SR = 22050
"""Sample rate in Hz at which the tables of features are computed."""

_N_FFT, _HOP = 2048, 512
_ROLLOFF = 0.85

FEATURE_NAMES = datasets.TABLE_FEATURES
"""Names of the 57 features, spelt and ordered as in the public 30-s table."""

_ITEM_COLUMNS = ["track_id", "genre", "artist_id", "artist_fold", "fault_filtered_split"]


class FeatureError(project.ProjectError):
    """Features were asked for that the signal or the data set cannot give."""


@dataclass(frozen=True)
class FeatureTable:
    """The 57 features of every segment of a data set.

    Attributes
    ----------
    items : pd.DataFrame
        One row a segment, sorted by track_id and segment_index: track_id, genre,
        artist_id, artist_fold, fault_filtered_split, segment_index, segment_start_s,
        segment_s (the length asked for; a whole clip may be a little longer or shorter).
    X : np.ndarray [shape=(n_items, 57), dtype=float64]
        The features, rows as in `items`.
    names : tuple of str
        Names of the columns of `X`.
    source : str
        ``table`` (a public table) or ``audio``.
    failures : pd.DataFrame
        One row a track without features: track_id, file (relative to the data set's
        folder), reason.
    digest : str
        SHA-256 of `items` and of what `X` comes from: the public table's numbers, or the
        sound files and `RECIPE` (the last bits of computed numbers differ between
        machines, and must not make stored results look out of date).
    """

    items: pd.DataFrame
    X: np.ndarray
    names: tuple[str, ...]
    source: str
    failures: pd.DataFrame
    digest: str


def tabular(y: np.ndarray, *, sr: int = SR, extra: tuple[str, ...] = ()) -> np.ndarray:
    """Compute the 57 classical features of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal of at least 2,048 finite samples; silence is allowed.
    sr : int
        Sample rate in Hz.
    extra : tuple of str
        What to add from `EXTRA_FEATURES`.

    Returns
    -------
    values : np.ndarray [shape=(57 or more,), dtype=float64]
        In the order of `feature_names`: shares (chroma, rms, zero-crossing rate), Hz
        (centroid, bandwidth, rolloff), amplitude (harmony and perceptr, the harmonic and
        the percussive part of the waveform, [1]_), beats per minute (tempo), and dB
        (MFCCs, spectral contrast [2]_); a tonnetz [3]_ has no unit.

    Raises
    ------
    FeatureError
        If `y` is not mono, too short, or holds NaN or infinite samples, or if `extra`
        names something unknown.

    References
    ----------
    .. [1] Fitzgerald, "Harmonic/percussive separation using median filtering",
       DAFx 2010. The table goes back to Tzanetakis & Cook, "Musical genre
       classification of audio signals", IEEE TSAP 10(5), 2002.
    .. [2] Jiang et al., "Music type classification by spectral contrast feature",
       ICME 2002.
    .. [3] Harte, Sandler & Gasser, "Detecting harmonic change in musical audio", ACM
       workshop on audio and music computing multimedia, 2006.
    """
    return tabular_batch([y], sr=sr, extra=extra)[0]


def tabular_batch(
    signals: list[np.ndarray], *, sr: int = SR, extra: tuple[str, ...] = ()
) -> np.ndarray:
    """Compute the features of many signals together, each as if it were alone.

    Parameters
    ----------
    signals : list of np.ndarray [shape=(n_samples,)]
        As in `tabular`; their lengths may differ.
    sr, extra
        As in `tabular`.

    Returns
    -------
    X : np.ndarray [shape=(n_signals, 57 or more), dtype=float64]
        One row a signal.

    Raises
    ------
    FeatureError
        As `tabular`.
    """
    rows = [np.empty((0, len(feature_names(extra))))]
    groups = _groups(extra)
    for batch in _batches([_checked(y) for y in signals]):
        shared = _shared(batch, sr)
        columns = [group(shared) for group in groups.values()]
        rows += [np.concatenate(values)[None] for values in zip(*columns, strict=True)]
    return np.concatenate(rows)


def feature_names(extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the names of the columns: `FEATURE_NAMES`, then those of `extra`.

    Raises
    ------
    FeatureError
        If `extra` names something that is not in `EXTRA_FEATURES`.
    """
    unknown = sorted(set(extra) - set(EXTRA_FEATURES))
    if unknown:
        raise FeatureError(f"unknown extra features {unknown}; expected {list(EXTRA_FEATURES)}")
    added = [
        f"{name}{number}_{statistic}"
        for name in extra
        for number in range(1, EXTRA_FEATURES[name] + 1)
        for statistic in ("mean", "var")
    ]
    return (*FEATURE_NAMES, *added)


def segments(
    y: np.ndarray, *, segment_s: float, sr: int = SR, extra: tuple[str, ...] = ()
) -> np.ndarray:
    """Compute the features of a clip's segments.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    segment_s : float
        Length of a segment in seconds; see `audio.segment_bounds`.
    sr, extra
        As in `tabular`.

    Returns
    -------
    X : np.ndarray [shape=(n_segments, 57 or more), dtype=float64]
        One row a segment.

    Raises
    ------
    FeatureError
        If the clip is shorter than half a segment; else as `tabular`.
    """
    bounds = audio.segment_bounds(len(y) / sr, segment_s)
    if not bounds:
        raise FeatureError(
            f"is {len(y) / sr:.2f} s long; expected at least half a segment of "
            f"{segment_s:g} s; leave it out, or ask for shorter segments"
        )
    cut = [y[round(start * sr) : round(end * sr)] for start, end in bounds]
    return tabular_batch(cut, sr=sr, extra=extra)


def log_mel(
    y: np.ndarray, *, sr: int, n_fft: int = 2048, hop_length: int = 512, n_mels: int = 128
) -> np.ndarray:
    """Compute a mel power spectrogram in decibels, equal to librosa's.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.
    n_fft, hop_length : int
        Length of a frame and step between frames, in samples.
    n_mels : int
        Number of mel bands from 0 Hz to sr / 2.

    Returns
    -------
    S : np.ndarray [shape=(n_mels, 1 + n_samples // hop_length), dtype=float32]
        Power in dB relative to 1, at most 80 dB below its own maximum.
    """
    y = np.asarray(y, dtype=np.float32)
    given = {"sr": sr, "n_fft": n_fft, "hop_length": hop_length, "n_mels": n_mels}
    if fast_mel.can_transform(n_fft, hop_length):
        return spectral.decibels(fast_mel.power_in_bands(y, **given))
    return spectral.decibels(spectral.mel_spectrum(y, **given)).T


def log_mel_batch(
    signals: np.ndarray, *, sr: int, n_fft: int = 2048, hop_length: int = 512, n_mels: int = 128
) -> np.ndarray:
    """Compute `log_mel` of many signals of one length.

    Parameters
    ----------
    signals : np.ndarray [shape=(n_signals, n_samples)]
        Mono signals.
    sr, n_fft, hop_length, n_mels
        As in `log_mel`.

    Returns
    -------
    S : np.ndarray [shape=(n_signals, n_mels, n_frames), dtype=float32]
        Each 80 dB deep at most, below its own maximum.
    """
    signals = np.asarray(signals, dtype=np.float32)
    given = {"sr": sr, "n_fft": n_fft, "hop_length": hop_length, "n_mels": n_mels}
    S = np.empty((len(signals), n_mels, 1 + signals.shape[1] // hop_length), np.float32)
    for y, out in zip(signals, S, strict=True):
        out[:] = log_mel(y, **given)
    return S


def mfcc_series(
    y: np.ndarray, *, sr: int, n_mfcc: int = 13, n_fft: int = 2048, hop_length: int = 512
) -> np.ndarray:
    """Compute mel-frequency cepstral coefficients over time, equal to librosa's.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.
    n_mfcc : int
        Number of coefficients, from the first one (loudness) on.
    n_fft, hop_length : int
        Length of a frame and step between frames, in samples.

    Returns
    -------
    series : np.ndarray [shape=(1 + n_samples // hop_length, n_mfcc), dtype=float32]
        One row a frame.
    """
    # In double precision: a coefficient near 0 is a small difference of large numbers.
    y = np.asarray(y, dtype=np.float32)
    mel = spectral.mel_spectrum(y, sr=sr, n_fft=n_fft, hop_length=hop_length, n_mels=128)
    return spectral.decibels(mel) @ _dct(128, n_mfcc)


def table(
    dataset: datasets.Dataset,
    *,
    segment_s: float,
    source: str | None = None,
    extra: tuple[str, ...] = (),
    jobs: int | None = None,
) -> FeatureTable:
    """Return the features of every segment of a data set.

    The data set's own table is read where it covers at least as many tracks as there
    are sound files; else features are computed from the audio. Each track's features
    are kept in the cache under the digest of the file's content, so a run that was
    cut off goes on where it was, and a second one only reads.

    Parameters
    ----------
    dataset : datasets.Dataset
        The data set.
    segment_s : float
        Length of a segment in seconds; see `audio.segment_bounds`.
    source : {'table', 'audio'}, optional
        Take the features from there, whatever covers more tracks.
    extra : tuple of str
        What to add from `EXTRA_FEATURES`; a public table has none of it.
    jobs : int, optional
        Number of processes; `project.jobs` by default. Within
        ``joblib.parallel_config(backend="dask")`` the workers of that cluster are used;
        they must share the file system.

    Raises
    ------
    FeatureError
        If the data set has neither a table for that length nor audio (or not the one
        asked for), or if not one of its tracks gives features.
    """
    segment_s = float(segment_s)
    if extra:
        source = "audio"
    names = feature_names(extra)
    n_audio = int(dataset.tracks["audio_path"].notna().sum())
    if segment_s in dataset.tables and source != "audio":
        frame = datasets.load_feature_csv(dataset, segment_s)
        if source == "table" or frame["track_id"].nunique() >= max(n_audio, 1):
            return _from_csv(dataset, segment_s, frame)
    if not n_audio or source == "table":
        lacks = {
            "table": f"no table of features at {segment_s:g} s",
            "audio": "no audio, which these features are computed from,",
        }.get(source, f"no audio and no table of features at {segment_s:g} s")
        raise FeatureError(
            f"{dataset.title} has {lacks} in {dataset.root}; put "
            f"{'the table' if source == 'table' else 'the sound files'} there, or ask for other "
            "features"
        )
    cached = _cached(dataset, [_segments_kind(segment_s, extra)], jobs)[0]
    return _from_audio(dataset, segment_s, names, cached)


def prepare(
    dataset: datasets.Dataset,
    *,
    segment_lengths: Iterable[float] = (),
    series_kinds: Iterable[str] = (),
    extra: tuple[str, ...] = (),
    jobs: int | None = None,
) -> None:
    """Compute several tables and series of a data set's sound files in one pass.

    Each file is decoded once. Afterwards `table` and `series` only read.

    Parameters
    ----------
    dataset : datasets.Dataset
        Without audio there is nothing to do.
    segment_lengths : iterable of float
        Segment lengths in seconds.
    series_kinds : iterable of {'log_mel', 'mfcc'}
        Series of whole clips.
    extra, jobs
        As in `table`.

    Raises
    ------
    FeatureError
        If a kind of series or of extra features is unknown.
    """
    kinds = [_segments_kind(float(segment_s), extra) for segment_s in segment_lengths]
    _cached(dataset, kinds + [_series_kind(kind) for kind in series_kinds], jobs)


def milliseconds_per_feature(y: np.ndarray, sr: int, *, repeats: int = 3) -> pd.DataFrame:
    """Measure what each group of the 57 features costs on a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal of at least 2,048 finite samples.
    sr : int
        Sample rate in Hz.
    repeats : int
        Number of measurements, of which the median is taken; one more goes before them.

    Returns
    -------
    costs : pd.DataFrame
        feature_group, milliseconds (wall time), in the order of computation; the first
        row is what the others share.

    Raises
    ------
    FeatureError
        As `tabular`.
    """
    signals = [_checked(y)]
    work = {"shared spectra": lambda: _shared(signals, sr)}
    for name, group in _GROUPS.items():
        # Each on spectra of its own: they lie in memory that the next ones use again.
        work[name] = lambda group=group: group(shared)
    times = []
    for function in work.values():
        shared = _shared(signals, sr)
        times.append(_median_ms(function, repeats))
    return pd.DataFrame({"feature_group": list(work), "milliseconds": times})


def _median_ms(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def _checked(y: np.ndarray) -> np.ndarray:
    y = np.asarray(y, dtype=np.float32)
    if y.ndim != 1 or len(y) < _N_FFT:
        raise FeatureError(
            f"the signal has shape {y.shape}; expected one channel of at least {_N_FFT} "
            "samples; mix it down (audio.load does), or take a longer piece"
        )
    if not np.isfinite(y).all():
        raise FeatureError(
            "the signal holds NaN or infinite samples; expected finite numbers; "
            "write it again from its source"
        )
    return y


@contextmanager
def quiet_librosa() -> Iterator[None]:
    """Keep librosa from warning of sounds without a pitch."""
    # Silence has no pitch to tune to: its chroma is 0, and there is nothing to mend.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to estimate tuning from empty")
        yield


_FRAMES_TOGETHER = 1500
"""Short signals share their transforms up to here; more would leave the processor's cache."""

_threads = threading.local()


def _batches(signals: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    batch, n_frames = [], 0
    for y in signals:
        if batch and n_frames + 1 + len(y) // _HOP > _FRAMES_TOGETHER:
            yield batch
            batch, n_frames = [], 0
        batch.append(y)
        n_frames += 1 + len(y) // _HOP
    if batch:
        yield batch


def _workspace() -> spectral.Workspace:
    if not hasattr(_threads, "workspace"):
        _threads.workspace = spectral.Workspace()
    return _threads.workspace


@dataclass(frozen=True)
class _Shared:
    """What several features of several signals start from."""

    signals: list[np.ndarray]
    sr: int
    frames: spectral.Frames
    mel_db: list[np.ndarray]


def _shared(signals: list[np.ndarray], sr: int) -> _Shared:
    frames = spectral.frames(signals, n_fft=_N_FFT, hop_length=_HOP, workspace=_workspace())
    mel = spectral.mel(frames.power, sr=sr, n_mels=128)
    return _Shared(signals, sr, frames, [spectral.decibels(part) for part in frames.split(mel)])


def _mean_var(*series: np.ndarray) -> np.ndarray:
    """Return mean and variance of each series, in turn."""
    return np.array([spectral.mean_and_variance(values.reshape(-1)) for values in series]).reshape(
        -1
    )


def _chroma(shared: _Shared) -> list[np.ndarray]:
    return [_mean_var(chroma) for chroma in _chromagrams(shared)]


def _chromagrams(shared: _Shared) -> Iterator[np.ndarray]:
    """Yield each signal's chroma [shape=(n_frames, 12)], as ``librosa.feature.chroma_stft``."""
    for power in shared.frames.split(shared.frames.power):
        bank = _chroma_bank(shared.sr, spectral.tuning(power, sr=shared.sr))
        chroma = power @ bank
        largest = chroma.max(axis=1, keepdims=True)
        yield chroma / np.where(largest < np.finfo(np.float32).tiny, 1, largest)


@lru_cache(maxsize=128)
def _chroma_bank(sr: int, tuning: float) -> np.ndarray:
    return np.ascontiguousarray(librosa.filters.chroma(sr=sr, n_fft=_N_FFT, tuning=tuning).T)


def _rms(shared: _Shared) -> list[np.ndarray]:
    return [_mean_var(spectral.loudness(y, _N_FFT, _HOP)) for y in shared.signals]


def _zero_crossing_rate(shared: _Shared) -> list[np.ndarray]:
    return [_mean_var(spectral.zero_crossings(y, _N_FFT, _HOP)) for y in shared.signals]


def _shape(shared: _Shared) -> list[np.ndarray]:
    hz = librosa.fft_frequencies(sr=shared.sr, n_fft=_N_FFT)
    magnitude = shared.frames.magnitude
    series = np.vstack(
        [spectral.centre_and_spread(magnitude, hz), spectral.rolloff(magnitude, hz, _ROLLOFF)[None]]
    )
    return [_mean_var(*part.T.copy()) for part in shared.frames.split(series.T)]


def _harmony_and_percussion(shared: _Shared) -> list[np.ndarray]:
    values = []
    parts = (
        shared.frames.split(shared.frames.complex),
        shared.frames.split(shared.frames.magnitude),
    )
    for y, spectra, magnitude in zip(shared.signals, *parts, strict=True):
        held = spectral.harmonic_waveform(spectra, magnitude, hop_length=_HOP, length=len(y))
        values.append(_mean_var(held, y - held))
    return values


def harmonic_percussive(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part a magnitude spectrogram into held tones and strokes.

    Values equal those of ``librosa.decompose.hpss(magnitude)``, in a fraction of its time.

    Parameters
    ----------
    magnitude : np.ndarray [shape=(n_bins, n_frames), dtype=float32]
        Magnitudes of a short-time Fourier transform, at least 0.

    Returns
    -------
    harmonic, percussive : np.ndarray [shape=(n_bins, n_frames)]
        Magnitudes of the two parts; they add up to the whole.

    References
    ----------
    Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010.
    """
    held = spectral.running_median(np.ascontiguousarray(magnitude.T)).T
    struck = spectral.running_median(np.ascontiguousarray(magnitude))
    pairs = ((held, struck), (struck, held))
    masks = [librosa.util.softmask(part, rest, power=2, split_zeros=True) for part, rest in pairs]
    return magnitude * masks[0], magnitude * masks[1]


def _tempo(shared: _Shared) -> list[np.ndarray]:
    return [
        np.array([spectral.tempo(mel_db, sr=shared.sr, hop_length=_HOP)])
        for mel_db in shared.mel_db
    ]


def _mfccs(shared: _Shared) -> list[np.ndarray]:
    return [_mean_var(*(mel_db @ _dct(128, 20)).T.copy()) for mel_db in shared.mel_db]


@lru_cache(maxsize=8)
def _dct(n_mels: int, n_mfcc: int) -> np.ndarray:
    return scipy.fft.dct(np.eye(n_mels), axis=1, norm="ortho")[:, :n_mfcc].astype(np.float32)


_GROUPS: dict[str, Callable[[_Shared], list[np.ndarray]]] = {
    "chroma": _chroma,
    "RMS": _rms,
    "spectral centroid, bandwidth and rolloff": _shape,
    "zero-crossing rate": _zero_crossing_rate,
    "harmonic and percussive waveforms": _harmony_and_percussion,
    "tempo": _tempo,
    "20 MFCCs": _mfccs,
}
"""Functions whose results, one after the other, are the 57 features in order."""


def _contrast(shared: _Shared) -> list[np.ndarray]:
    return [
        _mean_var(*librosa.feature.spectral_contrast(S=magnitude.T, sr=shared.sr))
        for magnitude in shared.frames.split(shared.frames.magnitude)
    ]


def _tonnetz(shared: _Shared) -> list[np.ndarray]:
    return [
        _mean_var(*librosa.feature.tonnetz(chroma=chroma.T, sr=shared.sr))
        for chroma in _chromagrams(shared)
    ]


EXTRA_FEATURES = {"spectral_contrast": 7, "tonnetz": 6}
"""Series that can be had besides the 57 features, and how many there are of each.

They are librosa's `spectral_contrast`, and its `tonnetz` of the chroma that the 57
features hold, ``chroma_stft``.
"""

_EXTRA_GROUPS = {"spectral_contrast": _contrast, "tonnetz": _tonnetz}


def _groups(extra: tuple[str, ...]) -> dict[str, Callable[[_Shared], list[np.ndarray]]]:
    return _GROUPS | {name: _EXTRA_GROUPS[name] for name in extra}


def _from_csv(dataset: datasets.Dataset, segment_s: float, frame: pd.DataFrame) -> FeatureTable:
    name = dataset.tables[segment_s].name
    missing = dataset.tracks.loc[~dataset.tracks["track_id"].isin(frame["track_id"]), "track_id"]
    failures = [(track_id, name, "the table has no row of this track") for track_id in missing]
    keys = frame[["track_id", "segment_index"]]
    X = frame[list(FEATURE_NAMES)].to_numpy(np.float64)
    return _assemble(dataset, segment_s, keys, X, "table", failures, X.tobytes().hex())


def _from_audio(
    dataset: datasets.Dataset, segment_s: float, names: tuple[str, ...], cached: "_Cached"
) -> FeatureTable:
    values = {track_id: np.load(file) for track_id, file in cached.files.items()}
    if not values:
        _, file, reason = cached.failures[0]
        raise FeatureError(
            f"none of the {len(cached.failures)} sound files of {dataset.title} gave features at "
            f"{segment_s:g} s; the first: {file}: {reason}"
        )
    keys = pd.DataFrame(
        [(track_id, index) for track_id, X in values.items() for index in range(len(X))],
        columns=["track_id", "segment_index"],
    )
    X = np.concatenate(list(values.values()))
    stems = (file.stem for file in cached.files.values())
    made_from = project.text_digest(RECIPE, *names[len(FEATURE_NAMES) :], *stems)
    return _assemble(dataset, segment_s, keys, X, "audio", cached.failures, made_from, names)


def _assemble(
    dataset: datasets.Dataset,
    segment_s: float,
    keys: pd.DataFrame,
    X: np.ndarray,
    source: str,
    failures: list[tuple[str, str, str]],
    made_from: str,
    names: tuple[str, ...] = FEATURE_NAMES,
) -> FeatureTable:
    items = keys.merge(dataset.tracks[_ITEM_COLUMNS], on="track_id", how="left")
    items = items[[*_ITEM_COLUMNS, "segment_index"]]
    items["segment_start_s"] = items["segment_index"] * segment_s
    items["segment_s"] = segment_s
    return FeatureTable(
        items=items,
        X=X,
        names=names,
        source=source,
        failures=pd.DataFrame(failures, columns=["track_id", "file", "reason"], dtype="str"),
        digest=project.text_digest(items.to_csv(index=False), made_from),
    )


_SERIES = {
    "log_mel": log_mel,
    "log_mel_1024": partial(log_mel, n_fft=1024, hop_length=256),
    "mfcc": mfcc_series,
}


@dataclass(frozen=True)
class Series:
    """Log-mel spectrograms or MFCC series of whole clips, on disk.

    Attributes
    ----------
    kind : str
        What was computed of each clip.
    files : dict of str to Path
        track_id → array file, in the order of the tracks.
    failures : pd.DataFrame
        One row a track without a series: track_id, file, reason.
    """

    kind: str
    files: dict[str, Path]
    failures: pd.DataFrame

    def load(self, track_id: str) -> np.ndarray:
        """Return one track's series, as `log_mel` or `mfcc_series` returns it."""
        return np.load(self.files[track_id])


def series(dataset: datasets.Dataset, *, kind: str, jobs: int | None = None) -> Series:
    """Compute the log-mel spectrogram or MFCC series of every track with audio.

    Parameters
    ----------
    dataset : datasets.Dataset
        Without audio the result is empty.
    kind : {'log_mel', 'log_mel_1024', 'mfcc'}
        Which series, at 22,050 Hz with the defaults of `log_mel` and `mfcc_series`;
        ``log_mel_1024`` has frames of 1,024 samples, 256 apart.
    jobs : int, optional
        Number of processes; `project.jobs` by default.

    Returns
    -------
    Series
        Arrays stay on disk (in the cache), so that memory does not grow with the tracks.

    Raises
    ------
    FeatureError
        If `kind` is unknown.
    """
    return _of_whole_clips(dataset, _series_kind(kind), jobs)


def each_clip(
    dataset: datasets.Dataset,
    *,
    name: str,
    function: Callable[[np.ndarray], np.ndarray],
    jobs: int | None = None,
) -> Series:
    """Compute an array of every track with audio, and keep it in the cache.

    Parameters
    ----------
    dataset : datasets.Dataset
        Without audio the result is empty.
    name : str
        What the arrays are kept under; another function needs another name.
    function : callable
        Takes a clip at 22,050 Hz and returns an array of two dimensions. A
        `ProjectError` that it raises is noted as the reason why the track has none.
    jobs : int, optional
        Number of processes; `project.jobs` by default.

    Returns
    -------
    Series
        As `series`.
    """
    return _of_whole_clips(dataset, _Kind(name.replace(" ", "_"), function, None), jobs)


def _of_whole_clips(dataset: datasets.Dataset, kind: "_Kind", jobs: int | None) -> Series:
    cached = _cached(dataset, [kind], jobs)[0]
    failures = pd.DataFrame(cached.failures, columns=["track_id", "file", "reason"], dtype="str")
    return Series(kind.folder, cached.files, failures)


def _whole(y: np.ndarray, *, function: Callable) -> np.ndarray:
    return function(y, sr=SR)


@dataclass(frozen=True)
class _Kind:
    """An array that is kept of each track: the folder's name, and what makes it."""

    folder: str
    compute: Callable[[np.ndarray], np.ndarray]
    n_columns: int | None  # None where it depends on the clip


def _segments_kind(segment_s: float, extra: tuple[str, ...]) -> _Kind:
    return _Kind(
        "+".join([f"{segment_s:g}s", *extra]),
        partial(segments, segment_s=segment_s, extra=extra),
        len(feature_names(extra)),
    )


def _series_kind(kind: str) -> _Kind:
    if kind not in _SERIES:
        raise FeatureError(f"unknown kind of series {kind!r}; expected one of {list(_SERIES)}")
    return _Kind(kind, partial(_whole, function=_SERIES[kind]), None)


@dataclass
class _Cached:
    files: dict[str, Path]
    failures: list[tuple[str, str, str]]


_LOOKED_UP_TOGETHER = 256
"""Files whose content is read at a time, so that memory does not grow with their number."""


def _cached(dataset: datasets.Dataset, kinds: list[_Kind], jobs: int | None) -> list[_Cached]:
    """Make sure that every track's arrays are in the cache; say which tracks have none."""
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()].sort_values("track_id")
    digests: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(tracks), _LOOKED_UP_TOGETHER):
            rows = list(tracks.iloc[first : first + _LOOKED_UP_TOGETHER].itertuples())
            for track, (digest, reason) in zip(rows, pool.map(_digest, rows), strict=True):
                if reason:
                    unreadable[track.track_id] = reason
                else:
                    digests[track.track_id] = digest
    paths = dict(zip(tracks["track_id"], tracks["audio_path"], strict=True))
    to_do = [
        (track_id, missing)
        for track_id, digest in digests.items()
        if (missing := [k for k in kinds if not _is_whole(_cache_file(k, digest), k)])
    ]
    reasons = {kind.folder: dict(unreadable) for kind in kinds}
    # joblib hands out a few files at a time, and results are taken as they come.
    parallel = Parallel(
        n_jobs=max(1, min(jobs or project.jobs(), len(to_do))), return_as="generator_unordered"
    )
    results = parallel(
        delayed(_extract)(
            track_id,
            Path(paths[track_id]),
            [(kind, _cache_file(kind, digests[track_id])) for kind in missing],
        )
        for track_id, missing in to_do
    )
    title = f"features ({', '.join(kind.folder for kind in kinds)})"
    for track_id, failed in progress.track(results, total=len(to_do), desc=title):
        for folder, reason in failed.items():
            reasons[folder][track_id] = reason
    return [_outcome(dataset, kind, digests, paths, reasons[kind.folder]) for kind in kinds]


def _outcome(
    dataset: datasets.Dataset,
    kind: _Kind,
    digests: dict[str, str],
    paths: dict[str, Path],
    reasons: dict[str, str],
) -> _Cached:
    files = {
        track_id: _cache_file(kind, digest)
        for track_id, digest in digests.items()
        if track_id not in reasons
    }
    failures = [
        (track_id, _relative(path, dataset.root), reasons[track_id])
        for track_id, path in paths.items()
        if track_id in reasons
    ]
    return _Cached(files, failures)


def _relative(path: Path, folder: Path) -> str:
    path = Path(path)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _digest(track) -> tuple[str, str]:
    """Return the digest of a track's file, or the reason why it has none."""
    if not pd.isna(track.sha256):
        return track.sha256, ""
    try:
        return project.file_digest(track.audio_path), ""
    except OSError as error:
        return "", f"cannot be read ({error.strerror}); expected a sound file there"


def _cache_file(kind: _Kind, digest: str) -> Path:
    return project.cache_root() / "features" / f"recipe-{RECIPE}" / kind.folder / f"{digest}.npy"


def _is_whole(file: Path, kind: _Kind) -> bool:
    shape = arrays.shape(file)
    return shape is not None and len(shape) == 2 and kind.n_columns in (None, shape[1])


def _extract(
    track_id: str, path: Path, wanted: list[tuple[_Kind, Path]]
) -> tuple[str, dict[str, str]]:
    """Compute and keep a track's arrays; return track_id and, by kind, why there is none."""
    try:
        y = audio.load(path, sr=SR)
    except audio.AudioError as error:
        return track_id, {kind.folder: error.reason for kind, _ in wanted}
    failed = {}
    for kind, cache_file in wanted:
        try:
            # One thread, so that values do not depend on how many processes there are.
            with threadpool_limits(limits=1):
                values = kind.compute(y)
        except project.ProjectError as error:
            failed[kind.folder] = str(error)
            continue
        arrays.write(cache_file, values)
    return track_id, failed
