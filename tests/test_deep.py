"""Networks under the protocols: every system builds and learns; runs resume and repeat."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from PIL import Image
from torch import nn

from genre_utils import datasets, deep, experiments, features, inputs, splits, systems, training
from genre_utils.deep import Group
from genre_utils.models.cnn import cnn9
from genre_utils.models.layers import Coloured
from genre_utils.project import Outputs, ProjectError
from genre_utils.splits import PROTOCOLS
from genre_utils.systems import System
from genre_utils.training import Recipe

GENRES = ("blues", "metal", "pop")
SHAPES = {
    "spectrogram": (1, 80, 49),
    "spectrogram+features": (1, 80, 49),
    "picture": (1, 370, 496),
    "waveform": (1, 64, 128),
    "zcr": (1, 64, 128),
    "mfcc": (1, 13, 130),
    "mfcc+rms": (1, 14, 130),
    "waveform samples": (66150,),
}


TINY = System(
    "tiny",
    "tiny network",
    "reads how loud each part of a spectrogram is",
    lambda shape, n, pretrained: nn.Sequential(
        nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, n)
    ),
    segment_s=3.0,
    recipe=Recipe(epochs=2, batch_size=16, learning_rate=3e-2),
    listens=True,
)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path / "outputs"))
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")
    monkeypatch.setattr("genre_utils.models.resnet.weights_available", lambda: False)
    monkeypatch.setitem(systems.SYSTEMS, "tiny", TINY)
    before = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory) -> datasets.Dataset:
    """Pictures of three genres that are loud in different bands."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows = []
    for number, genre in enumerate(GENRES):
        for track in range(12):
            picture = rng.integers(0, 120, (370, 496))
            first = 40 + 100 * number
            picture[first : first + 60] += 100
            path = folder / f"{genre}{track:05d}.png"
            Image.fromarray(picture.astype(np.uint8)).save(path)
            part = ["train", "train", "train", "valid", "test", "test"][track // 2]
            rows.append(
                {
                    "track_id": f"{genre}.{track:05d}",
                    "genre": genre,
                    "image_path": path,
                    "artist_id": f"{genre}{track // 2}",
                    "fault_filtered_split": part,
                }
            )
    tracks = pd.DataFrame(rows).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["audio_path"] = None
    return datasets.Dataset("tiny", "tiny", folder, tracks, {}, GENRES, False, "none", "none")


def run(dataset, *names, study="05_sequence_models", **changes):
    settings = {"protocols": ["fault_filtered"], "seeds": [0], "n_folds": 2, "epochs": 2}
    group = Group(list(names), **(settings | changes))
    return deep.run_networks(dataset, [group], study=study, outputs=Outputs("tiny"))


def batch(system: systems.System, n: int = 4):
    shape = SHAPES[system.input]
    x = np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(np.uint8)
    if system.input == "spectrogram+features":
        return x, np.random.default_rng(1).normal(size=(n, 57)).astype(np.float32)
    return x


@pytest.mark.parametrize("name", [n for n, s in systems.SYSTEMS.items() if not s.classical])
def test_every_system_takes_its_input_and_learns_from_every_parameter(name):
    system = systems.SYSTEMS[name]
    if name == "resnet18_colour":
        pytest.skip("minutes: its small version, which is the same network, is tested")
    x = batch(system)
    network = deep.build(system, x, n_classes=3, seed=0)
    tensors = training.Machine.cpu().batch(x, np.arange(4))
    logits = network.train()(tensors)
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None]
    assert not idle


@pytest.mark.parametrize("name", ["resnet_small", "attention", "transformer", "vgg", "lstm_mfcc"])
def test_networks_on_whole_clips_take_other_lengths(name):
    system = systems.SYSTEMS[name]
    network = deep.build(system, batch(system), n_classes=3, seed=0).eval()
    for n_bands, n_frames in ((80, 165), (80, 496)):
        assert network(torch.zeros(2, 1, n_bands, n_frames)).shape == (2, 3)


