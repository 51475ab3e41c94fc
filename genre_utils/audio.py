"""Sound files in: decoded, mixed down, resampled and cut into segments.

Needs numpy, soundfile and soxr only, and ffmpeg (installed, or as the package
imageio-ffmpeg) where a format asks for it.
"""

import math
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from genre_utils.project import ProjectError

EXTENSIONS = (".wav", ".flac", ".au", ".aiff", ".aif", ".mp3", ".ogg", ".opus", ".m4a")
"""Sound files by their ending; where a track has several, the first in this order is taken."""

PLAUSIBLE_SR = (1_000, 768_000)
"""Lowest and highest sample rate in Hz that a sound file may state."""

_MAY_LACK = 0.02
"""Fraction that a last segment (29.93 s are 3 x 10 s), or a file, may lack."""

_BLOCK_S = 10.0
_AU_HEADER = struct.Struct(">4s5I")

_STREAMED = 0x7FFFFFFF
"""A chunk size from here on means "not known when the header was written"."""


class AudioError(ProjectError):
    """A sound file that cannot be used.

    Attributes
    ----------
    path : Path
        The file.
    reason : str
        What was found, what was expected and what to do next, without the file's name.
    """

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def load(path: Path | str, *, sr: int = 22050) -> np.ndarray:
    """Decode a sound file to one channel at a given sample rate.

    Values equal those of ``librosa.load(path, sr=sr)``: channels are averaged, then
    resampled by soxr's high-quality recipe.

    Parameters
    ----------
    path : Path or str
        File in a format of libsndfile (wav, flac, ogg, mp3, au, aiff ...), or, where
        ffmpeg is installed, in any format of ffmpeg.
    sr : int
        Sample rate of the result in Hz.

    Returns
    -------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        The signal; full scale is -1 to 1.

    Raises
    ------
    AudioError
        If the file is missing, empty, not decodable, cut off, or holds samples that
        are not finite numbers.
    """
    path = Path(path)
    channels, native_sr = decode(path)
    if channels.shape[0] == 0:
        raise AudioError(path, _NO_SAMPLES)
    _check_finite(path, channels)
    return _resample(channels.mean(axis=1), native_sr, sr)


@contextmanager
def reading(path: Path | str) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """Open a sound file of any length, to decode it piece by piece in little memory.

    Parameters
    ----------
    path : Path or str
        As for `load`.

    Yields
    ------
    native_sr : int
        Its sample rate in Hz.
    blocks : iterator of np.ndarray [shape=(n_samples,), dtype=float32]
        About 10 s each, one channel. Resampled by `resampled` they equal what `load`
        returns, but for rounding.

    Raises
    ------
    AudioError
        As `load`, but for a file that is cut off: its last block raises that.
    """
    path = Path(path)
    with _opened(path) as file:
        yield file.sr, _mono_blocks(path, file)


def resampled(chunks: Iterable[np.ndarray], native_sr: int, sr: int) -> Iterator[np.ndarray]:
    """Bring consecutive pieces of a signal to another sample rate.

    Parameters
    ----------
    chunks : iterable of np.ndarray [shape=(n_samples,), dtype=float32]
        One channel.
    native_sr, sr : int
        Sample rates in Hz of what comes in and of what goes out.

    Yields
    ------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        All together as many samples as soxr's high-quality recipe makes of the whole.
    """
    if native_sr == sr:
        yield from chunks
        return
    stream = soxr.ResampleStream(native_sr, sr, 1, dtype="float32", quality="soxr_hq")
    n_in = n_out = 0
    for chunk in chunks:
        n_in += len(chunk)
        y = stream.resample_chunk(chunk)
        n_out += len(y)
        yield y
    missing = math.ceil(n_in * (float(sr) / native_sr)) - n_out
    y = stream.resample_chunk(np.zeros(0, np.float32), last=True)[: max(missing, 0)]
    yield np.pad(y, (0, max(missing, 0) - len(y)))


