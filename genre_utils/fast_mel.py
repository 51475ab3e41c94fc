"""Mel spectra by a Fourier transform that takes 16 frames side by side.

A library's transform works on one frame after the other. Here each step is done on the
same sample of 16 neighbouring frames (`genre_utils.lanes`), which is what a processor's
vector unit does best, and only powers in mel bands are ever written out. In single
precision.

The 2048 samples of a frame are taken for 1024 complex numbers: the even ones are the real,
the odd ones the imaginary parts. Their transform is 16 times 16 times 4 points: three
passes through a buffer that stays in the processor's caches. The last of them parts the
transforms of even and odd samples, and joins them to that of the frame.
"""

from functools import lru_cache

import librosa
import numpy as np
from numba import njit

from genre_utils.lanes import WIDTH, load, store, transpose, zeros

_N_FFT = 2048
_HALF = _N_FFT // 2
_PAIR = 2 * WIDTH
"""Numbers in a row: a real and an imaginary part for each frame."""

_COLUMN = (64 + 1) * _PAIR
"""Numbers from one column of 64 rows to the next: a spare row, for at distances of a power
of 2 they would all compete for the same few lines of the nearest cache."""

_TURNS = tuple((np.float32(np.cos(t)), np.float32(-np.sin(t))) for t in np.arange(10) * np.pi / 8)
"""Powers of the 16th root of unity, real and imaginary parts."""


def can_transform(n_fft: int, hop_length: int) -> bool:
    """Tell whether `power_in_bands` knows this frame: 2048 samples, 1 to 16 hops of them."""
    return n_fft == _N_FFT and hop_length % 128 == 0 and n_fft % hop_length == 0


