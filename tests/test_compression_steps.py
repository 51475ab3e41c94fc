import copy

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from genre_utils import deployment, export, pruning, quantization, training
from genre_utils.augment import Augmentation
from genre_utils.bundle import Network
from genre_utils.compression_steps import Bench, Int8, Lesson, Prune, Share, Slim, Taught, Train
from genre_utils.models import cnn, mlp, student

N_BANDS, N_FRAMES = 16, 48


def pictures(n=24, seed=0):
    """Noise; the second class has more energy in the upper half."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.integers(0, 160, (n, 1, N_BANDS, N_FRAMES))
    x[y == 1, :, N_BANDS // 2 :] += 90
    return x.astype(np.uint8), y


def small_student(widths=(8, 16)):
    torch.manual_seed(0)
    x, _ = pictures()
    network = student.strided(n_bands=N_BANDS, widths=widths, stem=(2, 2), n_classes=2)
    return training.standardised(network, x)


def settled(network):
    """Let normalisation see some items, as training would."""
    x, _ = pictures()
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.from_numpy(x))
    return network.eval()


def logits(network, x):
    with torch.inference_mode():
        return network(torch.from_numpy(x)).numpy()


def bench(tmp_path, **options):
    x, y = pictures()
    x_valid, y_valid = pictures(seed=1)
    options = {"teacher_of": lambda name: small_student(), "soft": None} | options
    return Bench(x, y, x_valid, y_valid, n_classes=2, folder=tmp_path, seed=0, **options)


LESSON = Lesson(epochs=4, learning_rate=1e-2, batch_size=8)


@pytest.mark.parametrize(
    "build",
    [
        lambda: student.strided(n_bands=80, widths=(16, 32, 64, 96), stem=(2, 4)),
        lambda: student.separable(n_bands=80, widths=(16, 32, 64)),
    ],
)
@pytest.mark.parametrize("n_frames", [32, 100, 496])
def test_students_hear_music_of_any_length(build, n_frames):
    x = torch.zeros(2, 1, 80, n_frames)
    assert build().eval()(x).shape == (2, 10)


@pytest.mark.parametrize("pool", [None, (8, 20), (5, 7)])
def test_an_adapted_network_answers_the_same(pool):
    x, _ = pictures()
    network = settled(small_student())
    if pool:
        network = training.standardised(
            nn.Sequential(nn.AdaptiveAvgPool2d(pool), *list(network.network)[1:]), x
        ).eval()
    expected = logits(network, x)
    adapted = deployment.adapted(network, x)
    assert not any(
        isinstance(m, nn.AdaptiveAvgPool2d) or type(m).__name__ == "RowScale"
        for m in adapted.modules()
    )
    assert np.allclose(logits(adapted, x), expected, atol=1e-5)


def test_a_network_in_onnx_answers_the_same_whatever_the_number_of_items():
    x, _ = pictures()
    network = deployment.adapted(settled(small_student()), x)
    said = Network(deployment.to_onnx(network, x))
    for n_items in (1, 3, len(x)):
        assert np.allclose(said.logits(x[:n_items]), logits(network, x[:n_items]), atol=1e-5)


def test_a_perceptron_in_onnx_answers_the_same():
    x = np.random.default_rng(0).normal(size=(6, 57)).astype(np.float32)
    network = mlp.mlp(n_features=57, widths=(32, 16)).eval()
    assert np.allclose(
        Network(deployment.to_onnx(network, x)).logits(x), logits(network, x), atol=1e-5
    )


def test_products_are_counted():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Flatten(), nn.Linear(4 * 36, 2))
    x = np.zeros((3, 1, 8, 8), np.float32)
    assert deployment.multiply_adds(network, x) == 36 * 9 * 4 + 4 * 36 * 2


def test_pruning_takes_the_smallest_weights_of_all_layers():
    network = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.arange(1.0, 101).view(10, 10))
        network[1].weight.copy_(torch.arange(101.0, 201).view(10, 10))
    pruning.let_go(pruning.hold_to_zero(network, sparsity=0.5))
    assert (network[0].weight == 0).all() and (network[1].weight != 0).all()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_all_weights_cannot_go(share):
    with pytest.raises(pruning.PruningError, match="expected"):
        pruning.hold_to_zero(small_student(), sparsity=share)
    with pytest.raises(pruning.PruningError, match="expected"):
        pruning.remove_channels(small_student(), pictures()[0][:2], share=share)


def test_zeros_are_held_while_the_rest_is_trained(tmp_path):
    network = pruning.hold_to_zero(small_student(), sparsity=0.8)
    before = pruning.sparsity(network)
    bench(tmp_path).teach(network, LESSON)
    assert before == pytest.approx(0.8, abs=0.01)
    assert pruning.sparsity(pruning.let_go(network)) == pytest.approx(before)


def test_pruning_goes_on_until_the_validation_part_suffers(tmp_path, monkeypatch):
    at = bench(tmp_path)
    found = iter([0.9, 0.9, 0.95, 0.7, 1.0])
    monkeypatch.setattr(Bench, "accuracy", lambda self, network: next(found))
    network = Prune((0.5, 0.7, 0.9, 0.95), LESSON)(small_student(), at)
    assert at.notes["sparsity"] == 0.7
    assert pruning.sparsity(network) == pytest.approx(0.7, abs=0.01)
    assert at.notes["sparsities_tried"] == {"0.5": 0.9, "0.7": 0.95, "0.9": 0.7}


@pytest.mark.parametrize(
    "build",
    [
        lambda: small_student((16, 32)),
        lambda: training.standardised(
            cnn.small_resnet(n_bands=N_BANDS, n_classes=2, width=8), pictures()[0]
        ),
    ],
)
def test_a_slim_network_is_smaller_and_can_be_built_again(tmp_path, build):
    full = build()
    x, _ = pictures()
    n_before = sum(p.numel() for p in full.parameters())
    products = deployment.multiply_adds(full, x)
    slim = Slim(0.5, LESSON)(full, bench(tmp_path)).cpu().eval()
    assert sum(p.numel() for p in slim.parameters()) < 0.7 * n_before
    assert deployment.multiply_adds(slim, x) < 0.8 * products
    rebuilt = deployment.with_weights(build(), deployment.to_safetensors(slim)).eval()
    assert np.allclose(logits(rebuilt, x), logits(slim, x), atol=1e-6)


def test_training_teaches_two_classes(tmp_path):
    network = Train(LESSON)(small_student(), at := bench(tmp_path))
    assert at.accuracy(network) > 0.9
    assert at.fit_s > 0


def test_a_teacher_answers_what_the_network_sees():
    x, y = pictures(8)
    teacher = settled(small_student())
    taught = Taught(Augmentation(crop_frames=32), teacher, share=0.75)
    targets = torch.eye(2)[y]
    batch, new = taught(torch.from_numpy(x), targets, torch.Generator().manual_seed(0))
    assert batch.shape[-1] == 32
    with torch.inference_mode():
        answer = teacher(batch).softmax(dim=1)
    assert torch.allclose(new, 0.75 * answer + 0.25 * targets, atol=0.02)


def test_soft_labels_are_mixed_in_where_the_ensemble_says_something(tmp_path):
    soft = np.full((24, 2), 0.5, np.float32)
    soft[3] = np.nan
    at = bench(tmp_path, soft=soft)
    targets = at._targets(Lesson(epochs=1, soft=0.5))
    assert np.allclose(targets[0], [0.75, 0.25])
    assert np.allclose(targets[3], [0, 1])


def test_the_shared_network_is_the_one_in_its_file(tmp_path):
    from genre_utils import weight_sharing

    at = bench(tmp_path)
    network = Share(3, LESSON)(settled(small_student((16, 32))), at)
    stored = weight_sharing.decompressed(at.files[Share.FILE])
    rebuilt = deployment.with_weights(small_student((16, 32)), stored).eval()
    x, _ = pictures()
    assert np.array_equal(logits(rebuilt, x), logits(network.cpu().eval(), x))


@pytest.fixture(scope="module")
def rounded():
    pytest.importorskip("executorch")
    x, _ = pictures()
    network = deployment.adapted(settled(small_student()), x)
    expected = logits(network, x)
    graph = quantization.rounded(quantization.observed(copy.deepcopy(network), x))
    return graph, expected, x


def test_eight_bits_answer_nearly_the_same(rounded):
    graph, expected, x = rounded
    said = logits(graph, x)
    assert not np.array_equal(said, expected)
    assert np.abs(said - expected).max() < 0.1 * np.ptp(expected)


def test_eight_bits_leave_as_onnx_and_for_executorch(rounded):
    graph, expected, x = rounded
    model = deployment.to_onnx(graph, x)
    assert np.abs(Network(model).logits(x) - logits(graph, x)).max() < 0.05 * np.ptp(expected)
    assert export.to_pte(graph, torch.from_numpy(x[:1]))[4:8] == b"ET12"


def test_a_network_is_trained_while_it_is_rounded(tmp_path):
    pytest.importorskip("executorch")
    at = bench(tmp_path)
    network = Int8(Lesson(epochs=2, learning_rate=1e-3, batch_size=8))(
        bench(tmp_path / "first").teach(small_student(), LESSON), at
    )
    assert isinstance(network, torch.fx.GraphModule)
    assert at.accuracy(network) > 0.9


def test_weights_of_eight_bits_take_a_quarter_of_the_space():
    x = np.random.default_rng(0).normal(size=(6, 57)).astype(np.float32)
    network = mlp.mlp(n_features=57, widths=(256, 128)).eval()
    plain = deployment.to_onnx(network, x)
    small = quantization.dynamic_onnx(plain)
    assert len(small) < len(plain) / 3
    said = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    assert np.abs(said.run(None, {export.INPUT: x})[0] - logits(network, x)).max() < 0.05
