"""Weights that share a few values, and a file that stores them in few bits [1]_.

Every large weight of a network becomes one of 2**bits values of its layer; small ones
(biases, scales) are stored as they are in 16 bits. The file keeps, of each layer, the
values, which weight has which, and, where most weights are zero, how far it is from one
that is not to the next; both are entropy-coded.

References
----------
.. [1] Han, Mao & Dally, "Deep compression: compressing deep neural networks with pruning,
   trained quantization and Huffman coding", ICLR 2016.
"""

import json
import struct
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from genre_utils import huffman
from genre_utils.project import ProjectError

_MAGIC = b"GUDC1\n"
_ROUNDS = 30
_SPARSE = 0.5
_ESCAPE = 255

Weights = Mapping[str, np.ndarray]


class CompressedFileError(ProjectError):
    """A file of shared weights that is damaged, or none at all."""


def kmeans(values: np.ndarray, n_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Part numbers into clusters by Lloyd's algorithm, begun at evenly spread values.

    Parameters
    ----------
    values : np.ndarray [shape=(n,), dtype=float32]
        At least one.
    n_clusters : int
        At most so many, and at most as many as there are different values.

    Returns
    -------
    codebook : np.ndarray [shape=(n_used,), dtype=float32]
        Means, ascending.
    indices : np.ndarray [shape=(n,), dtype=uint8]
        Whose mean is nearest to each number.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.unique(np.linspace(ordered[0], ordered[-1], n_clusters))
    for _ in range(_ROUNDS):
        # In one dimension a cluster is a stretch of the sorted numbers.
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(ordered)]])
        sizes = np.diff(edges)
        filled = sizes > 0
        moved = np.diff(sums[edges])[filled] / sizes[filled]
        if len(moved) == len(centres) and np.allclose(moved, centres, rtol=1e-5, atol=0):
            break
        centres = moved
    codebook = np.unique(centres.astype(np.float32))
    return codebook, _nearest(values, codebook)


def _nearest(values: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    return np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values).astype(np.uint8)