def duration(path: Path | str) -> float:
    """Return how long a sound file is, in seconds, from its header where it has one.

    Raises
    ------
    AudioError
        If the file is missing, empty or not decodable.
    """
    with _opened(Path(path)) as file:
        if file.header is not None:
            return file.header.frames / file.sr
        return sum(len(block) for block in _mono_blocks(Path(path), file)) / file.sr


def segment_bounds(duration_s: float, segment_s: float) -> list[tuple[float, float]]:
    """Cut a clip's duration into consecutive segments of one length.

    A last segment that lacks up to 2 % of its length counts, and ends with the clip.
    A clip with room for one segment only is that segment, from its start to its end.

    Parameters
    ----------
    duration_s : float
        Length of the clip in seconds.
    segment_s : float
        Length of a segment in seconds, above 0.

    Returns
    -------
    bounds : list of (float, float)
        Start (included) and end (excluded) of each segment in seconds; empty where the
        clip is shorter than half a segment.

    Raises
    ------
    ValueError
        If `segment_s` is not a positive finite number.
    """
    if not (math.isfinite(segment_s) and segment_s > 0):
        raise ValueError(f"segment_s is {segment_s!r}; expected a length in seconds above 0")
    if duration_s < segment_s / 2:
        return []
    n_segments = max(1, math.floor(duration_s / segment_s + _MAY_LACK))
    if n_segments == 1:
        return [(0.0, duration_s)]
    return [
        (index * segment_s, min((index + 1) * segment_s, duration_s)) for index in range(n_segments)
    ]


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise AudioError(path, "no such file; expected a sound file there; check the path")
    if path.stat().st_size == 0:
        raise AudioError(path, "the file is empty (0 bytes); expected audio; fetch it again")


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a sound file as it is: all its channels at its own sample rate.

    Parameters
    ----------
    path : Path
        As for `load`.

    Returns
    -------
    channels : np.ndarray [shape=(n_samples, n_channels), dtype=float32]
        The signal, which may be empty and may hold NaN; full scale is -1 to 1.
    native_sr : int
        Sample rate of the file in Hz.

    Raises
    ------
    AudioError
        If the file is missing, empty, not decodable or cut off.
    """
    with _opened(path) as file:
        channels = file.read(-1)
        _check_complete(path, file, channels.shape[0])
        return channels, file.sr


_NO_SAMPLES = "holds no samples; expected music; fetch the file again"


@dataclass(frozen=True)
class _Opened:
    """A sound file that is being decoded.

    Attributes
    ----------
    sr : int
        Its own sample rate in Hz.
    read : callable
        Returns up to so many of the next samples, or all of them for -1
        [shape=(n_samples, n_channels), dtype=float32].
    stated_frames : int
        Length that its header states, 0 where it states none.
    header : sf.SoundFile or None
        What libsndfile knows of it; None where ffmpeg decodes it.
    """

    sr: int
    read: Callable[[int], np.ndarray]
    stated_frames: int = 0
    header: sf.SoundFile | None = None


@contextmanager
def _opened(path: Path) -> Iterator[_Opened]:
    _check_there(path)
    try:
        file = sf.SoundFile(path)
    except sf.LibsndfileError as error:
        with _opened_by_ffmpeg(path, error.error_string.rstrip(".")) as found:
            yield found
        return

    def read(n_samples: int) -> np.ndarray:
        try:
            return file.read(n_samples, dtype="float32", always_2d=True)
        except sf.LibsndfileError as error:
            raise AudioError(path, _BROKE_OFF) from error

    with file:
        _check_sr(path, file.samplerate)
        yield _Opened(file.samplerate, read, _stated_frames(file), file)


_BROKE_OFF = "decoding broke off before its end; the file is damaged: fetch it again"


def _mono_blocks(path: Path, file: _Opened) -> Iterator[np.ndarray]:
    n_samples = 0
    while len(channels := file.read(round(_BLOCK_S * file.sr))):
        _check_finite(path, channels)
        n_samples += len(channels)
        yield channels.mean(axis=1)
    if not n_samples:
        raise AudioError(path, _NO_SAMPLES)
    _check_complete(path, file, n_samples)


def _check_sr(path: Path, sr: int) -> None:
    if not PLAUSIBLE_SR[0] <= sr <= PLAUSIBLE_SR[1]:
        raise AudioError(
            path,
            f"states a sample rate of {sr} Hz; expected {PLAUSIBLE_SR[0]} to "
            f"{PLAUSIBLE_SR[1]}; fetch it again",
        )


def _check_finite(path: Path, channels: np.ndarray) -> None:
    n_bad = np.count_nonzero(~np.isfinite(channels))
    if n_bad:
        raise AudioError(
            path,
            f"{n_bad} of {channels.size} samples are NaN or infinite; expected finite numbers; "
            "write the file again from its source",
        )


def _check_complete(path: Path, file: _Opened, n_samples: int) -> None:
    if n_samples < (1 - _MAY_LACK) * file.stated_frames:
        raise AudioError(
            path,
            f"is cut off: {n_samples / file.sr:.2f} s are there of the "
            f"{file.stated_frames / file.sr:.2f} s that its header states; fetch it again",
        )


def _stated_frames(file: sf.SoundFile) -> int:
    """Return the length that a file's header states, 0 where it states none."""
    if file.format == "MP3":
        return 0  # an estimate
    # libsndfile quietly shortens a wav, au or aiff file to what is there; its log tells.
    size = re.search(r"(?:data|Data Size|SSND)\s*: (\d+) \(should be (\d+)\)", file.extra_info)
    if size is None:
        return file.frames
    stated, present = int(size[1]), int(size[2])
    return round(file.frames * stated / max(present, 1)) if stated < _STREAMED else 0


