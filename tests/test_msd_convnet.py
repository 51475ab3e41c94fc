"""The MSD convnet: kernels turned round, statistics that never see a test clip, any length."""

import h5py
import numpy as np
import pytest
import soundfile as sf
import torch
from scipy.signal import convolve2d

from genre_utils import representations, training
from genre_utils.models import msd_convnet as convnet
from genre_utils.models.resnet import WeightsError

N_FFT, N_MELS = 512, 96


def write_weights(path, *, seed=0, leave_out=()):
    """A file with the published layout and random numbers, negative scales among them."""
    rng = np.random.default_rng(seed)
    time = np.arange(N_FFT)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / N_FFT)
    angle = 2 * np.pi * np.outer(time, np.arange(N_FFT // 2 + 1)) / N_FFT
    arrays = {
        "melgram/param_0": (window[:, None] * np.cos(angle))[:, None, None, :],
        "melgram/param_1": (window[:, None] * np.sin(angle))[:, None, None, :],
        "melgram/param_2": rng.random((N_FFT // 2 + 1, N_MELS)) / 10,
    }
    for number in range(1, 6):
        shape = (32, 1 if number == 1 else 32, 3, 3)
        arrays |= {
            f"ConvBNEluDr/convolution2d_{number}_W": rng.normal(0, 0.1, shape),
            f"ConvBNEluDr/convolution2d_{number}_b": rng.normal(0, 0.1, 32),
            f"ConvBNEluDr/batchnormalization_{number}_gamma": rng.normal(0.2, 1, 32),
            f"ConvBNEluDr/batchnormalization_{number}_beta": rng.normal(0, 0.1, 32),
        }
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if name not in leave_out:
                file[name] = values.astype(np.float32)
    return path


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.hdf5")


@pytest.fixture(scope="module")
def network(weights_file):
    return convnet.load(weights_file)


@pytest.fixture(scope="module")
def power():
    """Mel powers of five clips that differ in loudness."""
    rng = np.random.default_rng(3)
    return [(k + 1) * rng.random((1, N_MELS, 1360), np.float32) ** 4 for k in range(5)]


def test_kernels_are_those_of_a_true_convolution(weights_file, network):
    image = np.random.default_rng(1).normal(size=(20, 24)).astype(np.float32)
    with h5py.File(weights_file) as file:
        kernel = file["ConvBNEluDr/convolution2d_1_W"][4, 0]
        bias = file["ConvBNEluDr/convolution2d_1_b"][4]
    with torch.inference_mode():
        ours = network.layers[0].convolution(torch.from_numpy(image)[None, None])[0, 4].numpy()
    np.testing.assert_allclose(ours, convolve2d(image, kernel, "same") + bias, atol=1e-5)


def test_mel_powers_are_those_of_a_windowed_transform(weights_file, network):
    rng = np.random.default_rng(2)
    y = rng.normal(size=20_000).astype(np.float32)
    got = convnet.mel_power(network.weights, y[None])[0]
    assert got.shape == (N_MELS, 79)
    with h5py.File(weights_file) as file:
        bank = file["melgram/param_2"][:]
    frame = 30
    piece = np.pad(y, 256)[frame * 256 : frame * 256 + 512][::-1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    expected = np.abs(np.fft.rfft(piece * window)) ** 2 @ bank
    np.testing.assert_allclose(got[:, frame], expected, rtol=1e-3)


def test_fixed_statistics_of_a_batch_give_what_the_batch_gives(network, power):
    ids = [str(k) for k in range(5)]
    statistics = convnet.measure(network, power, train=ids, test=["9"])
    one_batch = convnet.embed_as_one_batch(network, power)
    np.testing.assert_allclose(
        convnet.embed(network, power, statistics), one_batch, rtol=1e-3, atol=1e-4
    )
    assert one_batch.shape == (5, 160) and len(network.names) == 160


def test_neighbours_matter_in_a_batch_and_not_with_fixed_statistics(network, power):
    statistics = convnet.measure(network, power[:2], train=["a", "b"], test=["c"])
    alone = convnet.embed(network, power[2:3], statistics)
    with_others = convnet.embed(network, power[2:], statistics)[:1]
    np.testing.assert_array_equal(alone, with_others)
    in_batch = convnet.embed_as_one_batch(network, power[2:])[:1]
    assert np.abs(in_batch - convnet.embed_as_one_batch(network, power[1:3])[1:]).max() > 0.01


def test_statistics_refuse_a_test_clip_and_nothing_embeds_without_them(network, power):
    with pytest.raises(convnet.StatisticsError, match=r"1 clips .* b"):
        convnet.measure(network, power[:2], train=["a", "b"], test=["b", "c"])
    with pytest.raises(convnet.StatisticsError, match="at least one"):
        convnet.measure(network, [], train=[], test=["b"])
    with pytest.raises(TypeError, match="statistics"):
        convnet.embed(network, power)
    with pytest.raises(TypeError, match="test"):
        convnet.measure(network, power[:1], train=["a"])


def test_statistics_do_not_change_with_what_is_not_measured_on(network, power):
    few = convnet.measure(network, power[:4], train=list("abcd"), test=[], at_most=2)
    assert few.track_ids == ("a", "c")
    same = convnet.measure(network, [power[0], power[2]], train=["a", "c"], test=[])
    assert few.digest == same.digest


@pytest.mark.parametrize(
    "seconds, count", [(0.5, 1), (3, 1), (29, 1), (30, 1), (31.8, 1), (33, 2), (58, 2), (90, 4)]
)
def test_a_clip_of_any_length_gives_windows(seconds, count):
    y = np.arange(round(seconds * convnet.SR), dtype=np.float32)
    cut = convnet.windows(y)
    assert cut.shape == (count, convnet.WINDOW)
    if count > 1:
        assert cut[0, 0] == 0 and cut[-1, -1] == y[-1]
    if seconds < 29:
        np.testing.assert_array_equal(cut[0, len(y) : 2 * len(y)][:100], y[:100])


def test_an_empty_clip_is_refused():
    with pytest.raises(ValueError, match="empty"):
        convnet.windows(np.empty(0))


def test_a_missing_damaged_or_strange_weights_file_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    with pytest.raises(WeightsError, match=r"not available here.*weights_theano.hdf5.*fetch"):
        convnet.load()
    with pytest.raises(WeightsError, match="no such file"):
        convnet.load(tmp_path / "none.hdf5")
    damaged = tmp_path / "choi2017" / "weights_theano.hdf5"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no HDF5")
    with pytest.raises(WeightsError, match="SHA-256"):
        convnet.load()
    with pytest.raises(WeightsError, match="cannot be read as HDF5"):
        convnet.load(damaged)
    partial = write_weights(tmp_path / "partial.hdf5", leave_out=["melgram/param_2"])
    with pytest.raises(WeightsError, match="has no array melgram/param_2"):
        convnet.load(partial)


def test_weights_that_are_there_are_not_fetched_and_a_dead_server_is_explained(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))

    def no_network(*args, **options):
        raise OSError("no connection")

    monkeypatch.setattr("pooch.retrieve", no_network)
    with pytest.raises(WeightsError, match=r"no connection.*by hand as .*weights_theano.hdf5"):
        convnet.fetch()
    write_weights(tmp_path / "choi2017" / "weights_theano.hdf5")
    assert convnet.fetch() == tmp_path / "choi2017" / "weights_theano.hdf5"


def test_files_are_embedded_once_and_a_bad_one_stops_nothing(tmp_path, monkeypatch, weights_file):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    paths = {}
    for name, seconds in (("a", 4), ("b", 30), ("c", 62)):
        paths[name] = tmp_path / f"{name}.wav"
        sf.write(paths[name], rng.normal(0, 0.1, seconds * 22050).astype(np.float32), 22050)
    paths["d"] = tmp_path / "d.wav"
    paths["d"].write_bytes(b"no sound")
    network = convnet.load(weights_file)

    def embedded() -> tuple[convnet.Clips, np.ndarray]:
        clips = convnet.clips(network, paths)
        statistics = convnet.measure(network, clips.power(["a", "b"]), train=["a", "b"], test=["c"])
        return clips, convnet.embed(network, clips.power(clips.files), statistics)

    clips, X = embedded()
    assert list(clips.files) == ["a", "b", "c"] and X.shape == (3, 160)
    assert np.isfinite(X).all()
    assert clips.failures["track_id"].tolist() == ["d"] and clips.failures["reason"].iloc[0]
    kept = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(kept) == 3
    kept[0].write_bytes(b"spoilt")
    np.testing.assert_array_equal(embedded()[1], X)


def test_the_network_is_fine_tuned_by_the_common_loop(network):
    # Two kinds of clip: loud low bands, loud high bands.
    rng = np.random.default_rng(5)
    y = np.arange(8) % 2
    power = [rng.random((1, N_MELS, 1360), np.float32) for _ in y]
    for clip, kind in zip(power, y, strict=True):
        clip[:, 48:] *= 100.0 if kind else 0.01
    statistics = convnet.measure(network, power, train=[str(k) for k in range(8)], test=["x"])
    torch.manual_seed(0)
    features = convnet.embed(network, power, statistics)
    classifier = convnet.Classifier(network, statistics, n_classes=2, features=features)
    x = convnet.inputs(power, statistics)
    weight, bias = 0.01 * torch.randn(2, features.shape[1]), torch.randn(2)
    classifier.set_head(weight, bias)
    with torch.inference_mode():
        logits = classifier.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(logits, features @ weight.numpy().T + bias.numpy(), atol=2e-3)
    before = network.layers[0].gamma.detach().clone()
    machine = training.Machine("cpu", bfloat16=False)
    recipe = training.Recipe(epochs=4, batch_size=4, learning_rate=0.005)
    training.fit(classifier, (x, y), recipe=recipe, machine=machine)
    probabilities = training.predict(classifier, x, machine=machine)
    assert (probabilities.argmax(axis=1) == y).all()
    assert not torch.equal(classifier.network.layers[0].gamma, before)
    assert torch.equal(network.layers[0].gamma, before)
    # Whoever else is in the batch, a clip gets the same answer.
    alone = training.predict(classifier, x[:1], machine=machine)
    np.testing.assert_allclose(alone, probabilities[:1], atol=1e-6)


@pytest.mark.real_data
def test_the_real_network_is_closer_to_the_published_features_than_a_lone_clip(
    gtzan_root, tmp_path, monkeypatch
):
    if not (gtzan_root / "choi2017").is_dir():
        pytest.skip("no published network")
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path))
    network = convnet.load()
    tracks = ["blues.00001", "classical.00001", "country.00001"]  # of one published batch
    paths = {t: gtzan_root / "genres_original" / t.split(".")[0] / f"{t}.flac" for t in tracks}
    if not all(path.is_file() for path in paths.values()):
        pytest.skip("these clips are not here")
    power = convnet.clips(network, paths).power(tracks)
    theirs = representations.choi_features(layers=[5]).rows(tracks)
    together = convnet.embed_as_one_batch(network, power)[:, -32:]
    alone = np.concatenate([convnet.embed_as_one_batch(network, [clip]) for clip in power])
    closeness = [np.corrcoef(X.ravel(), theirs.ravel())[0, 1] for X in (together, alone[:, -32:])]
    assert closeness[0] > closeness[1] + 0.02
