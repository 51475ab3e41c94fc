"""MSD_musicnn rebuilt: its weights, what it reads, and the tags that its authors published."""

import subprocess
import zipfile

import librosa
import numpy as np
import pytest
import torch

from genre_utils import audio, datasets, gtzan_spectrogram, images, representations
from genre_utils.models import musicnn
from genre_utils.models.weights import WeightsError

SR = musicnn.SR


def sound(seconds=30.0, *, seed=0, sr=SR):
    t = np.arange(round(seconds * sr)) / sr
    noise = np.random.default_rng(seed).normal(0, 0.05, len(t))
    tones = 0.3 * np.sin(2 * np.pi * (200 + 300 * (t % 2)) * t) * np.exp(-3 * (t % 0.5))
    return (tones + noise).astype(np.float32)


def content(seed=0):
    """A file of weights as TensorFlow lays them out, with variances above 0."""
    places = musicnn.layout()
    numbers = np.random.default_rng(seed).normal(0, 0.05, places[""][0]).astype("<f4")
    for name, (start, shape) in places.items():
        if name.endswith("variance"):
            numbers[start : start + shape[0]] = 1 + numbers[start : start + shape[0]] ** 2
    return numbers.tobytes()


def package(path, inside):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("musicnn/MSD_musicnn/.data-00000-of-00001", inside)
    return path


@pytest.fixture(scope="module")
def network():
    network = musicnn.Musicnn()
    network.take(content())
    return network.eval()


def test_weights_lie_behind_one_another_sorted_by_name():
    places = musicnn.layout()
    end = places.pop("")[0]
    assert list(places) == sorted(places) and 4 * end == 9_465_596
    starts = [start for start, _ in places.values()]
    sizes = [int(np.prod(shape)) for _, shape in places.values()]
    gaps = np.diff([*starts, end])
    assert set(np.divide(gaps, sizes)) == {1, 3}, "the optimiser keeps two numbers a weight"


