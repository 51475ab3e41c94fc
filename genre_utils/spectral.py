"""Spectra of many signals at once, and what takes longest on them, compiled.

The functions know no feature and no data set. Values are librosa's; see `features`
for what is made of them.
"""

from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
import scipy.fft
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

_FRAMES_AT_ONCE = 64
"""Frames that are transformed together: few enough to stay in a core's own cache."""

_LANES = 128
"""Neighbouring columns of which a running median is taken together."""


@dataclass(frozen=True)
class Frames:
    """Spectra of several signals, one after the other.

    Attributes
    ----------
    edges : np.ndarray [shape=(n_signals + 1,), dtype=int64]
        First frame of each signal, then the number of frames.
    complex : np.ndarray [shape=(n_frames, 1 + n_fft // 2), dtype=complex64]
        Short-time Fourier transform; a row is a frame.
    magnitude, power : np.ndarray [shape=(n_frames, 1 + n_fft // 2), dtype=float32]
        Its magnitude, and that squared.
    """

    edges: np.ndarray
    complex: np.ndarray
    magnitude: np.ndarray
    power: np.ndarray

    def split(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return each signal's part of an array that has one row a frame."""
        return [rows[a:b] for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)]


class Workspace:
    """Memory that one call after the other uses, for the spectra of `frames`.

    Asking the system for fresh memory takes as long as the transforms themselves.
    """

    _KEPT_BYTES = 64 * 2**20

    def __init__(self):
        self._memory = np.empty(0, np.uint8)

    def arrays(self, shape: tuple[int, int], *dtypes: type) -> list[np.ndarray]:
        """Return uninitialised arrays, which the next call hands out again."""
        sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype in dtypes]
        memory = self._memory
        if sum(sizes) > memory.size:
            memory = np.empty(sum(sizes), np.uint8)
            if memory.size <= self._KEPT_BYTES:
                self._memory = memory
        starts = np.cumsum([0, *sizes])
        return [
            memory[start : start + size].view(dtype).reshape(shape)
            for start, size, dtype in zip(starts, sizes, dtypes, strict=False)
        ]


