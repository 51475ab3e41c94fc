"""Blocks of numbers: which tracks they describe, and what they are measured on."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_msd_convnet import write_weights

from genre_utils import blocks, datasets
from genre_utils.models import msd_convnet as convnet
from genre_utils.project import ProjectError

PARTS = ["train", "train", "valid", "test"]
TAGS = ["taggrams", "tag percentiles", "tag log-odds", "tag log-odds percentiles"]


def pictured(folder, *, seed=0, spoilt=()):
    """Pictures of four tracks; those of `spoilt` parts are other ones."""
    rows = []
    for number, part in enumerate(PARTS):
        rng = np.random.default_rng([seed, number, 99 if part in spoilt else 0])
        picture = rng.integers(0, 256, (370, 496)).astype(np.uint8)
        path = folder / f"blues{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        rows.append(
            {
                "track_id": f"blues.{number:05d}",
                "genre": "blues",
                "image_path": path,
                "fault_filtered_split": part,
            }
        )
    tracks = pd.DataFrame(rows).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["audio_path"] = None
    return datasets.Dataset("tiny", "tiny", folder, tracks, {}, ("blues",), False, "-", "-")


@pytest.fixture
def with_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")
    network = convnet.load(write_weights(tmp_path / "weights.hdf5"))
    monkeypatch.setattr(convnet, "load", lambda path=None: network)
    return tmp_path


def test_the_convnets_statistics_never_see_a_test_track(with_weights):
    first = pictured(with_weights / "a")
    other = pictured(with_weights / "b", spoilt=("test", "valid"))
    X, Z = (blocks.BLOCKS["MSD convnet"](data, data).frame for data in (first, other))
    assert X.shape == (4, 160) and list(X.index) == list(first.tracks["track_id"])
    train = first.tracks["fault_filtered_split"].eq("train").to_numpy()
    np.testing.assert_allclose(X[train], Z[train], rtol=1e-5)
    assert np.abs(X[~train] - Z[~train]).to_numpy().max() > 1e-3


def test_other_music_is_described_with_the_statistics_of_what_is_learnt_from(
    with_weights, monkeypatch
):
    first = pictured(with_weights / "a")
    others = pictured(with_weights / "b", seed=7)
    measured = []
    measure = convnet.measure

    def watched(network, power, *, train, test):
        measured.append((tuple(train), set(test)))
        return measure(network, power, train=train, test=test)

    monkeypatch.setattr(convnet, "measure", watched)

    def block(music, learnt_from):
        return blocks.BLOCKS["MSD convnet"](music, learnt_from).frame

    X = block(first, first)
    Z = block(others, first)
    assert measured == [(("blues.00000", "blues.00001"), {"blues.00003"})] * 2
    same = block(first.__class__(**{**vars(first), "name": "copy"}), first)
    np.testing.assert_allclose(same, X, rtol=1e-5)
    assert Z.shape == X.shape
    n_measured = len(measured)
    pd.testing.assert_frame_equal(block(first, first), X)
    assert len(measured) == n_measured, "what was computed is kept"


def test_networks_are_not_asked_about_made_up_sounds(demo):
    with pytest.raises(ProjectError, match="made-up sounds"):
        blocks.BLOCKS["MSD convnet"](demo, demo)


def test_taggrams_are_missing_where_they_were_not_published(with_weights):
    data = pictured(with_weights / "a")
    for name in TAGS:
        with pytest.raises(ProjectError, match="no such file"):
            blocks.BLOCKS[name](data, data)


def test_short_segments_are_averaged_over_a_track(demo):
    block = blocks.BLOCKS["57 features, 10 s"](demo, demo).frame
    assert block.shape[1] == 2 * 57 and block.index.is_unique
    assert set(block.index) <= set(demo.tracks["track_id"])
    assert (block.filter(like="_spread") >= 0).all(axis=None)


@pytest.mark.real_data
def test_blocks_of_gtzan_describe_every_training_track(gtzan_root):
    data = datasets.load("gtzan")
    train = data.tracks.loc[data.tracks["fault_filtered_split"] == "train", "track_id"]
    names = ["57 features, 30 s", "57 features, 10 s"]
    names += TAGS
    for name in names:
        block = blocks.BLOCKS[name](data, data).frame
        assert block.index.is_unique and np.isfinite(block.to_numpy()).all(), name
        assert train.isin(block.index).all(), name
