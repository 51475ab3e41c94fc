"""Measure sound files one by one, and say what is wrong with each."""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from joblib import Parallel, delayed
from scipy import signal
from threadpoolctl import threadpool_limits

from genre_utils import audio, fingerprint, progress, project, repetition
from genre_utils.datasets import AUDIO_EXTENSIONS, Dataset

FAULTS = (
    "undecodable",
    "empty",
    "nan",
    "silent",
    "clipped",
    "noise",
    "short",
    "header",
    "sample_rate",
    "channels",
    "bit_depth",
    "dc_offset",
    "leftover",
)
"""What can be wrong with one file."""

MEASURES = (
    "track_id",
    "duration_s",
    "sample_rate",
    "channels",
    "bit_depth",
    "peak",
    "rms_db",
    "clipped_share",
    "dc_offset",
    "silence_share",
    "spectral_flatness",
)
"""The columns of the table of measures.

``peak`` and ``dc_offset`` are in full scales, ``rms_db`` in dB of full scale,
``clipped_share`` is the share of samples in flat tops at full scale, ``silence_share``
that of 50-ms frames below -60 dB; ``spectral_flatness``, in [0, 1], is the mean flatness
of five octaves from 200 Hz on, median over the frames: about 0.57 for noise of any
colour. ``bit_depth`` is libsndfile's name of the sample format.
"""

RECIPE = "1"
"""Part of every cached name; to be changed with what is measured."""

_CLIPPED = (0.001, 0.01)  # warning, fault
_DC_OFFSET = (0.01, 0.05)
_SILENT_SHARE = 0.5
_NOISE_FLATNESS = 0.5  # 200 clips of real music: 0.43 at most
_SHORT_S = 15.0  # nothing that long is short, however long the others are
_SILENCE = 1e-3
_MORE_THAN_THERE = 1.02


@dataclass(frozen=True)
class Inspection:
    """What a look at every sound file brought.

    Attributes
    ----------
    measures : pd.DataFrame
        One row a readable track, with `MEASURES`.
    findings : list of tuple
        (track_id, fault, severity, reason, value, partner, shift_s); the last two empty.
    files : dict of str to Path
        track_id → kept analysis of each readable track.
    """

    measures: pd.DataFrame
    findings: list[tuple]
    files: dict[str, Path]

    def heard(self) -> dict:
        """Return the arguments of `repetition.in_audio`."""
        kept = [np.load(file, allow_pickle=False) for file in self.files.values()]
        return {
            "track_ids": list(self.files),
            "sounds": [str(arrays["sound"]) for arrays in kept],
            "landmarks": [arrays["landmarks"] for arrays in kept],
            "chromas": [arrays["chroma"] for arrays in kept],
        }


def inspect(dataset: Dataset, *, jobs: int | None = None) -> Inspection:
    """Decode and measure every sound file; a bad one is a finding, never an error.

    Parameters
    ----------
    dataset : Dataset
        Tracks without a sound file are left out.
    jobs : int, optional
        Number of processes; `project.jobs` by default.
    """
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()].sort_values("track_id")
    jobs = max(1, min(jobs or project.jobs(), len(tracks)))
    folder = project.cache_root() / "audit" / f"recipe-{RECIPE}"
    tasks = (
        delayed(_analysed)(track_id, Path(path), folder)
        for track_id, path in zip(tracks["track_id"], tracks["audio_path"], strict=True)
    )
    results = Parallel(n_jobs=jobs, return_as="generator")(tasks)
    rows, findings, files = [], [], {}
    for track_id, file, measures, fault, reason, value in progress.track(
        results, total=len(tracks), desc="listening"
    ):
        if fault:
            severity = "warning" if fault == "header" else "fault"
            findings.append((track_id, fault, severity, reason, value, None, np.nan))
        if file is not None:
            files[track_id] = file
            rows.append({"track_id": track_id} | measures)
    measures = pd.DataFrame(rows, columns=list(MEASURES))
    return Inspection(measures, findings + list(_judged(measures)), files)