class Shared(nn.Module):
    """A weight whose entries share a few values; training moves these values.

    Parameters
    ----------
    weight : Tensor
        Its zeros stay zero.
    bits : int
        At most 2**bits values.
    """

    def __init__(self, weight: Tensor, bits: int):
        super().__init__()
        flat = weight.detach().cpu().numpy().ravel()
        there = np.flatnonzero(flat)
        codebook, indices = kmeans(flat[there], 2**bits) if len(there) else (np.zeros(1), [])
        self._first = torch.from_numpy(np.asarray(codebook, np.float32))
        self.register_buffer("places", torch.from_numpy(there))
        self.register_buffer("indices", torch.as_tensor(indices, dtype=torch.long))
        self.shape = weight.shape

    def forward(self, codebook: Tensor) -> Tensor:
        """Return the weight of which each entry is a value of the codebook, or zero."""
        flat = codebook.new_zeros(self.shape.numel())
        return flat.index_put((self.places,), codebook[self.indices]).view(self.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the codebook, which is what training changes."""
        return self._first.to(weight)


def share(network: nn.Module, *, bits: int) -> nn.Module:
    """Let each layer's weights share a few values, so that training moves these alone.

    Parameters
    ----------
    network : nn.Module
        Changed in place; zeros stay zero.
    bits : int
        Layers of convolutions and dense ones get at most 2**bits values each.
    """
    for layer in layers(network).values():
        parametrize.register_parametrization(layer, "weight", Shared(layer.weight, bits))
    return network


def unshare(network: nn.Module) -> nn.Module:
    """Make shared weights plain ones again, of the same values; in place."""
    for layer in layers(network).values():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
            # The old parameter still has the gradient of the codebook, of another shape.
            layer.weight = nn.Parameter(layer.weight.detach().clone())
    return network


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that hold most of a network's weights, by their names."""
    kinds = nn.Conv1d | nn.Conv2d | nn.Linear
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


def compressed(weights: Weights) -> bytes:
    """Return a network's weights in few bytes.

    Parameters
    ----------
    weights : mapping of str to np.ndarray
        Arrays of at most 256 different values other than zero are stored by their values;
        the others in 16 bits, or in 32 where these are too few; whole numbers in 32.

    Returns
    -------
    data : bytes
        `decompressed` gives back what was stored.
    """
    heads, parts = [], []
    for name, array in weights.items():
        kind, payload = _packed(np.asarray(array))
        heads.append([name, kind, list(np.shape(array)), len(payload)])
        parts.append(payload)
    head = zlib.compress(json.dumps(heads, separators=(",", ":")).encode(), 9)
    return b"".join([_MAGIC, struct.pack("<I", len(head)), head, *parts])


def decompressed(data: bytes) -> dict[str, np.ndarray]:
    """Return the weights that a file of `compressed` holds.

    Raises
    ------
    CompressedFileError
        If it is no such file, or damaged.
    """
    start = len(_MAGIC) + 4
    if data[: len(_MAGIC)] != _MAGIC or len(data) < start:
        raise CompressedFileError("not a file of shared weights; expected one of `compressed`")
    end = start + struct.unpack_from("<I", data, len(_MAGIC))[0]
    try:
        heads = json.loads(zlib.decompress(data[start:end]))
        weights = {}
        for name, kind, shape, length in heads:
            flat = _unpacked(kind, data[end : end + length], int(np.prod(shape)))
            weights[name] = flat.reshape(shape)
            end += length
    except (zlib.error, ValueError, struct.error, huffman.CodeError, IndexError) as error:
        raise CompressedFileError(f"damaged file of shared weights: {error}") from error
    return weights


def _packed(array: np.ndarray) -> tuple[str, bytes]:
    flat = np.ascontiguousarray(array).ravel()
    if np.issubdtype(flat.dtype, np.integer):
        return "whole", flat.astype("<i4").tobytes()
    flat = flat.astype(np.float32)
    there = np.flatnonzero(flat)
    # `unique` of a large array that shares nothing is slow; a few entries tell that already.
    if flat.size <= 1024 or len(np.unique(flat[there[:2048]])) > _N_VALUES:
        return _as_they_are(flat)
    codebook, indices = np.unique(flat[there], return_inverse=True)
    if len(codebook) > _N_VALUES:
        return _as_they_are(flat)
    is_sparse = len(there) < _SPARSE * flat.size
    if not is_sparse and len(there) < flat.size:
        codebook, indices = np.unique(flat, return_inverse=True)
        if len(codebook) > _N_VALUES:
            is_sparse = True
            codebook, indices = np.unique(flat[there], return_inverse=True)
    values = huffman.encode(indices.astype(np.uint8))
    gaps = huffman.encode(_gaps(there)) if is_sparse else b""
    head = struct.pack("<HII", len(codebook), len(values), len(gaps))
    kind = "sparse" if is_sparse else "dense"
    return kind, head + codebook.astype("<f4").tobytes() + values + gaps


_N_VALUES = 256


def _as_they_are(flat: np.ndarray) -> tuple[str, bytes]:
    """Return numbers in 16 bits, or in 32 where these would not hold them."""
    sizes = np.abs(flat[flat != 0])
    limits = np.finfo(np.float16)
    if len(sizes) and not limits.tiny <= sizes.min() <= sizes.max() <= limits.max:
        return "single", flat.astype("<f4").tobytes()
    return "half", flat.astype("<f2").tobytes()


def _unpacked(kind: str, data: bytes, size: int) -> np.ndarray:
    if kind == "whole":
        return np.frombuffer(data, "<i4").astype(np.int64)
    if kind == "single":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if kind == "half":
        return np.frombuffer(data, "<f2").astype(np.float32)
    n_values, values_length, gaps_length = struct.unpack_from("<HII", data)
    start = struct.calcsize("<HII")
    codebook = np.frombuffer(data, "<f4", n_values, start).astype(np.float32)
    start += 4 * n_values
    entries = codebook[huffman.decode(data[start : start + values_length])]
    if kind == "dense":
        return entries
    start += values_length
    flat = np.zeros(size, np.float32)
    flat[_places(huffman.decode(data[start : start + gaps_length]))] = entries
    return flat


def _gaps(places: np.ndarray) -> np.ndarray:
    """Return how many zeros lie before each place; an escape stands for so many of them alone."""
    gaps = np.diff(places, prepend=-1) - 1
    n_escapes = gaps // _ESCAPE
    symbols = np.full(len(gaps) + int(n_escapes.sum()), _ESCAPE, np.uint8)
    symbols[np.cumsum(n_escapes + 1) - 1] = gaps % _ESCAPE
    return symbols


def _places(symbols: np.ndarray) -> np.ndarray:
    is_weight = symbols < _ESCAPE
    return np.cumsum(symbols.astype(np.int64) + is_weight)[is_weight] - 1