def _ffmpeg() -> str | None:
    """Return the program ffmpeg: the one on PATH, or that of the package imageio-ffmpeg."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return None


@contextmanager
def _opened_by_ffmpeg(path: Path, refusal: str) -> Iterator[_Opened]:
    program = _ffmpeg()
    if program is None:
        raise AudioError(
            path,
            f"libsndfile cannot decode it ({refusal}). If its format is one such as m4a or wma, "
            "install ffmpeg and put it on PATH, or pip install imageio-ffmpeg; else it is "
            "damaged or no audio: fetch it again",
        )
    # Nothing is fetched, whatever a playlist may name; au has the simplest header there is.
    command = [program, "-nostdin", "-v", "quiet", "-protocol_whitelist", "file", "-i"]
    command += [f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            header = process.stdout.read(_AU_HEADER.size)
            if len(header) < _AU_HEADER.size:
                raise AudioError(
                    path,
                    f"neither libsndfile ({refusal}) nor ffmpeg can decode it; it is damaged or "
                    "no audio: fetch it again",
                )
            _, offset, _, _, sr, n_channels = _AU_HEADER.unpack(header)
            process.stdout.read(offset - _AU_HEADER.size)
            _check_sr(path, sr)

            def read(n_samples: int) -> np.ndarray:
                wanted = 4 * n_channels * n_samples
                content = process.stdout.read(wanted if n_samples >= 0 else -1)
                is_end = n_samples < 0 or len(content) < wanted
                if is_end and process.wait():
                    raise AudioError(path, _BROKE_OFF)
                values = np.frombuffer(
                    content, ">f4", len(content) // (4 * n_channels) * n_channels
                )
                return values.astype(np.float32).reshape(-1, n_channels)

            yield _Opened(sr, read)
        finally:
            process.kill()


def _resample(y: np.ndarray, native_sr: int, sr: int) -> np.ndarray:
    if native_sr == sr:
        return y
    n_samples = math.ceil(len(y) * (float(sr) / native_sr))
    resampled = soxr.resample(y, native_sr, sr, quality="soxr_hq")[:n_samples]
    return np.pad(resampled, (0, n_samples - len(resampled)))
