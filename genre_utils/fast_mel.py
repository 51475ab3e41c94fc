"""Mel spectra by a Fourier transform that takes many frames side by side.

A library's transform works on one frame after the other. Here each step is done on the
same sample of 64 neighbouring frames, which is what a processor's vector unit does best,
and only powers in mel bands are ever written to memory. In single precision.
"""

from functools import lru_cache

import librosa
import numpy as np
from numba import njit

_LANES = 64
"""Frames side by side: some vectors' worth, and still in the second cache."""


def can_transform(n_fft: int, hop_length: int) -> bool:
    """Tell whether `power_in_bands` knows this frame: 2 · 4**k samples, a whole number of hops."""
    half = n_fft // 2
    power_of_4 = half >= 16 and half & (half - 1) == 0 and half.bit_length() % 2 == 1
    return power_of_4 and hop_length % 2 == 0 and n_fft % hop_length == 0


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
    n_frames = 1 + len(y) // hop_length
    n_blocks = -(-n_frames // _LANES) * _LANES + n_fft // hop_length
    padded = np.zeros(max(n_blocks * hop_length, len(y) + n_fft // 2), np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(y)] = y
    blocks = padded[: n_blocks * hop_length].reshape(n_blocks, hop_length)
    turned = np.empty((hop_length, _LANES + n_fft // hop_length), np.float32)
    S = np.empty((n_mels, n_frames), np.float32)
    buffer = np.empty((n_fft // 2, 2 * _LANES), np.float32)
    power = np.empty((n_fft // 2 + 1, _LANES), np.float32)
    _transform(blocks, *_tables(n_fft), *_bands(sr, n_fft, n_mels), turned, buffer, power, S)
    return S


@lru_cache(maxsize=4)
def _tables(n_fft: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the window, the roots of unity, and where each bin ends up."""
    half = n_fft // 2
    window = librosa.filters.get_window("hann", n_fft, fftbins=True).astype(np.float32)
    angles = -2 * np.pi * np.arange(n_fft) / n_fft
    roots = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    places, rest = np.zeros(half, np.int64), np.arange(half)
    for _ in range((half.bit_length() - 1) // 2):
        places, rest = 4 * places + rest % 4, rest // 4
    return window, roots, places


@lru_cache(maxsize=8)
def _bands(sr: int, n_fft: int, n_mels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mel bank, and first and last bin + 1 of each band."""
    bank = librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels)
    used = bank > 0
    first = used.argmax(axis=1)
    end = np.where(used.any(axis=1), bank.shape[1] - used[:, ::-1].argmax(axis=1), first)
    return np.ascontiguousarray(bank), first, end


@njit(cache=True, nogil=True)
def _turn(rows, turned):
    """Transpose tile by tile."""
    for left in range(0, rows.shape[1], 16):
        for top in range(0, rows.shape[0], 16):
            for j in range(left, min(left + 16, rows.shape[1])):
                for i in range(top, min(top + 16, rows.shape[0])):
                    turned[j, i] = rows[i, j]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _transform(blocks, window, roots, places, bank, first, end, turned, buffer, power, S):
    for start in range(0, S.shape[1], _LANES):
        _turn(blocks[start : start + turned.shape[1]], turned)
        _load(turned, window, buffer)
        _pass(buffer, 0, buffer.shape[0], buffer.shape[0], roots)
        quarter = buffer.shape[0] // 4
        for top in range(0, buffer.shape[0], quarter):  # a quarter stays in the nearest cache
            length = quarter
            while length > 1:
                _pass(buffer, top, quarter, length, roots)
                length //= 4
        _powers(buffer, roots, places, power)
        _sum_bands(power, bank, first, end, S, start)


@njit(cache=True, nogil=True)
def _load(turned, window, buffer):
    """Even samples are the real, odd ones the imaginary part of half as many numbers."""
    hop = turned.shape[0]
    for block in range(2 * buffer.shape[0] // hop):
        for row in range(0, hop, 2):
            sample = block * hop + row
            n = sample // 2
            even, odd = window[sample], window[sample + 1]
            for k in range(_LANES):
                buffer[n, k] = even * turned[row, block + k]
                buffer[n, _LANES + k] = odd * turned[row + 1, block + k]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _pass(buffer, top, count, length, roots):
    """Do one step of radix 4, in place, on each stretch of `length` rows."""
    quarter, step = length // 4, roots.shape[0] // length
    for n in range(quarter):
        u1, v1 = roots[step * n, 0], roots[step * n, 1]
        u2, v2 = roots[2 * step * n, 0], roots[2 * step * n, 1]
        u3, v3 = roots[3 * step * n, 0], roots[3 * step * n, 1]
        for p0 in range(top + n, top + count, length):
            p1, p2, p3 = p0 + quarter, p0 + 2 * quarter, p0 + 3 * quarter
            for k in range(_LANES):
                ar, ai = buffer[p0, k], buffer[p0, _LANES + k]
                br, bi = buffer[p1, k], buffer[p1, _LANES + k]
                cr, ci = buffer[p2, k], buffer[p2, _LANES + k]
                dr, di = buffer[p3, k], buffer[p3, _LANES + k]
                sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
                ur, ui, vr, vi = br + dr, bi + di, bi - di, dr - br
                buffer[p0, k], buffer[p0, _LANES + k] = sr + ur, si + ui
                xr, xi = tr + vr, ti + vi
                buffer[p1, k], buffer[p1, _LANES + k] = xr * u1 - xi * v1, xr * v1 + xi * u1
                xr, xi = sr - ur, si - ui
                buffer[p2, k], buffer[p2, _LANES + k] = xr * u2 - xi * v2, xr * v2 + xi * u2
                xr, xi = tr - vr, ti - vi
                buffer[p3, k], buffer[p3, _LANES + k] = xr * u3 - xi * v3, xr * v3 + xi * u3


@njit(cache=True, nogil=True, fastmath={"contract"})
def _powers(buffer, roots, places, power):
    """Part the transforms of even and odd samples, and join them to the real signal's."""
    half = buffer.shape[0]
    quarter = np.float32(0.25)
    for k in range(_LANES):
        real, imag = buffer[0, k], buffer[0, _LANES + k]
        power[0, k] = (real + imag) ** 2
        power[half, k] = (real - imag) ** 2
    for f in range(1, half // 2 + 1):
        p, q, mirror = places[f], places[half - f], half - f
        u, v = roots[f, 0], roots[f, 1]
        for k in range(_LANES):
            ar, ai = buffer[p, k], buffer[p, _LANES + k]
            br, bi = buffer[q, k], -buffer[q, _LANES + k]
            er, ei = ar + br, ai + bi
            gr, gi = ai - bi, br - ar
            wr, wi = gr * u - gi * v, gr * v + gi * u
            power[f, k] = quarter * ((er + wr) * (er + wr) + (ei + wi) * (ei + wi))
            power[mirror, k] = quarter * ((er - wr) * (er - wr) + (ei - wi) * (ei - wi))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _sum_bands(power, bank, first, end, S, start):
    total = np.empty(_LANES, np.float32)
    width = min(_LANES, S.shape[1] - start)
    for m in range(bank.shape[0]):
        total[:] = 0
        for f in range(first[m], end[m]):
            weight = bank[m, f]
            for k in range(_LANES):
                total[k] += weight * power[f, k]
        S[m, start : start + width] = total[:width]
