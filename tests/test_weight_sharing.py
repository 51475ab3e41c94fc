import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from genre_utils import deployment, huffman, pruning, weight_sharing

SYMBOLS = arrays(np.uint8, st.integers(0, 400), elements=st.integers(0, 255))


@given(SYMBOLS)
@settings(max_examples=60)
def test_coded_symbols_come_back(symbols):
    assert np.array_equal(huffman.decode(huffman.encode(symbols)), symbols)


def test_even_the_rarest_symbol_comes_back_from_a_very_uneven_code():
    # Fibonacci's numbers make the longest codes there can be.
    counts = [1, 1]
    while len(counts) < 25:
        counts.append(counts[-1] + counts[-2])
    symbols = np.repeat(np.arange(25, dtype=np.uint8), counts)
    assert np.array_equal(huffman.decode(huffman.encode(symbols)), symbols)


def test_a_code_comes_within_a_bit_of_the_entropy():
    symbols = np.random.default_rng(0).binomial(20, 0.2, 50_000).astype(np.uint8)
    p = np.bincount(symbols) / len(symbols)
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
    bits = 8 * len(huffman.encode(symbols)) / len(symbols)
    assert entropy < bits < entropy + 0.1


@pytest.mark.parametrize(
    "damage", [lambda d: d[:5], lambda d: d[:-3], lambda d: d[:10] + b"\x01" * 90]
)
def test_damaged_code_is_an_error(damage):
    data = huffman.encode(np.arange(60, dtype=np.uint8))
    with pytest.raises(huffman.CodeError, match="write"):
        huffman.decode(damage(data))


def test_clusters_are_where_the_numbers_are():
    values = np.concatenate([np.full(50, -2.0), np.full(900, 0.1), np.full(50, 3.0)])
    codebook, indices = weight_sharing.kmeans(values.astype(np.float32), 8)
    assert np.allclose(codebook, [-2, 0.1, 3])
    assert np.allclose(codebook[indices], values)


def test_more_clusters_are_closer_to_the_numbers():
    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    errors = []
    for n_clusters in (2, 4, 16, 64):
        codebook, indices = weight_sharing.kmeans(values, n_clusters)
        assert len(codebook) <= n_clusters
        errors.append(np.abs(codebook[indices] - values).mean())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 36, 40), nn.ReLU(), nn.Linear(40, 3),
    ).eval()  # fmt: skip


def test_shared_weights_are_trained_as_shared_ones():
    shared = weight_sharing.share(network(), bits=2)
    optimiser = torch.optim.SGD(shared.parameters(), lr=0.1)
    before = shared[4].weight.detach().clone()
    shared(torch.randn(5, 1, 8, 8)).square().sum().backward()
    optimiser.step()
    after = weight_sharing.unshare(shared)[4].weight.detach()
    assert not torch.equal(before, after)
    assert len(after.unique()) <= 4
    # Entries that were alike still are.
    assert all(len(after[before == value].unique()) == 1 for value in before.unique())


def test_zeros_stay_zeros_while_shared_weights_are_trained():
    pruned = pruning.let_go(pruning.hold_to_zero(network(), sparsity=0.9))
    shared = weight_sharing.share(pruned, bits=3)
    optimiser = torch.optim.AdamW(shared.parameters(), lr=0.1)
    shared(torch.randn(5, 1, 8, 8)).square().sum().backward()
    optimiser.step()
    assert pruning.sparsity(weight_sharing.unshare(shared)) == pytest.approx(0.9, abs=0.001)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.97])
def test_the_file_gives_back_the_same_network(sparsity):
    pruned = pruning.let_go(pruning.hold_to_zero(network(), sparsity=sparsity))
    shared = weight_sharing.unshare(weight_sharing.share(pruned, bits=4))
    weights = deployment.weights_of(shared)
    file = weight_sharing.compressed(weights)
    back = weight_sharing.decompressed(file)
    assert list(back) == list(weights)
    for name in ("0.weight", "4.weight", "6.weight"):
        # A layer of a few numbers is stored in 16 bits, a large one exactly.
        exact = weights[name].size > 1024
        assert np.allclose(back[name], weights[name], rtol=0 if exact else 1e-3, atol=0)
    again = weight_sharing.decompressed(weight_sharing.compressed(back))
    assert all(np.array_equal(again[name], back[name]) for name in back)
    assert len(file) < len(deployment.to_safetensors(shared)) / 5

    rebuilt = deployment.with_weights(network(), back)
    x = torch.randn(4, 1, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(rebuilt(x), shared(x), atol=1e-3)


def test_gaps_longer_than_a_symbol_come_back():
    flat = np.zeros(5000, np.float32)
    flat[[0, 255, 256, 2000, 4999]] = [1, 2, 1, 2, 1]
    back = weight_sharing.decompressed(weight_sharing.compressed({"w": flat}))["w"]
    assert np.array_equal(back, flat)


def test_zeros_and_weights_alone_come_back():
    weights = {
        "zeros": np.zeros((40, 40), np.float32),
        "many": np.random.default_rng(0).normal(size=3000).astype(np.float16).astype(np.float32),
        "count": np.array(7),
        "spread": np.array([3e9, 1e-7, 0], np.float32),
    }
    back = weight_sharing.decompressed(weight_sharing.compressed(weights))
    assert all(np.array_equal(back[name], value) for name, value in weights.items())
    assert all(back[name].shape == value.shape for name, value in weights.items())


@pytest.mark.parametrize("damage", [lambda d: b"PK" + d, lambda d: d[:30], lambda d: d[:-20]])
def test_a_damaged_file_is_an_error(damage):
    shared = weight_sharing.unshare(weight_sharing.share(network(), bits=4))
    file = weight_sharing.compressed(deployment.weights_of(shared))
    with pytest.raises(weight_sharing.CompressedFileError):
        weight_sharing.decompressed(damage(file))