def power_in_bands(
    y: np.ndarray, *, sr: int, n_fft: int, hop_length: int, n_mels: int
) -> np.ndarray:
    """Return ``librosa.feature.melspectrogram`` of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono signal.
    sr : int
        Sample rate in Hz.
    n_fft, hop_length : int
        Such that `can_transform` holds.
    n_mels : int
        Number of bands from 0 Hz to sr / 2.

    Returns
    -------
    S : np.ndarray [shape=(n_mels, 1 + n_samples // hop_length), dtype=float32]
    """
    S = np.empty((n_mels, 1 + len(y) // hop_length), np.float32)
    y = np.require(y, np.float32, ["C", "W"])  # else the rest is compiled once more
    _transform(y, hop_length, *_tables(hop_length), *_bands(sr, n_mels), S)
    return S


@lru_cache(maxsize=4)
def _tables(hop_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return half the window, the roots of unity, and where even samples are in `turned`."""
    window = librosa.filters.get_window("hann", _N_FFT, fftbins=True).astype(np.float32) / 2
    angles = -2 * np.pi * np.arange(_N_FFT) / _N_FFT
    roots = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    blocks, samples = np.divmod(np.arange(0, _N_FFT, 2), hop_length)
    return window, roots, samples * _PAIR + blocks


@lru_cache(maxsize=8)
def _bands(sr: int, n_mels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mel bank, and first and last bin + 1 of each band."""
    bank = librosa.filters.mel(sr=sr, n_fft=_N_FFT, n_mels=n_mels)
    used = bank > 0
    first = used.argmax(axis=1)
    end = np.where(used.any(axis=1), bank.shape[1] - used[:, ::-1].argmax(axis=1), first)
    return np.ascontiguousarray(bank), first, end


@njit(cache=True, nogil=True)
def _transform(y, hop, window, roots, places, bank, first, end, S):
    turned = np.empty(hop * _PAIR, np.float32)
    buffer = np.empty(16 * _COLUMN, np.float32)
    power = np.empty((_HALF + 1) * WIDTH, np.float32)
    _turn(y, -_HALF, hop, turned)
    for start in range(0, S.shape[1], WIDTH):
        _turn(y, (start + WIDTH) * hop - _HALF, hop, turned)
        _first_pass(turned, window, places, roots, buffer)
        for column in range(9):  # and the one that holds the mirror images of its bins
            _second_pass(buffer, column, roots)
            if column % 8:
                _second_pass(buffer, 16 - column, roots)
            _last_pass(buffer, column, roots, power)
        _sum_bands(power, bank, first, end, S, start)


@njit(cache=True, nogil=True)
def _turn(y, begin, hop, turned):
    """Move the right half of `turned` to the left, and put the next 16 blocks there.

    A row holds the same sample of 32 blocks, one hop long each; 16 numbers from the k-th on
    are that sample of the k-th block of 16 frames.
    """
    for row in range(hop):
        store(turned, row * _PAIR, load(turned, row * _PAIR + WIDTH))
    end = begin + WIDTH * hop
    if begin >= 0 and end <= len(y):
        _turn_blocks(y, begin, hop, turned)
    else:
        blocks = np.zeros(WIDTH * hop, np.float32)
        for n in range(max(begin, 0), min(end, len(y))):
            blocks[n - begin] = y[n]
        _turn_blocks(blocks, 0, hop, turned)


@njit(cache=True, nogil=True)
def _turn_blocks(y, begin, hop, turned):
    for row in range(0, hop, WIDTH):
        transpose(y, begin + row, hop, turned, row * _PAIR + WIDTH, _PAIR)


# ---- complex numbers are pairs; functions of them are compiled into those that call them


@njit(forceinline=True)
def _times(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


@njit(forceinline=True)
def _four(a, b, c, d):
    """Return the transform of four numbers."""
    sr, si, tr, ti = a[0] + c[0], a[1] + c[1], a[0] - c[0], a[1] - c[1]
    ur, ui, vr, vi = b[0] + d[0], b[1] + d[1], b[0] - d[0], b[1] - d[1]
    return (sr + ur, si + ui), (tr + vi, ti - vr), (sr - ur, si - ui), (tr - vi, ti + vr)


@njit(forceinline=True)
def _get(buffer, place):
    return load(buffer, place), load(buffer, place + WIDTH)


@njit(forceinline=True)
def _four_rows(buffer, place, step):
    """Return the transform of four rows."""
    a, b = _get(buffer, place), _get(buffer, place + step)
    return _four(a, b, _get(buffer, place + 2 * step), _get(buffer, place + 3 * step))


@njit(forceinline=True)
def _put(buffer, place, a, root):
    real, imag = _times(a, root)
    store(buffer, place, real)
    store(buffer, place + WIDTH, imag)


@njit(forceinline=True)
def _put_four(buffer, place, step, values, roots, turn, k):
    """Write rows k, k + 4, k + 8, k + 12, each turned that many times."""
    a, b, c, d = values
    _put(buffer, place + k * step, a, roots[k * turn])
    _put(buffer, place + (k + 4) * step, b, roots[(k + 4) * turn])
    _put(buffer, place + (k + 8) * step, c, roots[(k + 8) * turn])
    _put(buffer, place + (k + 12) * step, d, roots[(k + 12) * turn])


@njit(forceinline=True)
def _put_sixteen(buffer, place, step, a, b, c, d, roots, turn):
    """Join the transforms of every fourth of 16 numbers to that of all; write it."""
    values = _four(a[0], b[0], c[0], d[0])
    _put_four(buffer, place, step, values, roots, turn, 0)
    x, y, z = _times(b[1], _TURNS[1]), _times(c[1], _TURNS[2]), _times(d[1], _TURNS[3])
    _put_four(buffer, place, step, _four(a[1], x, y, z), roots, turn, 1)
    x, y, z = _times(b[2], _TURNS[2]), _times(c[2], _TURNS[4]), _times(d[2], _TURNS[6])
    _put_four(buffer, place, step, _four(a[2], x, y, z), roots, turn, 2)
    x, y, z = _times(b[3], _TURNS[3]), _times(c[3], _TURNS[6]), _times(d[3], _TURNS[9])
    _put_four(buffer, place, step, _four(a[3], x, y, z), roots, turn, 3)


# ---- the three passes


@njit(forceinline=True)
def _sample(turned, window, places, n):
    place = places[n]
    even, odd = load(turned, place), load(turned, place + _PAIR)
    return even * window[2 * n], odd * window[2 * n + 1]


@njit(forceinline=True)
def _four_samples(turned, window, places, n):
    a, b = _sample(turned, window, places, n), _sample(turned, window, places, n + 256)
    c, d = _sample(turned, window, places, n + 512), _sample(turned, window, places, n + 768)
    return _four(a, b, c, d)


@njit(cache=True, nogil=True)
def _first_pass(turned, window, places, roots, buffer):
    for n in range(64):
        a = _four_samples(turned, window, places, n)
        b = _four_samples(turned, window, places, n + 64)
        c = _four_samples(turned, window, places, n + 128)
        d = _four_samples(turned, window, places, n + 192)
        _put_sixteen(buffer, n * _PAIR, _COLUMN, a, b, c, d, roots, 2 * n)


@njit(cache=True, nogil=True)
def _second_pass(buffer, column, roots):
    for n in range(4):
        top = column * _COLUMN + n * _PAIR
        a = _four_rows(buffer, top, 16 * _PAIR)
        b = _four_rows(buffer, top + 4 * _PAIR, 16 * _PAIR)
        c = _four_rows(buffer, top + 8 * _PAIR, 16 * _PAIR)
        d = _four_rows(buffer, top + 12 * _PAIR, 16 * _PAIR)
        _put_sixteen(buffer, top, 4 * _PAIR, a, b, c, d, roots, 32 * n)


@njit(forceinline=True)
def _four_bins(buffer, f):
    """Return the bins f, f + 256, f + 512 and f + 768 of the transform of 1024 numbers."""
    return _four_rows(buffer, f % 16 * _COLUMN + f // 16 * 4 * _PAIR, _PAIR)


@njit(forceinline=True)
def _part(a, b, f, roots, power):
    """Write the powers in a frame's bins f and 1024 - f, given these of its 1024 numbers."""
    real, imag = a[0] + b[0], a[1] - b[1]
    turned = _times((a[1] + b[1], b[0] - a[0]), roots[f])
    sr, si, tr, ti = real + turned[0], imag + turned[1], real - turned[0], imag - turned[1]
    store(power, f * WIDTH, sr * sr + si * si)
    store(power, (_HALF - f) * WIDTH, tr * tr + ti * ti)


@njit(cache=True, nogil=True)
def _last_pass(buffer, column, roots, power):
    if column == 0:
        a, b, c, d = _four_bins(buffer, 0)
        _part(a, a, 0, roots, power)
        _part(b, d, 256, roots, power)
        _part(c, c, 512, roots, power)
    for f in range(column or 16, 256, 16):
        a, b, c, d = _four_bins(buffer, f)
        w, x, y, z = _four_bins(buffer, 256 - f)
        _part(a, z, f, roots, power)
        _part(b, y, f + 256, roots, power)
        _part(c, x, f + 512, roots, power)
        _part(d, w, f + 768, roots, power)


@njit(cache=True, nogil=True)
def _sum_bands(power, bank, first, end, S, start):
    flat, row = S.reshape(-1), np.empty(WIDTH, np.float32)
    width = min(WIDTH, S.shape[1] - start)
    for m in range(bank.shape[0]):
        total = zeros()
        for f in range(first[m], end[m]):
            total = total + load(power, f * WIDTH) * bank[m, f]
        if width == WIDTH:
            store(flat, m * S.shape[1] + start, total)
        else:
            store(row, 0, total)
            for k in range(width):
                S[m, start + k] = row[k]