def test_equal_seeds_begin_with_equal_weights_and_others_do_not():
    system = systems.SYSTEMS["resnet_small"]

    def first(seed):
        network = deep.build(system, batch(system), n_classes=3, seed=seed)
        return next(p for p in network.parameters() if p.ndim == 4)

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


def test_the_dense_part_of_the_nine_layer_network_grows_with_the_segment():
    def count(n_frames):
        return sum(p.numel() for p in cnn9(n_bands=80, n_frames=n_frames).parameters())

    assert count(16) < count(49) < count(165)


def test_a_picture_gets_the_colours_matplotlib_saves():
    levels = torch.tensor([[[[0.0, 255.0]]]])
    coloured = Coloured(1, 2)(levels)[0, :, 0]
    import matplotlib

    expected = matplotlib.colormaps["viridis"]([0, 255])[:, :3].T
    np.testing.assert_allclose((coloured + 1) / 2, expected, atol=1e-5)


def test_every_protocol_is_answered_from_pictures(pictured):
    result = run(pictured, "tiny", protocols=list(PROTOCOLS))
    assert not len(result.impossible)
    answered = result.predictions.groupby("protocol")["segment_s"].first()
    assert set(answered.index) == set(PROTOCOLS) and set(answered) == {3.0}
    assert set(result.runs["source"]) == {"picture"}
    tested = result.predictions[result.predictions["protocol"] == "fault_filtered"]
    parts = pictured.tracks.set_index("track_id")["fault_filtered_split"]
    assert set(parts[tested["track_id"]]) == {"test"}


def test_a_whole_clip_system_reads_pieces_where_segments_are_split(pictured):
    result = run(pictured, "lstm_mfcc", protocols=["segment_random", "track_random"], epochs=1)
    lengths = result.predictions.groupby("protocol")["segment_s"].first()
    assert lengths.to_dict() == {"segment_random": deep.LEAKY_S, "track_random": 30.0}


def test_a_network_learns_what_can_be_learnt_and_the_record_says_how(pictured):
    result = run(pictured, "tiny", epochs=8)
    columns = [f"p_{genre}" for genre in GENRES]
    rows = result.predictions
    np.testing.assert_allclose(rows[columns].sum(axis=1), 1, atol=1e-3)
    right = np.array(GENRES)[rows[columns].to_numpy().argmax(axis=1)] == rows["y_true"]
    assert right.mean() > 0.9
    (run_,) = result.runs.to_dict(orient="records")
    assert run_["train_accuracy"] > 0.9 and run_["validation_accuracy"] > 0.9
    assert len(run_["history"]) == 8 and run_["pretrained"] == "none"
    assert run_["n_train_tracks"] == 18 and run_["n_train"] == 180
    assert run_["weights_mb"] == pytest.approx(4e-6 * run_["n_parameters"])


def test_occlusion_finds_the_bands_that_decide(pictured):
    result = run(pictured, "tiny", epochs=8)
    heard = {row["genre"]: np.array(row["drop"]) for row in result.runs["heard"].iloc[0]}
    assert set(heard) == set(GENRES)
    # Blues is loud at the top of its pictures, pop lower down.
    loudest = {genre: drop.mean(axis=1).argmax() for genre, drop in heard.items()}
    assert loudest["blues"] >= loudest["pop"]
    parts = pictured.tracks.set_index("track_id")["fault_filtered_split"]
    shown = [row["track_id"] for row in result.runs["heard"].iloc[0]]
    assert set(parts[shown]) == {"valid"}, "no test track is explained"


def test_equal_runs_predict_equally_and_a_cut_off_run_goes_on(pictured, monkeypatch):
    whole = run(pictured, "tiny", study="whole").predictions
    again = run(pictured, "tiny", study="again").predictions
    pd.testing.assert_frame_equal(whole, again)

    keep, epochs = training._Run.keep, []

    def cut_off(self, row):
        keep(self, row)
        epochs.append(row["epoch"])

    save = training._Run.save

    def killed(self, checkpoint):
        save(self, checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "keep", cut_off)
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run(pictured, "tiny", study="cut")
    resumed = run(pictured, "tiny", study="cut").predictions
    assert epochs == [1, 2], "the first epoch was trained twice"
    pd.testing.assert_frame_equal(whole, resumed)