def _analysed(track_id: str, path: Path, folder: Path) -> tuple:
    """Return track_id, kept file, measures, fault, reason, value for one sound file."""
    try:
        file = folder / f"{project.file_digest(path)}.npz"
        kept = _kept(file)
        if kept is None:
            with threadpool_limits(limits=1):
                channels, sr = audio.decode(path)
                kept = _analysis(path, channels, sr)
            if "fault" not in kept:
                content = io.BytesIO()
                np.savez_compressed(content, **kept)
                project.write_atomic(file, content.getvalue())
    except audio.AudioError as error:
        fault = "undecodable"
        if path.is_file() and path.stat().st_size == 0:
            fault = "empty"
        return track_id, None, None, fault, error.reason, np.nan
    except Exception as error:  # whatever a decoder makes of a hostile file
        reason = f"cannot be read ({type(error).__name__}: {error}); fetch it again"
        return track_id, None, None, "undecodable", reason, np.nan
    if "fault" in kept:
        return track_id, None, None, kept["fault"], kept["reason"], kept["value"]
    measures = json.loads(str(kept["measures"]))
    fault, reason, value = _header(path, measures["duration_s"])
    return track_id, file, measures, fault, reason, value


def _kept(file: Path) -> dict | None:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("measures", "sound", "landmarks", "chroma")}
    except Exception:  # not there, or spoilt in one of many ways: made again
        return None


def _analysis(path: Path, channels: np.ndarray, sr: int) -> dict:
    if not len(channels):
        reason = "holds no samples; expected music; fetch it again"
        return {"fault": "empty", "reason": reason, "value": 0.0}
    n_bad = np.count_nonzero(~np.isfinite(channels))
    if n_bad:
        reason = (
            f"{n_bad} of {channels.size} samples are NaN or infinite; expected finite numbers; "
            "write it again from its source"
        )
        return {"fault": "nan", "reason": reason, "value": n_bad / channels.size}
    y = channels.mean(axis=1)
    try:
        bit_depth = soundfile.info(path).subtype
    except soundfile.SoundFileError:
        bit_depth = "unknown"  # ffmpeg decoded it
    measures = {"sample_rate": sr, "channels": channels.shape[1], "bit_depth": bit_depth}
    measures |= _measures(channels, y, sr)
    sound = hashlib.sha256(str(sr).encode() + np.ascontiguousarray(channels).tobytes())
    return {
        "measures": np.array(json.dumps(measures)),
        "sound": np.array(sound.hexdigest()),
        "landmarks": fingerprint.landmarks(y, sr=sr),
        "chroma": repetition.harmonic_course(y, sr=sr),
    }


