"""Networks for ExecuTorch: loaded again, they say what PyTorch says."""

import numpy as np
import pytest
import torch
from torch import nn

from genre_utils import bundle, datasets, export, images, inputs, training
from genre_utils.training import Machine, Recipe

executorch = pytest.importorskip("executorch.runtime")


def network_for(x, y, n_classes):
    """Return a small network that has learnt to tell some pictures apart."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, n_classes),
    )  # fmt: skip
    network = training.standardised(layers, x)
    recipe = Recipe(epochs=12, batch_size=8, learning_rate=1e-2)
    training.fit(network, (x, y), recipe=recipe, machine=Machine("cpu", False), desc=None)
    return network.eval()


def eight_bits(network, x):
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = xnnpack_quantizer.XNNPACKQuantizer().set_global(
        xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    )
    graph = torch.export.export(network, (torch.from_numpy(x[:1]),)).module()
    graph = prepare_pt2e(graph, quantizer)
    for item in x:
        graph(torch.from_numpy(item[None]))
    return convert_pt2e(graph)


def in_torch(network, x):
    with torch.inference_mode():
        said = [network(torch.from_numpy(item[None])) for item in x]
    return bundle.softmax(torch.cat(said).numpy())


def in_executorch(program, x):
    method = executorch.Runtime.get().load_program(program).load_method("forward")
    said = [method.execute([torch.from_numpy(item[None])])[0].clone() for item in x]
    return bundle.softmax(torch.cat(said).numpy())


def test_a_program_says_what_pytorch_says_in_32_bits_and_in_eight(capfd):
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    x = rng.integers(0, 120, (24, 1, 40, 96), dtype=np.uint8)
    for item, genre in zip(x, y, strict=True):
        item[0, 13 * genre : 13 * genre + 13] += 100
    network = network_for(x, y, 3)
    capfd.readouterr()
    expected = in_torch(network, x)
    assert (expected.argmax(axis=1) == y).mean() > 0.9
    plain = export.to_pte(network, x[:1])
    assert capfd.readouterr() == ("", ""), "exporting is quiet"
    np.testing.assert_allclose(in_executorch(plain, x), expected, atol=1e-5)

    rounded = eight_bits(network, x)
    small = export.to_pte(rounded, torch.from_numpy(x[:1]))
    found = in_executorch(small, x)
    np.testing.assert_allclose(found, in_torch(rounded, x), atol=0.02)
    assert np.abs(found - expected).max() < 0.1
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.real_data
def test_real_clips_get_the_same_labels(gtzan_root):
    tracks = datasets.load("gtzan").tracks
    tracks = tracks[tracks["image_path"].notna() & tracks["fault_filtered_split"].eq("train")]
    tracks = tracks[tracks["genre"].isin(["classical", "metal"])].groupby("genre").head(10)
    pictures = [inputs.mel_of_picture(images.load_picture(path)) for path in tracks["image_path"]]
    x = np.stack(pictures)[:, None]
    y = (tracks["genre"] == "metal").to_numpy().astype(int)
    network = network_for(x, y, 2)
    expected = in_torch(network, x)
    found = in_executorch(export.to_pte(network, x[:1]), x)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert np.abs(found - expected).max() < 1e-4
