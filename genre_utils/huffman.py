"""Entropy coding of small numbers: the shortest code that gives each symbol whole bits [1]_.

References
----------
.. [1] Huffman, "A method for the construction of minimum-redundancy codes", Proceedings of
   the IRE 40(9), 1952.
"""

import heapq
import struct

import numpy as np
from numba import njit

from genre_utils.project import ProjectError

_LONGEST = 16
_N_SYMBOLS = 256


class CodeError(ProjectError):
    """Coded symbols that are damaged or cut off."""


def encode(symbols: np.ndarray) -> bytes:
    """Return symbols in a code that is made for them, with what it takes to read it.

    Parameters
    ----------
    symbols : np.ndarray [shape=(n,), dtype=uint8]
        Of any number, none included.
    """
    symbols = np.ascontiguousarray(symbols, np.uint8)
    lengths = _lengths(np.bincount(symbols, minlength=_N_SYMBOLS))
    codes = _codes(lengths)
    used = int(np.flatnonzero(lengths).max(initial=-1)) + 1
    header = struct.pack("<QH", len(symbols), used) + lengths[:used].tobytes()
    return header + np.packbits(_bits(codes[symbols], lengths[symbols])).tobytes()


def decode(data: bytes) -> np.ndarray:
    """Return the symbols of which `encode` made some bytes.

    Raises
    ------
    CodeError
        If the bytes are cut off, or no code made by `encode`.
    """
    try:
        n_symbols, used = struct.unpack_from("<QH", data)
    except struct.error as error:
        raise CodeError("coded symbols end before they begin; write the file again") from error
    start = struct.calcsize("<QH")
    lengths = np.zeros(_N_SYMBOLS, np.uint8)
    given = np.frombuffer(data[start : start + used], np.uint8)
    stream = np.frombuffer(data[start + used :], np.uint8)
    if used > _N_SYMBOLS or len(given) < used or n_symbols > 8 * len(stream):
        raise CodeError("coded symbols are cut off; write the file again")
    lengths[:used] = given
    if lengths.max() > _LONGEST or (n_symbols and _filled(lengths) > 1):
        raise CodeError("no code has such lengths; the file is damaged, write it again")
    # Zeros at the end: the last symbols are read with a window that reaches beyond them.
    padded = np.concatenate([stream, np.zeros(4, np.uint8)])
    symbols = np.empty(n_symbols, np.uint8)
    if n_symbols and not _read(padded, 8 * len(stream), *_table(lengths), symbols):
        raise CodeError("coded symbols are cut off or damaged; write the file again")
    return symbols


def _lengths(counts: np.ndarray) -> np.ndarray:
    """Return the number of bits of each symbol's code, at most `_LONGEST`; 0 if it is unused."""
    lengths = np.zeros(_N_SYMBOLS, np.uint8)
    symbols = np.flatnonzero(counts)
    if len(symbols) == 1:
        lengths[symbols] = 1
        return lengths
    weights = counts.astype(np.int64)
    while True:
        depth = _depths(weights, symbols)
        if max(depth.values(), default=0) <= _LONGEST:
            break
        # Rare symbols are taken for less rare until none needs too long a code.
        weights[symbols] = weights[symbols] // 2 + 1
    for symbol, bits in depth.items():
        lengths[symbol] = bits
    return lengths


def _depths(weights: np.ndarray, symbols: np.ndarray) -> dict[int, int]:
    heap = [(int(weights[symbol]), int(symbol), (int(symbol),)) for symbol in symbols]
    heapq.heapify(heap)
    depth = dict.fromkeys(map(int, symbols), 0)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in first[2] + second[2]:
            depth[symbol] += 1
        heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), first[2] + second[2]))
    return depth


def _filled(lengths: np.ndarray) -> float:
    """Return how much of all codes is taken: at most 1, by Kraft's inequality."""
    return float((0.5 ** lengths[lengths > 0].astype(float)).sum())


def _codes(lengths: np.ndarray) -> np.ndarray:
    """Return the canonical code of each symbol: in the order of length, then of symbol."""
    codes = np.zeros(_N_SYMBOLS, np.uint32)
    code = before = 0
    for symbol in np.lexsort((np.arange(_N_SYMBOLS), lengths)):
        bits = int(lengths[symbol])
        if not bits:
            continue
        code <<= bits - before
        codes[symbol], before = code, bits
        code += 1
    return codes


def _bits(codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return codes one after the other, one bit an element, the highest bit first."""
    ends = np.cumsum(lengths, dtype=np.int64)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for place in range(_LONGEST):
        has = lengths > place
        bits[ends[has] - 1 - place] = (codes[has] >> place) & 1
    return bits


def _table(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the symbol, and the bits it takes, for every window of `_LONGEST` bits."""
    symbol_of = np.zeros(1 << _LONGEST, np.uint8)
    bits_of = np.zeros(1 << _LONGEST, np.uint8)
    codes = _codes(lengths)
    for symbol in np.flatnonzero(lengths):
        rest = _LONGEST - int(lengths[symbol])
        first = int(codes[symbol]) << rest
        symbol_of[first : first + (1 << rest)] = symbol
        bits_of[first : first + (1 << rest)] = lengths[symbol]
    return symbol_of, bits_of


@njit(cache=True, nogil=True)
def _read(stream, n_bits, symbol_of, bits_of, symbols):
    place = 0
    for index in range(len(symbols)):
        byte = place >> 3
        if byte + 2 >= len(stream):
            return False
        window = (
            (np.uint32(stream[byte]) << 16)
            | (np.uint32(stream[byte + 1]) << 8)
            | np.uint32(stream[byte + 2])
        )
        window = (window >> (8 - (place & 7))) & 0xFFFF
        if bits_of[window] == 0:
            return False
        symbols[index] = symbol_of[window]
        place += bits_of[window]
    return place <= n_bits