def test_kernels_and_scales_reach_the_layers_they_belong_to(network):
    places = musicnn.layout()
    numbers = np.frombuffer(content(), "<f4")

    def variable(name):
        start, shape = places[name]
        return numbers[start : start + int(np.prod(shape))].reshape(shape)

    x = np.random.default_rng(1).random((1, musicnn.WINDOW, 96), np.float32)
    name = "batch_normalization/"
    gamma, beta, mean, variance = (
        variable(name + kind) for kind in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scaled = (x[0] - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    kernel, bias = variable("conv2d_1/kernel")[:, :, 0], variable("conv2d_1/bias")
    frame, band, channel = 50, 7, 11
    piece = scaled[frame - 3 : frame + 4, band : band + 67]
    expected = np.sum(piece * kernel[:, :, channel]) + bias[channel]
    with torch.inference_mode():
        rows = network.scale(torch.from_numpy(x)[:, None])
        layer = network.front[1]
        found = layer.convolution(musicnn._padded(rows, layer))[0, channel, frame, band]
    assert float(found) == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


def test_every_layer_keeps_all_frames_and_says_what_it_promises(network):
    x = torch.rand(2, musicnn.WINDOW, 96)
    with torch.inference_mode():
        said = network.describe(x)
        logits = network(x)
    shapes = {name: tuple(part.shape) for name, part in said.items()}
    assert shapes == {name: (2, n) for name, n in musicnn.layer_widths().items()}
    torch.testing.assert_close(logits, said["tags"])
    assert (said["peaks"] >= said["means"] - 1e-6).all()


def test_the_spectrogram_is_librosas_and_hears_loudness():
    y = sound()
    S = musicnn.spectrogram(y, sr=SR)
    power = librosa.feature.melspectrogram(y=y, sr=SR, n_fft=512, hop_length=256, n_mels=96)
    np.testing.assert_allclose(S, np.log10(10_000 * power.T + 1), rtol=1e-5)
    assert (musicnn.spectrogram(0.1 * y, sr=SR) < S).mean() > 0.99
    assert musicnn.windows(S).shape == (28, 187, 96), "as many as were published"


def test_a_short_signal_is_repeated_until_it_fills_a_window():
    S = musicnn.spectrogram(sound(0.5), sr=SR)
    assert S.shape == (musicnn.WINDOW, 96)
    np.testing.assert_array_equal(S[32:64], S[:32])


def test_scores_do_not_depend_on_how_many_windows_are_computed_together(network):
    y = sound(9.0, sr=22050)
    scores = musicnn.taggram(network, y, sr=22050)
    assert scores.shape[1] == 50 and ((scores > 0) & (scores < 1)).all()
    x = musicnn.windows(musicnn.spectrogram(y, sr=22050))
    alone = musicnn.described(network, x[-1:])["tags"]
    np.testing.assert_allclose(1 / (1 + np.exp(-alone)), scores[-1:], rtol=1e-4)


def test_a_picture_says_about_what_its_sound_says():
    y = sound(sr=22050)
    levels = images.gtzan_levels(images.gtzan_picture(gtzan_spectrogram.sixteen_bits(y)))
    range_db, peak_db = gtzan_spectrogram.extent_db(gtzan_spectrogram.sixteen_bits(y))
    seen = musicnn.of_picture(levels, range_db=range_db, peak_db=peak_db)
    heard = musicnn.spectrogram(y, sr=22050)[: len(seen)]
    assert seen.shape == (1875, 96)
    of_band = np.abs(seen.mean(axis=0) - heard.mean(axis=0))
    assert np.median(of_band) < 0.2, "on a scale of about 3"
    louder = musicnn.of_picture(levels, range_db=range_db, peak_db=peak_db + 10)
    assert (louder > seen).all()


def test_damaged_and_foreign_packages_are_refused(tmp_path):
    path = tmp_path / "musicnn.whl"
    path.write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="cannot be read as the package musicnn==0.1.0"):
        musicnn.load(path)
    with pytest.raises(WeightsError, match=r"SHA-256 .* expected 8579734e"):
        musicnn.load(package(path, content()))
    with pytest.raises(WeightsError, match="8 bytes long, expected 9465596"):
        musicnn.Musicnn().take(b"12345678")


def test_missing_weights_say_where_they_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match=r"not available here.*data.*cache.*fetch"):
        musicnn.load()


def test_pip_fetches_the_package_once_and_says_why_it_cannot(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    asked = []

    def pip(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(musicnn.subprocess, "run", pip)
    with pytest.raises(WeightsError, match=r"No matching distribution.*by hand into .*data"):
        musicnn.fetch()

    def working(command, **_):
        asked.append(command)
        target = musicnn.places()[-1]
        target.parent.mkdir(parents=True)
        package(target, content())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(musicnn.subprocess, "run", working)
    assert musicnn.fetch() == musicnn.fetch() == musicnn.places()[-1]
    assert len(asked) == 2
    assert "--no-deps" in asked[-1] and asked[-1][-1] == "musicnn==0.1.0"

    def silent(command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    musicnn.places()[-1].unlink()
    monkeypatch.setattr(musicnn.subprocess, "run", silent)
    with pytest.raises(WeightsError, match="no answer within"):
        musicnn.fetch()


@pytest.mark.real_data
def test_tags_of_real_clips_are_those_that_the_authors_published(gtzan_root):
    try:
        network = musicnn.load()
    except WeightsError as reason:
        pytest.skip(str(reason))
    published = representations.taggram_series()
    paths = datasets.load("gtzan").tracks.set_index("track_id")["audio_path"].dropna()
    tracks = [track for track in paths.index if track in published][::8]
    assert len(tracks) >= 5
    for track in tracks:
        ours = musicnn.taggram(network, audio.load(paths[track]), sr=22050)
        theirs = published[track]
        assert len(ours) == len(theirs), track
        # Decoder and resampler were other ones.
        assert np.abs(ours - theirs).mean() < 0.01, track
        assert np.corrcoef(ours.mean(axis=0), theirs.mean(axis=0))[0, 1] > 0.98, track
