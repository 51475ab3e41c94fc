"""Pretrained networks in the study: probed, trained further, or left out with a reason."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_msd_convnet import write_weights
from test_pretrained import save_vit

from genre_utils import datasets, project, results, transfer
from genre_utils.models import msd_convnet as convnet
from genre_utils.models import pretrained
from genre_utils.models.weights import NOT_HERE, WeightsError
from genre_utils.project import Outputs, ProjectError

GENRES = ("blues", "metal", "pop")
PARTS = ["train", "train", "train", "valid", "test"]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path / "outputs"))
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """Pictures of three genres that are loud in different bands; two tracks an artist."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows = []
    for number, genre in enumerate(GENRES):
        for track in range(10):
            picture = rng.integers(0, 120, (370, 496))
            picture[40 + 100 * number : 100 + 100 * number] += 100
            path = folder / f"{genre}{track:05d}.png"
            Image.fromarray(picture.astype(np.uint8)).save(path)
            rows.append(
                {
                    "track_id": f"{genre}.{track:05d}",
                    "genre": genre,
                    "image_path": path,
                    "artist_id": f"{genre}{track // 2}",
                    "fault_filtered_split": PARTS[track // 2],
                }
            )
    tracks = pd.DataFrame(rows).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["audio_path"] = None
    return datasets.Dataset("tiny", "tiny", folder, tracks, {}, GENRES, False, "none", "none")


def available(monkeypatch, reason, here=True):
    def table(names):
        return pd.DataFrame(
            {"name": list(names), "available": here, "reason": reason, "title": list(names)}
        )

    monkeypatch.setattr(pretrained, "availability", table)


def run(data, names=("vit_b_16",), **options):
    settings = {"study": "07_pretrained", "outputs": Outputs("tiny"), "epochs": 1}
    return transfer.run_available(data, list(names), **settings | options)


def test_networks_that_are_here_are_probed_and_trained_further(pictured, monkeypatch, tmp_path):
    torch.manual_seed(0)
    save_vit(tmp_path / "vit")
    load = pretrained.load
    monkeypatch.setattr(
        pretrained,
        "load",
        lambda name, *, genres: load(name, genres=genres, folder=tmp_path / "vit"),
    )
    available(monkeypatch, "on this computer")
    result = run(pictured, ["vit_b_16", "ast"])
    assert set(result.predictions["model"]) == {"vit_b_16 (probe)", "vit_b_16 (fine-tuned)"}
    parts = pictured.tracks.set_index("track_id")["fault_filtered_split"]
    for _, rows in result.predictions.groupby("model"):
        assert sorted(rows["track_id"]) == sorted(parts.index[parts == "test"])
        probabilities = rows[[f"p_{genre}" for genre in GENRES]]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    (note,) = result.impossible.to_dict("records")
    assert note["model"] == "ast" and "no sound" in note["reason"]
    uses = pd.read_csv(Outputs("tiny").results / "test_uses.csv")
    assert uses["times"].tolist() == [1, 1]
    monkeypatch.setattr(transfer._Work, "__call__", lambda self: pytest.fail("trained again"))
    pd.testing.assert_frame_equal(
        run(pictured, ["vit_b_16", "ast"]).predictions, result.predictions
    )


@pytest.mark.parametrize(
    ("reason", "here", "options"),
    [(NOT_HERE, False, {}), ("can be fetched", True, {"fetch": False})],
)
def test_networks_without_weights_are_left_out_with_a_reason(
    pictured, monkeypatch, reason, here, options
):
    available(monkeypatch, reason, here)
    result = run(pictured, **options)
    assert result.predictions.empty
    assert result.impossible["reason"].iloc[0].startswith(NOT_HERE)


def test_the_msd_convnet_is_given_a_head_and_trained_further(pictured, monkeypatch, tmp_path):
    network = convnet.load(write_weights(tmp_path / "weights.hdf5"))
    monkeypatch.setattr(convnet, "load", lambda path=None: network)
    before = network.layers[0].convolution.weight.clone()
    few = replace(pictured, tracks=pictured.tracks.iloc[1::2].reset_index(drop=True))
    others = pictured.tracks.iloc[::15].assign(fault_filtered_split=None)
    others = others.assign(track_id="other." + others["track_id"]).reset_index(drop=True)
    elsewhere = datasets.Dataset(
        "others", "others", pictured.root, others, {}, GENRES, False, "none", "none"
    )
    result = transfer.run_convnet(
        few, study="07_msd_convnet", outputs=Outputs("tiny"), epochs=1, elsewhere=elsewhere
    )
    names = {transfer.CONVNET + ending for ending in (transfer.PROBE, transfer.FINETUNED)}
    assert set(result.predictions["model"]) == names
    assert set(result.predictions["source"]) == {"picture"}
    counts = result.predictions.groupby(["model", "stage"]).size()
    assert set(counts.xs("final", level="stage")) == {3}
    assert set(counts.xs("elsewhere", level="stage")) == {2}
    assert torch.equal(before, network.layers[0].convolution.weight), "published weights stay"


def test_without_the_convnets_weights_the_study_goes_on(pictured, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    result = transfer.run_convnet(pictured, study="x", outputs=Outputs("tiny"))
    assert result.predictions.empty and len(result.impossible) == 2
    assert str(tmp_path) not in result.impossible["reason"].iloc[0]


def test_a_table_is_computed_read_or_empty(pictured, monkeypatch):
    report = results.Report("07_transfer_learning", dataset=pictured, profile="full")

    def impossible():
        raise ProjectError("no weights")

    assert transfer.table_or_stored(report, "rebuilt", impossible).empty
    made = pd.DataFrame({"layer": [1, 2]})
    transfer.table_or_stored(report, "rebuilt", lambda: made)
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    again = transfer.table_or_stored(report, "rebuilt", impossible)
    pd.testing.assert_frame_equal(again, made)


def test_other_music_is_a_folder_below_the_data(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert transfer.other_music("") is None and transfer.other_music("newdata") is None


def test_stored_predictions_are_enough(pictured, monkeypatch):
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    found = run(pictured, ["resnet18"])
    assert found.impossible["reason"].tolist() == [NOT_HERE]
    assert project.from_predictions()


def test_weights_of_listeners_are_fetched_only_where_wanted(monkeypatch):
    asked = []

    def missing():
        raise WeightsError("weights not available here")

    for module in transfer.LISTENERS.values():
        monkeypatch.setattr(module, "fetch", lambda: asked.append("fetch"))
        monkeypatch.setattr(module, "load", missing)
    table = transfer.fetch_listeners(fetch=False)
    assert asked == [] and not table["available"].any()
    assert list(table["title"]) == list(transfer.LISTENERS)
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    transfer.fetch_listeners(fetch=True)
    assert asked == [], "stored results need no weights"
    monkeypatch.delenv("FROM_PREDICTIONS")
    transfer.fetch_listeners(fetch=True)
    assert len(asked) == 2


def test_replayed_taggrams_are_compared_track_by_track(monkeypatch, demo):
    published = {"blues.00000": np.full((28, 50), 0.2), "blues.00001": np.zeros((28, 50))}
    published["blues.00000"] += np.linspace(0, 0.1, 50)

    class Heard:
        files = {"blues.00000": None, "rock.00000": None}

        @staticmethod
        def load(track):
            return published[track][:-1] + 0.01

    monkeypatch.setattr(transfer.representations, "taggram_series", lambda root: published)
    monkeypatch.setattr(transfer, "musicnn_of_sound", lambda music: Heard)
    (row,) = transfer.replayed(demo).to_dict("records")
    assert row["track_id"] == "blues.00000"
    assert row["difference"] == pytest.approx(0.01) and row["correlation"] == pytest.approx(1)
    Heard.files = {"rock.00000": None}
    with pytest.raises(ProjectError, match="no track has both"):
        transfer.replayed(demo)
