"""Bundles: written, checked, refused; networks that leave PyTorch; the one that is shipped."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny_bundle
import torch
from PIL import Image

from genre_utils import (
    bundle,
    datasets,
    evaluation,
    export,
    images,
    project,
    shipping,
    training,
)
from genre_utils.bundle import BundleError, Familiar, Preprocessing
from genre_utils.models import cnn

SR = 22050


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.setenv("JOBS", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tiny_bundle.write(tmp_path_factory.mktemp("made") / "tiny")


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / "copy")


def spectrograms(n=6, n_frames=496, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 80, n_frames), dtype=np.uint8)


def sign_again(folder):
    names = sorted(file.name for file in folder.iterdir() if file.name != bundle.DIGESTS)
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / bundle.DIGESTS).write_text("".join(sums))


def test_what_is_written_is_loaded_again(made, tmp_path):
    train = spectrograms(20)
    familiar = Familiar.of(train, spectrograms(20, seed=1))
    found = tiny_bundle.write(tmp_path / "new" / "b", familiar=familiar, made_with={"torch": "2"})
    assert (found.name, found.genres, found.temperature) == ("tiny", ("low", "middle", "high"), 0.5)
    assert found.preprocessing == Preprocessing()
    assert found.card.scores == {"accuracy": 0.5} and found.made_with["torch"] == "2"
    assert (found.folder / "CARD.md").read_text() == found.card.text()
    assert "## Limits\n\nmany" in found.card.text()
    np.testing.assert_allclose(found.familiar.mean, familiar.mean, atol=0.01)
    assert found.size == sum(file.stat().st_size for file in found.folder.iterdir())
    assert found.digest != made.digest == bundle.load(made.folder).digest
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["b"]


def test_the_digests_are_those_that_other_programs_read(made):
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    subprocess.run(["sha256sum", "--check", "--quiet", bundle.DIGESTS], cwd=made.folder, check=True)


def test_probabilities_are_calibrated_logits(made):
    x = spectrograms()
    p = made.probabilities(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(
        p, torch.softmax(torch.from_numpy(made.network.logits(x)) / 0.5, dim=1), rtol=1e-4
    )
    assert made.probabilities(x[..., :40]).shape == (6, 3)
    np.testing.assert_array_equal(made.network.logits(x, batch_size=4), made.network.logits(x))


def test_a_bundle_is_replaced_and_nothing_else_is(made, copy, tmp_path):
    assert tiny_bundle.write(copy, name="another").name == "another"
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(BundleError, match=r"letters: holds other things than a bundle"):
        tiny_bundle.write(tmp_path / "letters")
    assert (tmp_path / "letters" / "a.txt").read_text() == "dear"


def test_a_network_that_does_not_fit_is_not_written(copy):
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    with pytest.raises(BundleError, match=r"shape \(2, 4\) for two items; expected \(2, 3\)"):
        tiny_bundle.write(copy, model=tiny_bundle.network(n_genres=4))
    with pytest.raises(BundleError, match=r"network.onnx: onnxruntime .* uint8 \(n, 1, 80, frames"):
        tiny_bundle.write(copy, model=tiny_bundle.network(n_mels=64))
    assert before == {file.name: file.read_bytes() for file in copy.iterdir()}
    assert not list(copy.parent.glob(".*"))


@pytest.mark.parametrize("name", bundle.FILES)
def test_changed_and_missing_files_are_named(copy, name):
    file = copy / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=rf"{name}: its content is not that which .*SHA-256"):
        bundle.load(copy)
    file.unlink()
    with pytest.raises(BundleError, match=rf"{name}: cannot be read"):
        bundle.load(copy)


def test_without_digests_nothing_is_loaded(copy, tmp_path):
    sums = copy / bundle.DIGESTS
    sums.write_text(sums.read_text().splitlines()[0] + "\n")
    with pytest.raises(BundleError, match=r"SHA256SUMS: has no digest of bundle.json"):
        bundle.load(copy)
    sums.unlink()
    with pytest.raises(BundleError, match=r"SHA256SUMS: no such file; expected a model bundle"):
        bundle.load(copy)
    with pytest.raises(BundleError, match="nowhere: no such folder"):
        bundle.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "states format 2; this version of genre_utils reads format 1"),
        ({"genres": ["low"]}, "genres is .*expected a list of at least two names"),
        ({"genres": ["low", 3, "high"]}, "genres is .*expected a list of at least two names"),
        ({"temperature": 0}, "temperature is 0; expected a number above 0"),
        ({"temperature": "1"}, "temperature is '1'; expected a number"),
        ({"name": None}, "name is None; expected a str"),
        ({"card": []}, "card is .*expected a dict"),
        ({"familiar": {"mean": [1], "std": [1], "limit": 1}}, "mean is .*expected 160 numbers"),
    ],
)
def test_what_bundle_json_says_is_checked(copy, change, message):
    file = copy / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    sign_again(copy)
    with pytest.raises(BundleError, match=rf"bundle.json: {message}"):
        bundle.load(copy)


def test_another_way_of_preprocessing_is_refused(copy):
    file = copy / "bundle.json"
    said = json.loads(file.read_text())
    said["preprocessing"]["sr"] = 16000
    file.write_text(json.dumps(said))
    sign_again(copy)
    with pytest.raises(BundleError, match="preprocessing is .*which this version computes"):
        bundle.load(copy)
    file.write_text("no json")
    sign_again(copy)
    with pytest.raises(BundleError, match=r"bundle.json: is no JSON"):
        bundle.load(copy)


def test_a_network_is_data_never_code(copy):
    (copy / "network.onnx").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    sign_again(copy)
    with pytest.raises(BundleError, match=r"network.onnx: onnxruntime .* cannot run it"):
        bundle.load(copy)
    assert not (copy / "owned").exists()


def test_a_short_clip_is_repeated_and_other_sounds_are_far():
    t = np.arange(3 * SR) / SR
    noise = np.random.default_rng(0).standard_normal(len(t))
    music = [
        0.2 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(9 * t)) + 0.01 * noise
        for hz in range(200, 1200, 50)
    ]
    x = np.stack([Preprocessing().spectrogram(y.astype(np.float32)) for y in music])[:, None]
    assert x.shape == (20, 1, 80, 496) and x.dtype == np.uint8
    assert np.abs(x[0, 0, :, :49].astype(int) - x[0, 0, :, 248:297]).mean() < 10
    familiar = Familiar.of(x[::2], x[1::2])
    alien = Preprocessing().spectrogram(noise.astype(np.float32))[None, None]
    assert familiar.distances(alien)[0] > familiar.limit >= familiar.distances(x[1::2]).mean()


def test_onnx_and_eight_bits_say_what_pytorch_says():
    torch.manual_seed(0)
    x = np.sort(spectrograms(24), axis=2)
    for item, power in zip(x, np.linspace(0.3, 3, 24), strict=True):
        item[:] = 255 * (item / 255) ** power
    network = training.standardised(cnn.small_resnet(n_bands=80, n_classes=3, width=8), x)
    network.train()
    for _ in range(5):  # statistics of batch normalisation that belong to the data
        network(torch.from_numpy(x))
    plain = export.to_onnx(network, n_bands=80)
    small = export.to_int8(plain, x[::2])
    assert len(small) < 0.5 * len(plain)
    for n_frames in (496, 165, 83):
        piece = np.ascontiguousarray(x[1::2, :, :, :n_frames])
        with torch.inference_mode():
            expected = network(torch.from_numpy(piece)).numpy()
        np.testing.assert_allclose(bundle.Network(plain).logits(piece), expected, atol=1e-4)
        found = bundle.softmax(bundle.Network(small).logits(piece))
        assert np.abs(found - bundle.softmax(expected)).max() < 0.05


def test_temperature_makes_logits_as_sure_as_they_are_right():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 3000)
    right = np.eye(4)[y] + 0.8 * rng.standard_normal((3000, 4))
    scale = shipping.temperature(10 * right, y)
    assert shipping.temperature(right, y) == pytest.approx(scale / 10, rel=0.02)
    p = bundle.softmax(10 * right / scale)
    assert p.max(axis=1).mean() == pytest.approx((p.argmax(axis=1) == y).mean(), abs=0.02)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """Twelve tracks of two genres as pictures, in three parts."""
    folder, rows = tmp_path_factory.mktemp("pictured"), []
    t = np.arange(2 * SR) / SR
    for number, part in enumerate(["train"] * 3 + ["valid"] + ["test"] * 2):
        for genre, hz in (("blues", 300), ("metal", 4000)):
            noise = 0.05 * np.random.default_rng(number).standard_normal(len(t))
            y = 0.4 * np.sin(2 * np.pi * (hz + 40 * number) * t) * (1 + np.sin(12 * t)) + noise
            track_id = f"{genre}.{number:05d}"
            Image.fromarray(images.gtzan_picture(y)).save(folder / f"{track_id}.png")
            rows.append(
                {"track_id": track_id, "genre": genre, "image_path": folder / f"{track_id}.png"}
                | {"artist_id": track_id, "fault_filtered_split": part, "duration_s": 2.0}
            )
    tracks = pd.DataFrame(rows).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["audio_path"] = None
    genres = ("blues", "metal")
    return datasets.Dataset("tiny", "Tiny", folder, tracks, {}, genres, False, "Free.", "Us 2024.")


def test_shipping_trains_packs_scores_and_counts_once(pictured, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    outputs = project.Outputs("tiny")
    found = shipping.ship(pictured, outputs=outputs, epochs=2)
    assert found.folder == outputs.results / "bundle"
    assert found.genres == ("blues", "metal") and found.name == "resnet_small_int8"
    assert found.size < 2**20
    rows = pd.read_parquet(outputs.results / "predictions" / "bundle.parquet")
    assert set(rows["track_id"]) == {f"{g}.{n:05d}" for g in ("blues", "metal") for n in (4, 5)}
    assert 0 <= found.card.scores["accuracy"] <= 1 and found.familiar is not None
    for words in ("fault-filtered", "95 % interval", "Us 2024.", "parameters", "of eight bits"):
        assert words in found.card.text(), words
    error = evaluation.expected_calibration_error(rows, n_bins=shipping.CALIBRATION_BINS)
    assert found.card.scores["calibration_error"] == round(error, 4)
    assert f"{error:.3f} off on average (in {shipping.CALIBRATION_BINS} bins)" in found.card.text()
    record = json.loads((outputs.results / "predictions" / "bundle.json").read_text())["runs"][0]
    assert record["validation"]["largest_difference"] < 0.1

    monkeypatch.setattr(shipping.training, "fit", None)  # nothing is trained again
    again = shipping.ship(pictured, outputs=outputs, epochs=2)
    assert again.digest == found.digest
    uses = pd.read_csv(outputs.results / "test_uses.csv")
    assert uses["times"].tolist() == [1]


def test_shipping_goes_on_where_it_was_cut_off(pictured, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    outputs, fit = project.Outputs("tiny"), training.fit

    def cut_off(*arguments, recipe, **options):
        fit(*arguments, recipe=recipe, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(shipping.training, "fit", cut_off)
    with pytest.raises(KeyboardInterrupt):
        shipping.ship(pictured, outputs=outputs, epochs=1)
    (checkpoint,) = (outputs.units / "bundle.retrain").glob("*.checkpoint")
    assert checkpoint.stat().st_size and not (outputs.results / "bundle").exists()


def test_only_whole_spectrograms_are_shipped(pictured):
    with pytest.raises(project.ProjectError, match="cnn_lstm does not read whole spectrograms"):
        shipping.ship(pictured, system="cnn_lstm")
    plain = replace(pictured, tracks=pictured.tracks.assign(fault_filtered_split=None))
    with pytest.raises(project.ProjectError):
        shipping.ship(plain)


def test_only_gtzan_replaces_the_bundle_of_the_package(pictured):
    inside = shipping.default_folder(pictured, project.Outputs("gtzan"))
    assert inside == bundle.default_folder()
    for outputs in (project.Outputs("demo"), project.Outputs("gtzan", "smoke")):
        assert shipping.default_folder(pictured, outputs) == outputs.results / "bundle"


def test_the_default_bundle_is_small_sound_and_of_the_ten_genres(monkeypatch, tmp_path):
    if bundle.default_folder().is_dir():
        found = bundle.default()
        assert found.size <= 2**20 and len(found.genres) == 10 and found.familiar is not None
        assert found.card.scores["accuracy_low"] > 0.4
    monkeypatch.setattr(bundle, "_DEFAULT", tmp_path / "none")
    bundle.default.cache_clear()
    with pytest.raises(BundleError, match="without a trained network; make one with make bundle"):
        bundle.default()


def test_the_command_says_what_is_wrong(capsys):
    assert shipping.main(["--dataset", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