def _measures(channels: np.ndarray, y: np.ndarray, sr: int) -> dict[str, float]:
    level = np.abs(channels)
    full = level >= 0.99
    # A wave touches full scale for one sample or two; a flat top is longer.
    flat = np.zeros_like(full)
    tops = full[:-2] & full[1:-1] & full[2:]
    for offset in range(3):
        flat[offset : offset + len(tops)] |= tops
    frame = max(1, round(0.05 * sr))
    frames = y[: max(1, len(y) // frame) * frame]
    frames = frames.reshape(-1, min(frame, len(frames)))
    power = np.mean(np.square(y, dtype=float))
    return {
        "duration_s": len(y) / sr,
        "peak": float(level.max()),
        "rms_db": float(10 * np.log10(power + 1e-12)),
        "clipped_share": float(flat.mean()),
        "dc_offset": float(y.mean(dtype=float)),
        "silence_share": float((np.sqrt(np.square(frames).mean(axis=1)) < _SILENCE).mean()),
        "spectral_flatness": _flatness(y, sr),
    }


def _flatness(y: np.ndarray, sr: int) -> float:
    n_fft = 2048
    if len(y) < n_fft:
        return float("nan")
    every = max(1, len(y) // n_fft // 400) * n_fft
    starts = np.arange(0, len(y) - n_fft + 1, every)
    frames = y[starts[:, None] + np.arange(n_fft)] * signal.get_window("hann", n_fft)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    power = power[power.mean(axis=1) > _SILENCE**2] + 1e-14
    frequency = np.fft.rfftfreq(n_fft, 1 / sr)
    octaves = [
        power[:, (frequency >= low) & (frequency < 2 * low)]
        for low in (200, 400, 800, 1600, 3200)
        if 2 * low <= sr / 2
    ]
    if not len(power) or not octaves:
        return 0.0
    flatness = [np.exp(np.log(o).mean(axis=1)) / o.mean(axis=1) for o in octaves]
    return float(np.median(np.mean(flatness, axis=0)))


def _header(path: Path, duration_s: float) -> tuple[str, str, float]:
    """Find a header that promises more than there is, in a file that can be used."""
    try:
        with soundfile.SoundFile(path) as file:
            size = re.search(
                r"(?:data|Data Size|SSND)\s*: (\d+) \(should be (\d+)\)", file.extra_info
            )
    except soundfile.SoundFileError:
        size = None
    if size is None or int(size[1]) <= _MORE_THAN_THERE * int(size[2]):
        return "", "", np.nan
    reason = (
        f"its header states {int(size[1]):,} bytes of sound, {int(size[2]):,} are there "
        f"({duration_s:.1f} s, used as they are); expected equal numbers: if it was not "
        "streamed, fetch it again"
    )
    return "header", reason, float(size[1])


def _judged(measures: pd.DataFrame) -> Iterator[tuple]:
    """Say what is wrong with files that can be read, by their measures."""
    if measures.empty:
        return
    usual = {name: measures[name].mode()[0] for name in ("sample_rate", "channels", "bit_depth")}
    shortest = min(_SHORT_S, measures["duration_s"].median() / 2)
    for row in measures.itertuples():
        for fault, severity, reason, value in _faults(row, usual, shortest):
            yield row.track_id, fault, severity, reason, value, None, np.nan


def _faults(row, usual: dict, shortest: float) -> Iterator[tuple[str, str, str, float]]:
    silent = row.silence_share > _SILENT_SHARE
    if silent:
        reason = f"{row.silence_share:.0%} of it is silence (below -60 dB of full scale); "
        yield (
            "silent",
            "fault",
            reason + f"expected at most {_SILENT_SHARE:.0%}",
            row.silence_share,
        )
    if row.clipped_share >= _CLIPPED[0]:
        reason = f"{row.clipped_share:.2%} of its samples are in flat tops at full scale; expected "
        severity = "fault" if row.clipped_share >= _CLIPPED[1] else "warning"
        yield "clipped", severity, reason + f"below {_CLIPPED[0]:.1%}", row.clipped_share
    if row.spectral_flatness > _NOISE_FLATNESS and not silent:
        reason = f"is mostly noise: spectral flatness {row.spectral_flatness:.2f}; expected below "
        yield "noise", "fault", reason + f"{_NOISE_FLATNESS:g}", row.spectral_flatness
    if row.duration_s < shortest:
        reason = f"is {row.duration_s:.2f} s long; expected at least {shortest:.2f} s"
        yield "short", "fault", reason, row.duration_s
    if abs(row.dc_offset) >= _DC_OFFSET[0]:
        severity = "fault" if abs(row.dc_offset) >= _DC_OFFSET[1] else "warning"
        reason = f"its mean is {row.dc_offset:+.3f} of full scale; expected within "
        yield "dc_offset", severity, reason + f"{_DC_OFFSET[0]:g} of 0", row.dc_offset
    for name, unit in (("sample_rate", " Hz"), ("channels", " channel(s)"), ("bit_depth", "")):
        own = getattr(row, name)
        if own != usual[name]:
            reason = f"has {own}{unit}; most of the data set has {usual[name]}{unit}"
            yield name, "warning", reason, float(own) if unit else np.nan


def leftovers(folder: Path) -> list[Path]:
    """List the ``._*`` files with the ending of a sound file."""
    return sorted(
        Path(here, name)
        for here, _, names in os.walk(folder)
        for name in names
        if name.startswith("._") and Path(name).suffix.lower() in AUDIO_EXTENSIONS
    )


def shown(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, with what cannot be printed on a line escaped."""
    path = Path(path)
    text = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