def test_finished_units_are_not_trained_again(pictured, monkeypatch):
    first = run(pictured, "tiny")
    monkeypatch.setattr(deep.NetworkWork, "__call__", pytest.fail)
    pd.testing.assert_frame_equal(first.predictions, run(pictured, "tiny").predictions)


def test_another_recipe_or_augmentation_is_another_run(pictured, monkeypatch):
    first = run(pictured, "tiny").runs["run_id"]
    assert set(first).isdisjoint(run(pictured, "tiny", epochs=3).runs["run_id"])
    changed = replace(
        systems.SYSTEMS["tiny"], augmentation=systems.SYSTEMS["resnet_small"].augmentation
    )
    monkeypatch.setitem(systems.SYSTEMS, "tiny", changed)
    assert set(first).isdisjoint(run(pictured, "tiny").runs["run_id"])


def test_stages_use_the_validation_part_as_they_say(pictured):
    sizes = {}
    for stage in deep.STAGES:
        result = run(pictured, "tiny", stage=stage, study=stage)
        sizes[stage] = result.runs["n_train_tracks"].iloc[0]
        has_valid = np.isfinite(pd.to_numeric(result.runs["validation_accuracy"])).all()
        assert has_valid == (stage == "final")
    assert sizes == {"final": 18, "last": 18, "refit": 24, "inner": 12}


def test_inner_folds_predict_each_training_track_once_and_nothing_else(pictured):
    result = run(pictured, "tiny", stage="inner")
    parts = pictured.tracks.set_index("track_id")["fault_filtered_split"]
    predicted = result.predictions.drop_duplicates(["run_id", "track_id"])["track_id"]
    assert sorted(predicted) == sorted(parts[parts == "train"].index)
    assert not (Outputs("tiny").results / "test_uses.csv").exists(), "no test part was used"


def test_other_music_is_predicted_beside_the_test_part(pictured, tmp_path):
    rng = np.random.default_rng(3)
    rows = []
    for genre in ("blues", "pop"):
        path = tmp_path / f"{genre}.wav"
        sf.write(path, 0.1 * rng.standard_normal(31 * 22050), 22050)
        rows.append({"track_id": f"{genre}.new", "genre": genre, "audio_path": path})
    tracks = pd.DataFrame(rows).reindex(columns=list(datasets.TRACK_COLUMNS))
    other = datasets.Dataset(
        "new", "new", tmp_path, tracks.astype(object).where(tracks.notna(), None), {},
        ("blues", "pop"), False, "none", "none",
    )  # fmt: skip
    group = Group(["tiny"], ["track_random", "fault_filtered"], [0], n_folds=2)
    outputs = Outputs("tiny")
    result = deep.run_networks(pictured, [group], study="s", outputs=outputs, elsewhere=other)
    rows = result.predictions[result.predictions["stage"] == "elsewhere"]
    assert set(rows["track_id"]) == {"blues.new", "pop.new"} and len(rows) == 20
    assert set(rows["protocol"]) == {"fault_filtered"}
    uses = pd.read_csv(outputs.results / "test_uses.csv").set_index("protocol")
    assert uses.loc["fault_filtered", "n_test_tracks"] == 12


def test_training_never_sees_the_test_part(pictured, monkeypatch):
    """Equal predictions of all other items follow from test items that are noise."""
    data = inputs.load(pictured, "spectrogram", segment_s=3.0)
    split = splits.make_splits(data.items, "fault_filtered")[0]
    seen = []
    fit = training.fit

    def watched(network, train, *, valid, **options):
        seen.extend([train[0], valid[0]])
        return fit(network, train, valid=valid, **options)

    monkeypatch.setattr(training, "fit", watched)
    run(pictured, "tiny")
    test = {item.tobytes() for item in data.x[split.test]}
    used = {item.tobytes() for part in seen for item in part}
    assert used and used.isdisjoint(test)