def frames(
    signals: list[np.ndarray], *, n_fft: int, hop_length: int, workspace: Workspace | None = None
) -> Frames:
    """Transform signals as ``librosa.stft`` does each of them alone.

    Parameters
    ----------
    signals : list of np.ndarray [shape=(n_samples,)]
        Mono signals, of any lengths.
    n_fft, hop_length : int
        Length of a frame and step between frames, in samples; frames are centred, the
        signal is continued by zeros, and the window is Hann's.
    workspace : Workspace, optional
        Memory for the result, which is then gone at the next call with it.
    """
    counts = [1 + len(y) // hop_length for y in signals]
    edges = np.concatenate([[0], np.cumsum(counts)])
    shape = (int(edges[-1]), 1 + n_fft // 2)
    workspace = workspace or Workspace()
    made = Frames(edges, *workspace.arrays(shape, np.complex64, np.float32, np.float32))
    for y, start in zip(signals, edges, strict=False):
        for first, spectra in _transformed(y, n_fft, hop_length):
            rows = slice(start + first, start + first + len(spectra))
            made.complex[rows] = spectra
            np.abs(made.complex[rows], out=made.magnitude[rows])
            np.square(made.magnitude[rows], out=made.power[rows])
    return made


def _transformed(y: np.ndarray, n_fft: int, hop_length: int):
    """Yield (first frame, spectra [shape=(n_frames, n_bins), dtype=complex])."""
    # In double precision, as librosa: far below the loudest bin single precision is noise.
    padded = np.zeros(len(y) + 2 * (n_fft // 2))
    padded[n_fft // 2 : n_fft // 2 + len(y)] = y
    framed = sliding_window_view(padded, n_fft)[::hop_length][: 1 + len(y) // hop_length]
    window = hann(n_fft)
    for first in range(0, len(framed), _FRAMES_AT_ONCE):
        windowed = framed[first : first + _FRAMES_AT_ONCE] * window
        yield first, scipy.fft.rfft(windowed, axis=1, overwrite_x=True)


@lru_cache(maxsize=8)
def hann(length: int) -> np.ndarray:
    """Return Hann's window for spectra [shape=(length,), dtype=float64]."""
    return librosa.filters.get_window("hann", length, fftbins=True)


@dataclass(frozen=True)
class _Network:
    """A straight list of comparisons that gives many running medians at once.

    Attributes
    ----------
    steps : np.ndarray [shape=(n_steps, 4), dtype=int64]
        Cells ``a, b, low, high``: the smaller of ``a`` and ``b`` goes to ``low``, the larger
        to ``high``.
    inputs, outputs : np.ndarray [dtype=int64]
        Cells that hold the values to begin with, and the medians in the end.
    n_cells : int
        Number of cells.
    """

    steps: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    n_cells: int


class _NetworkBuilder:
    """Write down the comparisons; every value has a name of its own."""

    def __init__(self, n_inputs: int):
        self.steps: list[tuple[int, int, int, int]] = []
        self.n_values = n_inputs

    def compare(self, a: int, b: int) -> tuple[int, int]:
        low, high = self.n_values, self.n_values + 1
        self.n_values += 2
        self.steps.append((a, b, low, high))
        return low, high

    def sort(self, values: list[int]) -> list[int]:
        """Batcher's odd-even merge sort of 2**k values."""
        if len(values) == 1:
            return values
        half = len(values) // 2
        return self._merge(self.sort(values[:half]), self.sort(values[half:]))

    def _merge(self, left: list[int], right: list[int]) -> list[int]:
        if len(left) == 1:
            return list(self.compare(left[0], right[0]))
        even = self._merge(left[::2], right[::2])
        odd = self._merge(left[1::2], right[1::2])
        pairs = [self.compare(a, b) for a, b in zip(odd[:-1], even[1:], strict=True)]
        return [even[0], *(value for pair in pairs for value in pair), odd[-1]]

    def _sort_bitonic(self, values: list[int]) -> list[int]:
        if len(values) == 1:
            return values
        half = len(values) // 2
        pairs = [self.compare(a, b) for a, b in zip(values[:half], values[half:], strict=True)]
        low, high = zip(*pairs, strict=True)
        return self._sort_bitonic(list(low)) + self._sort_bitonic(list(high))

    def middle(self, twice: list[int], once: list[int]) -> list[int]:
        """Return the middle n of 3n values, sorted, from 2n and n sorted ones."""
        n = len(once)
        # What is not among the n largest, then what of that is not among the n smallest.
        rest = [self.compare(a, b)[0] for a, b in zip(twice[n:], once[::-1], strict=True)]
        rest = self._sort_bitonic(rest)
        kept = [self.compare(a, b)[1] for a, b in zip(twice[:n], rest[::-1], strict=True)]
        return self._sort_bitonic(kept)


def _running_median_network(width: int) -> _Network:
    """Return the network for (width + 1) / 2 neighbouring medians; width is 2**k - 1.

    The windows share their middle, which is sorted once. Each half of the windows shares
    some more values on one side, and so on down to the single window; on the way only
    those values are kept that can still be a median (after Adams, "Fast median filters
    using separable sorting networks", ACM Transactions on Graphics 40(4), 2021).
    """
    at_once = (width + 1) // 2
    n_inputs = width + at_once - 1
    builder = _NetworkBuilder(n_inputs)
    outputs: list[int] = []

    def descend(kept: list[int], first: int, last: int) -> None:
        if first == last:
            outputs.extend(kept)
            return
        half = (last - first + 1) // 2
        shared_from, shared_to = last, first + width  # what all these windows share
        left = builder.sort(list(range(shared_from - half, shared_from)))
        descend(builder.middle(kept, left), first, last - half)
        right = builder.sort(list(range(shared_to, shared_to + half)))
        descend(builder.middle(kept, right), first + half, last)

    shared = builder.sort(list(range(at_once - 1, width)))
    descend(shared, 0, at_once - 1)
    return _with_few_cells(builder.steps, n_inputs, outputs)


def _with_few_cells(
    steps: list[tuple[int, int, int, int]], n_inputs: int, outputs: list[int]
) -> _Network:
    """Give each value a cell, and use a cell again once its value is read no more."""
    used = set(outputs)
    needed = []
    for a, b, low, high in reversed(steps):
        if low in used or high in used:
            used |= {a, b}
            needed.append((a, b, low, high))
    needed.reverse()
    last_read = {value: k for k, step in enumerate(needed) for value in step[:2]}
    last_read |= dict.fromkeys(outputs, len(needed))
    cell = {value: value for value in range(n_inputs)}
    free: list[int] = []
    n_cells = n_inputs
    compact = []
    for k, (a, b, low, high) in enumerate(needed):
        for value in (low, high):
            if not free:
                free.append(n_cells)
                n_cells += 1
            cell[value] = free.pop()
        compact.append((cell[a], cell[b], cell[low], cell[high]))
        # Only now: a step that wrote where it reads could not be done in vectors.
        read_no_more = [value for value in (a, b) if last_read[value] == k]
        unread = [value for value in (low, high) if value not in last_read]
        free += [cell[value] for value in read_no_more + unread]
    return _Network(
        np.array(compact), np.arange(n_inputs), np.array([cell[v] for v in outputs]), n_cells
    )


_MEDIAN_WIDTH = 31
_MEDIAN = _running_median_network(_MEDIAN_WIDTH)


@njit(cache=True, nogil=True)
def _medians_of_columns(S, order, steps, inputs, outputs, cells, medians):
    """Take medians down the columns of S; `order` says which rows, with reflections."""
    n_rows, n_columns = medians.shape
    n_lanes = cells.shape[1]
    for left in range(0, n_columns, n_lanes):
        width = min(n_lanes, n_columns - left)
        for top in range(0, n_rows, len(outputs)):
            for k in range(len(inputs)):
                row = order[min(top + k, len(order) - 1)]
                for lane in range(width):
                    cells[inputs[k], lane] = S[row, left + lane]
            for k in range(len(steps)):
                a, b, low, high = steps[k, 0], steps[k, 1], steps[k, 2], steps[k, 3]
                for lane in range(n_lanes):
                    x, y = cells[a, lane], cells[b, lane]
                    cells[low, lane] = x if x < y else y
                    cells[high, lane] = y if x < y else x
            for k in range(min(len(outputs), n_rows - top)):
                for lane in range(width):
                    medians[top + k, left + lane] = cells[outputs[k], lane]


def running_median(S: np.ndarray, first: int = 0, end: int | None = None) -> np.ndarray:
    """Return ``scipy.ndimage.median_filter(S, size=(31, 1), mode="reflect")[first:end]``.

    Parameters
    ----------
    S : np.ndarray [shape=(n_rows, n_columns), dtype=float32]
        Without NaN.
    first, end : int
        The rows wanted.
    """
    half = _MEDIAN_WIDTH // 2
    end = len(S) if end is None else min(end, len(S))
    rows = np.pad(np.arange(len(S)), half, mode="symmetric")[first : end + 2 * half]
    medians = np.empty((max(end - first, 0), S.shape[1]), np.float32)
    cells = np.zeros((_MEDIAN.n_cells, _LANES), np.float32)
    net = _MEDIAN
    _medians_of_columns(S, rows, net.steps, net.inputs, net.outputs, cells, medians)
    return medians


def harmonic_waveform(
    spectra: np.ndarray, magnitude: np.ndarray, *, hop_length: int, length: int
) -> np.ndarray:
    """Return the held, pitched part of a signal, as ``librosa.effects.harmonic``.

    What the signal has besides is its percussive part: the two masks add up to 1.

    Parameters
    ----------
    spectra, magnitude : np.ndarray [shape=(n_frames, 1 + n_fft // 2)]
        The signal's `frames`.
    hop_length, length : int
        Step between frames, and length of the signal, in samples.

    Returns
    -------
    y : np.ndarray [shape=(length,), dtype=float32]
        The waveform.
    """
    n_fft = 2 * (spectra.shape[1] - 1)
    window = hann(n_fft).astype(np.float32)
    total = np.zeros(n_fft + hop_length * (len(spectra) - 1), np.float32)
    for first in range(0, len(spectra), _LANES):
        rows = slice(first, first + _LANES)
        held = running_median(magnitude, first, first + _LANES)
        struck = running_median(np.ascontiguousarray(magnitude[rows].T))
        masked = _masked(spectra[rows], held, np.ascontiguousarray(struck.T))
        pieces = scipy.fft.irfft(masked, n=n_fft, axis=1)
        _overlap_add(pieces, window, hop_length, total[first * hop_length :])
    y = total[n_fft // 2 : n_fft // 2 + length]
    y /= _window_sums(n_fft, hop_length, len(spectra))[n_fft // 2 : n_fft // 2 + length]
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def _masked(spectra, held, struck):
    masked = np.empty_like(spectra)
    for t in range(spectra.shape[0]):
        for f in range(spectra.shape[1]):
            h, p = held[t, f], struck[t, f]
            largest = max(h, p)
            scale = largest if largest >= np.float32(1.1754944e-38) else np.float32(1)
            h, p = h / scale, p / scale
            h, p = h * h, p * p
            mask = h / (h + p) if h + p > 0 else np.float32(0.5)
            masked[t, f] = spectra[t, f] * mask
    return masked


@njit(cache=True, nogil=True)
def _overlap_add(pieces, window, hop_length, total):
    for t in range(pieces.shape[0]):
        start = t * hop_length
        for k in range(pieces.shape[1]):
            total[start + k] += window[k] * pieces[t, k]


@lru_cache(maxsize=16)
def _window_sums(n_fft: int, hop_length: int, n_frames: int) -> np.ndarray:
    return librosa.filters.window_sumsquare(
        window="hann", n_frames=n_frames, n_fft=n_fft, hop_length=hop_length, dtype=np.float32
    )


@njit(cache=True, nogil=True)
def _peaks(power, first_bin, end_bin, hz_per_bin):
    n_frames = power.shape[0]
    pitches = np.empty(n_frames * ((end_bin - first_bin) // 2 + 1), np.float32)
    sizes = np.empty_like(pitches)
    n = 0
    for t in range(n_frames):
        row = power[t]
        largest = np.float32(0)
        for f in range(row.shape[0]):
            largest = row[f] if row[f] > largest else largest
        floor = np.float32(0.1) * largest
        for f in range(first_bin, end_bin):
            here = row[f]
            if here <= floor:
                continue
            before, after = row[f - 1], row[f + 1]
            if (before > floor and here <= before) or (after > floor and here < after):
                continue
            # Single and double precision as in librosa, so that ties fall the same way.
            bend = (after + before) - 2.0 * here
            slope = np.float32(after - before) / 2.0
            shift = np.float32(0) if abs(slope) >= abs(bend) else np.float32(-slope / bend)
            pitches[n] = (f + np.float64(shift)) * hz_per_bin
            gradient = np.float32(slope)
            sizes[n] = here + (np.float32(0.5) * gradient) * shift
            n += 1
    return pitches[:n], sizes[:n]


def tuning(power: np.ndarray, *, sr: int) -> float:
    """Return ``librosa.estimate_tuning(S=power.T, sr=sr)``; 0 where there is no pitch.

    Parameters
    ----------
    power : np.ndarray [shape=(n_frames, 1 + n_fft // 2), dtype=float32]
        Magnitude or power spectra.
    sr : int
        Sample rate in Hz.
    """
    n_fft = 2 * (power.shape[1] - 1)
    hz = librosa.fft_frequencies(sr=sr, n_fft=n_fft)
    first, end = np.searchsorted(hz, [150.0, min(4000.0, sr / 2)])
    pitches, sizes = _peaks(power, max(first, 1), min(end, len(hz) - 1), sr / n_fft)
    if not len(pitches):
        return 0.0
    return librosa.pitch_tuning(pitches[sizes >= np.median(sizes)])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def centre_and_spread(magnitude, hz):
    """Return the spectral centroid and bandwidth of each frame, as librosa.

    Parameters
    ----------
    magnitude : np.ndarray [shape=(n_frames, n_bins), dtype=float32]
        Magnitude spectra.
    hz : np.ndarray [shape=(n_bins,), dtype=float64]
        Frequency of each bin.

    Returns
    -------
    series : np.ndarray [shape=(2, n_frames), dtype=float64]
        In Hz; 0 where a frame is silent.
    """
    series = np.zeros((2, magnitude.shape[0]))
    for t in range(magnitude.shape[0]):
        row = magnitude[t]
        total, weighted = 0.0, 0.0
        for f in range(row.shape[0]):
            total += row[f]
            weighted += row[f] * hz[f]
        if total < 1.1754944e-38:
            continue
        centroid = weighted / total
        spread = 0.0
        for f in range(row.shape[0]):
            spread += row[f] * (hz[f] - centroid) ** 2
        series[0, t], series[1, t] = centroid, np.sqrt(spread / total)
    return series


@njit(cache=True, nogil=True)
def rolloff(magnitude, hz, share):
    """Return the frequency up to which a share of each frame's magnitude lies, as librosa.

    Parameters
    ----------
    magnitude, hz
        As in `centre_and_spread`.
    share : float
        Above 0, below 1.

    Returns
    -------
    series : np.ndarray [shape=(n_frames,), dtype=float64]
        In Hz; 0 where a frame is silent.
    """
    series = np.zeros(magnitude.shape[0])
    for t in range(magnitude.shape[0]):
        row = magnitude[t]
        # Summed bin by bin in single precision, as librosa, so that ties fall the same way.
        total = np.float32(0)
        for f in range(row.shape[0]):
            total += row[f]
        wanted = np.float32(share) * total
        reached, f = row[0], 0
        while reached < wanted:
            f += 1
            reached += row[f]
        series[t] = hz[f]
    return series


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def mean_and_variance(series):
    """Return mean and variance of a series, summed in double precision.

    Parameters
    ----------
    series : np.ndarray [shape=(n,)]

    Returns
    -------
    mean, variance : float
    """
    total = 0.0
    for n in range(len(series)):
        total += series[n]
    mean = total / len(series)
    squares = 0.0
    for n in range(len(series)):
        squares += (series[n] - mean) ** 2
    return mean, squares / len(series)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def loudness(y, n_fft, hop_length):
    """Return the root mean square of each centred frame, as ``librosa.feature.rms``.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono signal.
    n_fft, hop_length : int
        Length of a frame, an even multiple of the step between frames, in samples.

    Returns
    -------
    rms : np.ndarray [shape=(1 + n_samples // hop_length,), dtype=float64]
    """
    n_frames = 1 + len(y) // hop_length
    squares = np.zeros(n_frames)
    for block in range(n_frames):
        for n in range(block * hop_length, min((block + 1) * hop_length, len(y))):
            squares[block] += np.float64(y[n]) * np.float64(y[n])
    rms = np.zeros(n_frames)
    half = n_fft // hop_length // 2
    for t in range(n_frames):
        for block in range(max(t - half, 0), min(t + half, n_frames)):
            rms[t] += squares[block]
        rms[t] = np.sqrt(rms[t] / n_fft)
    return rms


@njit(cache=True, nogil=True)
def zero_crossings(y, n_fft, hop_length):
    """Return the zero-crossing rate of each centred frame, as librosa.

    Parameters
    ----------
    y, n_fft, hop_length
        As in `loudness`.

    Returns
    -------
    rate : np.ndarray [shape=(1 + n_samples // hop_length,), dtype=float64]
        Share of samples whose sign differs from that of the one before.
    """
    n_frames = 1 + len(y) // hop_length
    floor = np.float32(-1e-10)
    changes, at_start = np.zeros(n_frames), np.zeros(n_frames)
    for block in range(n_frames):
        start, end = block * hop_length, min((block + 1) * hop_length, len(y))
        count = 0
        for n in range(max(start, 1), end):
            count += (y[n] < floor) ^ (y[n - 1] < floor)
        changes[block] = count
        if 0 < start < end:
            at_start[block] = (y[start] < floor) ^ (y[start - 1] < floor)
    rate = np.zeros(n_frames)
    half = n_fft // hop_length // 2
    for t in range(n_frames):
        for block in range(max(t - half, 0), min(t + half, n_frames)):
            rate[t] += changes[block]
        if t >= half:
            rate[t] -= at_start[t - half]  # a frame's first sample has none before it
        rate[t] /= n_fft
    return rate


def mel_spectrum(y: np.ndarray, *, sr: int, n_fft: int, hop_length: int, n_mels: int) -> np.ndarray:
    """Return ``librosa.feature.melspectrogram`` of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono signal.
    sr : int
        Sample rate in Hz.
    n_fft, hop_length : int
        Length of a frame and step between frames, in samples.
    n_mels : int
        Number of bands from 0 Hz to sr / 2.

    Returns
    -------
    S : np.ndarray [shape=(1 + n_samples // hop_length, n_mels), dtype=float32]
    """
    bands = np.empty((1 + len(y) // hop_length, n_mels), np.float32)
    power = np.empty((_FRAMES_AT_ONCE, 1 + n_fft // 2), np.float32)
    for first, spectra in _transformed(y, n_fft, hop_length):
        here = power[: len(spectra)]
        _squared(spectra, here)
        _into_bands(here, sr, bands[first : first + len(spectra)])
    return bands


@njit(cache=True, nogil=True)
def _squared(spectra, power):
    for t in range(spectra.shape[0]):
        for f in range(spectra.shape[1]):
            power[t, f] = spectra[t, f].real ** 2 + spectra[t, f].imag ** 2


def mel(power: np.ndarray, *, sr: int, n_mels: int) -> np.ndarray:
    """Return the energy in mel bands, as ``librosa.feature.melspectrogram``.

    Parameters
    ----------
    power : np.ndarray [shape=(n_frames, 1 + n_fft // 2), dtype=float32]
        Power spectra.
    sr : int
        Sample rate in Hz.
    n_mels : int
        Number of bands from 0 Hz to sr / 2.

    Returns
    -------
    S : np.ndarray [shape=(n_frames, n_mels), dtype=float32]
    """
    bands = np.empty((len(power), n_mels), np.float32)
    _into_bands(power, sr, bands)
    return bands


def _into_bands(power: np.ndarray, sr: int, bands: np.ndarray) -> None:
    for columns, bins, weights in _mel_bank(sr, 2 * (power.shape[1] - 1), bands.shape[1]):
        np.matmul(power[:, bins], weights, out=bands[:, columns])


@lru_cache(maxsize=16)
def _mel_bank(sr: int, n_fft: int, n_mels: int) -> tuple[tuple[slice, slice, np.ndarray], ...]:
    """Return the bank in pieces of a few bands, each without the bins that are 0."""
    bank = librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels)
    pieces = []
    for first in range(0, n_mels, 32):
        piece = bank[first : first + 32]
        used = np.flatnonzero(piece.any(axis=0))
        bins = slice(used[0], used[-1] + 1) if len(used) else slice(0, 1)
        columns = slice(first, first + len(piece))
        pieces.append((columns, bins, np.ascontiguousarray(piece[:, bins].T)))
    return tuple(pieces)


def decibels(power: np.ndarray, *, top_db: float = 80.0) -> np.ndarray:
    """Return ``librosa.power_to_db(power)``, in place.

    Parameters
    ----------
    power : np.ndarray [shape=(n_frames, n_bands), dtype=float32]
        Of one signal; the axes may be the other way round.
    top_db : float
        How far below its largest value the smallest can be.
    """
    _raise_to(power, np.float32(1e-10))
    np.log10(power, out=power)
    power *= 10
    _raise_to(power, power.max() - np.float32(top_db))
    return power


@njit(cache=True, nogil=True)
def _raise_to(values, floor):
    # np.maximum with a single number takes ten times as long.
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j] = floor if values[i, j] < floor else values[i, j]


_TEMPO_WINDOW_S = 8.0
_START_BPM, _MAX_BPM = 120.0, 320.0


def tempo(mel_db: np.ndarray, *, sr: int, hop_length: int) -> float:
    """Return the tempo of ``librosa.beat.beat_track`` in beats per minute.

    The beats themselves are not sought; the autocorrelations of the onset strength are
    averaged before they are transformed back.

    Parameters
    ----------
    mel_db : np.ndarray [shape=(n_frames, n_mels), dtype=float32]
        Mel spectrogram of a signal in dB.
    sr, hop_length : int
        Sample rate in Hz, and step between frames in samples.

    Returns
    -------
    bpm : float
        0 where nothing starts.
    """
    onsets = np.zeros(len(mel_db))
    late = 1 + _ONSET_DELAY
    rises = np.maximum(mel_db[1:] - mel_db[:-1], 0)
    onsets[late:] = np.median(rises, axis=1)[: max(len(mel_db) - late, 0)]
    if not onsets.any():
        return 0.0
    width = int(librosa.time_to_frames(_TEMPO_WINDOW_S, sr=sr, hop_length=hop_length))
    padded = np.pad(onsets, width // 2, mode="linear_ramp", end_values=0)
    framed = sliding_window_view(padded, width)[: len(onsets)] * hann(width)
    energy = np.einsum("tk,tk->t", framed, framed)
    spectra = scipy.fft.rfft(framed, n=scipy.fft.next_fast_len(2 * width - 1, real=True), axis=1)
    weights = 1 / np.where(energy < np.finfo(np.float64).tiny, 1, energy)
    mean = weights @ (spectra.real**2 + spectra.imag**2) / len(onsets)
    lags = scipy.fft.irfft(mean, n=scipy.fft.next_fast_len(2 * width - 1, real=True))[:width]
    bpm = librosa.tempo_frequencies(width, sr=sr, hop_length=hop_length)
    prior = -0.5 * (np.log2(bpm) - np.log2(_START_BPM)) ** 2
    prior[: np.argmax(bpm < _MAX_BPM)] = -np.inf
    return bpm[np.argmax(np.log1p(1e6 * lags) + prior)]


_ONSET_DELAY = 2
"""Frames by which librosa shifts onsets, so that they lie where they are heard."""
