"""A network that learns from an ensemble: from rows of the training part, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from genre_utils import datasets, distillation, inputs, project, systems
from genre_utils.experiments import StudyResult
from genre_utils.project import Outputs, ProjectError
from genre_utils.systems import System
from genre_utils.training import Recipe

GENRES = ("blues", "metal", "pop")
PARTS = ["train", "train", "train", "valid", "test", "test"]
TINY = System(
    "tiny",
    "tiny network",
    "reads how loud each part of a spectrogram is",
    lambda shape, n, pretrained: nn.Sequential(
        nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64, n)
    ),
    recipe=Recipe(epochs=3, batch_size=8, learning_rate=3e-2),
)


def tracks_of(n_each=12, prefix=""):
    tracks = pd.DataFrame(
        [
            {
                "track_id": f"{prefix}{genre}.{i:05d}",
                "genre": genre,
                "artist_id": f"{prefix}{genre}{i // 2}",
                "fault_filtered_split": PARTS[i // 2],
            }
            for genre in GENRES
            for i in range(n_each)
        ]
    ).reindex(columns=list(datasets.TRACK_COLUMNS))
    return tracks.assign(audio_path="somewhere")


def spectrograms(dataset):
    rng = np.random.default_rng(0)
    items = dataset.tracks[["track_id", "genre", "artist_id", "fault_filtered_split"]]
    items = items.assign(segment_index=0, segment_start_s=0.0, segment_s=30.0)
    x = rng.integers(0, 80, (len(items), 1, 24, 48))
    for at, genre in enumerate(items["genre"]):
        first = 8 * GENRES.index(genre)
        x[at, 0, first : first + 8] += 120
    digest = project.text_digest(*items["track_id"])
    none = pd.DataFrame(columns=["track_id", "file", "reason"])
    return inputs.Input(
        "spectrogram", "picture", x.astype(np.uint8), items, np.arange(24.0), none, digest
    )


def said(dataset, *, right=0.7):
    """A headline that is mostly right about the training part."""
    tracks = dataset.tracks[dataset.tracks["fault_filtered_split"] == "train"]
    rows = pd.DataFrame(
        {
            "run_id": "x", "model": "best", "stage": "inner", "protocol": "fault_filtered",
            "track_id": tracks["track_id"].to_numpy(), "y_true": tracks["genre"].to_numpy(),
        }
    )  # fmt: skip
    for genre in GENRES:
        rows[f"p_{genre}"] = np.where(rows["y_true"] == genre, right, (1 - right) / 2)
    return StudyResult(rows, pd.DataFrame(), pd.DataFrame())


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBS", "1")
    monkeypatch.setitem(systems.SYSTEMS, "tiny", TINY)
    monkeypatch.setattr(inputs, "load", lambda dataset, name, *, segment_s: spectrograms(dataset))
    monkeypatch.setattr(inputs, "like", lambda dataset, first: spectrograms(dataset))
    return datasets.Dataset(
        "tiny", "tiny", tmp_path, tracks_of(), {}, GENRES, False, "none", "none"
    )


def run(dataset, headlines=None, **changes):
    settings = {"teacher": "best", "system": "tiny", "seeds": [0], "study": "07_distilled"}
    settings["outputs"] = Outputs("tiny")
    return distillation.run_distilled(dataset, headlines or said(dataset), **settings | changes)


def test_the_network_learns_the_mean_of_label_and_ensemble(small, monkeypatch):
    seen = []
    fit = distillation.deep.training.fit

    def watched(network, train, *, valid, **options):
        seen.append((train[1], valid[1]))
        return fit(network, train, valid=valid, **options)

    monkeypatch.setattr(distillation.deep.training, "fit", watched)
    result = run(small)
    ((targets, of_validation),) = seen
    assert targets.shape == (18, 3) and targets.dtype == np.float32
    np.testing.assert_allclose(targets.max(axis=1), 0.85, atol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert set(np.unique(of_validation)) == {0.0, 1.0}
    rows = result.predictions
    parts = small.tracks.set_index("track_id")["fault_filtered_split"]
    assert set(rows["model"]) == {"tiny (distilled)"} and set(rows["stage"]) == {"final"}
    assert sorted(rows["track_id"]) == sorted(parts.index[parts == "test"])
    right = rows[[f"p_{g}" for g in GENRES]].idxmax(axis=1).str[2:] == rows["y_true"]
    assert right.mean() > 0.8


def test_the_test_part_changes_nothing_that_is_learnt(small):
    """What the ensemble says of test tracks, and their labels, are not looked at."""
    before = run(small).predictions
    knows_more = said(small).predictions
    test = small.tracks[small.tracks["fault_filtered_split"] == "test"]
    extra = knows_more.iloc[: len(test)].assign(track_id=test["track_id"].to_numpy())
    told = StudyResult(pd.concat([knows_more, extra]), pd.DataFrame(), pd.DataFrame())
    after = run(small, told, study="told").predictions
    columns = ["track_id", *(f"p_{genre}" for genre in GENRES)]
    pd.testing.assert_frame_equal(before[columns], after[columns])


def test_runs_resume_count_one_use_a_seed_and_predict_other_music(small, monkeypatch):
    others = datasets.Dataset(
        "others", "others", small.root, tracks_of(2, "MT"), {}, GENRES, False, "-", "-"
    )
    first = run(small, seeds=[0, 1], epochs=1, elsewhere=others)
    assert set(first.predictions["stage"]) == {"final", "elsewhere"}
    assert set(first.runs["epochs"]) == {1}
    uses = pd.read_csv(Outputs("tiny").results / "test_uses.csv")
    assert uses["times"].tolist() == [1, 1] and set(uses["seed"]) == {0, 1}
    monkeypatch.setattr(
        distillation.DistilledWork, "__call__", lambda self: pytest.fail("trained again")
    )
    again = run(small, seeds=[0, 1], epochs=1, elsewhere=others)
    pd.testing.assert_frame_equal(again.predictions, first.predictions)
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    pd.testing.assert_frame_equal(run(small, seeds=[0, 1]).predictions, first.predictions)


def test_a_teacher_that_said_nothing_is_refused(small):
    with pytest.raises(ProjectError, match="'worst' has no predictions of the training part"):
        run(small, teacher="worst")
    with pytest.raises(ProjectError, match="unknown systems: none"):
        run(small, system="none")