def test_what_needs_sound_says_so_and_the_rest_is_trained(pictured):
    result = run(pictured, "resnet18_waveform", "cnn9_pydub", "tiny", protocols=list(PROTOCOLS))
    assert set(result.runs["model"]) == {"tiny"}
    reasons = result.impossible.groupby("model")["reason"].first()
    assert set(reasons.index) == {"resnet18_waveform", "cnn9_pydub"}
    assert reasons.str.contains("needs sound").all()


def test_what_is_left_out_to_save_time_says_so(pictured):
    result = run(pictured, "attention", protocols=list(PROTOCOLS), seeds=[0, 1], epochs=1)
    assert list(result.runs["protocol"]) == ["fault_filtered"] and list(result.runs["seed"]) == [0]
    assert set(result.impossible["protocol"]) == set(PROTOCOLS) - {"fault_filtered"}
    assert result.impossible["reason"].str.contains("to save time").all()


def test_a_classical_model_reads_the_same_segments(pictured):
    result = run(pictured, "xgboost_mfcc", segment_lengths=[3.0, 15.0])
    assert result.runs.groupby("segment_s")["n_test"].first().to_dict() == {3.0: 120, 15.0: 24}
    assert (result.runs["train_accuracy"] > 0.9).all()


def test_statistics_of_cepstra_are_means_and_spreads_over_time():
    x = np.random.default_rng(0).integers(0, 256, (3, 1, 80, 10)).astype(np.uint8)
    X = deep.mfcc_statistics(x, n_mfcc=4)
    assert X.shape == (3, 8)
    level = x[:, 0].astype(float).sum(axis=1).mean(axis=1) / np.sqrt(80)
    np.testing.assert_allclose(X[:, 0], level, rtol=1e-4)


def test_wrong_names_are_refused_before_anything_is_trained(pictured):
    with pytest.raises(ProjectError, match="unknown systems: resnet99"):
        run(pictured, "resnet99")
    with pytest.raises(ProjectError, match="unknown protocol"):
        run(pictured, "tiny", protocols=["by_mood"])
    with pytest.raises(ProjectError, match="unknown stage"):
        run(pictured, "tiny", stage="best")


def test_without_any_file_the_stored_predictions_are_returned(pictured):
    trained = run(pictured, "tiny").predictions
    gone = replace(pictured, tracks=pictured.tracks.assign(image_path=None))
    pd.testing.assert_frame_equal(trained, run(gone, "tiny").predictions)


def test_a_budget_is_studied_on_the_validation_part(pictured, monkeypatch):
    settings = {
        "system": "tiny", "epochs": [1, 2], "learning_rates": [1e-3, 1e-2], "batch_sizes": [64],
        "study": "05_sequence_models", "outputs": Outputs("tiny"),
    }  # fmt: skip
    table = deep.budget_study(pictured, **settings)
    assert list(table["epochs"]) == [1, 2, 1] and list(table["learning_rate"])[2] == 1e-2
    assert table["valid_accuracy"].between(0, 1).all()
    assert not (Outputs("tiny").results / "test_uses.csv").exists()
    monkeypatch.setattr(training, "fit", pytest.fail)
    pd.testing.assert_frame_equal(table, deep.budget_study(pictured, **settings))


def test_runs_are_counted_as_uses_of_the_test_part(pictured):
    run(pictured, "tiny", seeds=[0, 1])
    uses = pd.read_csv(Outputs("tiny").results / "test_uses.csv")
    assert len(uses) == 2 and set(uses["model"]) == {"tiny"}


def test_names_tie_to_inputs_and_models():
    for name, system in systems.SYSTEMS.items():
        assert system.name == name
        assert system.input in inputs.INPUTS
        assert bool(system.build) != bool(system.classical)
        assert not system.classical or system.classical in experiments.CLASSICAL
    assert features.SR == 22050
