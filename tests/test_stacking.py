"""Members and headlines: chosen inside the training part, and by nothing else."""

import numpy as np
import pandas as pd
import pytest

from genre_utils import datasets, features, project, stacking
from genre_utils.blocks import Block
from genre_utils.models.weights import WeightsError
from genre_utils.project import Outputs, ProjectError

GENRES = ("blues", "metal", "pop")
PARTS = ["train", "train", "train", "train", "valid", "test", "test"]
SMALL = {
    "svm": [{"C": 1.0, "gamma": 0.3}, {"C": 10.0, "gamma": 0.1}],
    "logistic": [{"C": 0.3}, {"C": 30.0}],
    "xgboost": [{"max_depth": 2}],
}


def tracks_of(prefix="", n_each=28, genres=GENRES):
    tracks = pd.DataFrame(
        [
            {
                "track_id": f"{prefix}{genre}.{i:05d}",
                "genre": genre,
                "artist_id": f"{genre}{i // 2}",
            }
            for genre in genres
            for i in range(n_each)
        ]
    ).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["fault_filtered_split"] = [PARTS[i % 14 // 2] for i in range(len(tracks))]
    tracks["audio_path"] = "somewhere"
    return tracks


def dataset(tracks, name="tiny"):
    genres = tuple(sorted(set(tracks["genre"])))
    root = project.root() / name
    return datasets.Dataset(name, name, root, tracks, {}, genres, False, "none", "none")


def noisy(spread, n_columns, seed):
    """A block: numbers around each genre's centre, drawn track by track."""

    def block(music, learnt_from):
        rows = []
        for track in music.tracks.itertuples():
            rng = np.random.default_rng([seed, int(project.text_digest(track.track_id)[:6], 16)])
            centre = np.zeros(n_columns)
            centre[GENRES.index(track.genre)] = 2.0
            rows.append(centre + rng.normal(0, spread, n_columns))
        frame = pd.DataFrame(rows, index=list(music.tracks["track_id"]))
        return Block(frame, project.text_digest(f"{spread} {seed}", *frame.index))

    return block


def missing(music, learnt_from):
    raise features.FeatureError(f"{music.root}/tags.npz: no such file")


def only_here(music, learnt_from):
    if music is not learnt_from:
        raise ProjectError("published for other tracks only")
    return noisy(0.8, 5, 3)(music, learnt_from)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A small data set whose blocks are drawn, and members that read them."""
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBS", "1")
    blocks = {"a": noisy(1.5, 6, 1), "b": noisy(1.0, 4, 2), "gone": missing, "here": only_here}
    monkeypatch.setattr(stacking, "BLOCKS", blocks)
    monkeypatch.setattr(stacking, "_GRIDS", SMALL)
    members = [
        stacking.Member("svm_a", "SVM, a", ("a",), "svm"),
        stacking.Member("logistic_b", "logistic, b", ("b",), "logistic"),
        stacking.Member("svm_ab", "SVM, a + b", ("a", "b"), "svm"),
        stacking.Member("svm_gone", "SVM, gone", ("a", "gone"), "svm", True),
        stacking.Member("logistic_here", "logistic, here", ("here",), "logistic", True),
    ]
    monkeypatch.setattr(stacking, "MEMBERS", {member.name: member for member in members})
    return dataset(tracks_of())


def run(data, names=("svm_a", "logistic_b"), study="members", **options):
    return stacking.run_members(
        data, list(names), study=study, outputs=Outputs(data.name), **options
    )


def headline(data, result, members, study="headlines", **options):
    return stacking.run_headlines(
        data,
        result.predictions,
        [stacking.Headline("best", "best", tuple(members), **options)],
        study=study,
        outputs=Outputs(data.name),
    )


def test_members_predict_the_training_part_in_folds_and_the_test_part_once(small):
    result = run(small, ["svm_a", "svm_ab"])
    parts = small.tracks.set_index("track_id")["fault_filtered_split"]
    for stage, part in (("inner", "train"), ("final", "test")):
        rows = result.predictions[result.predictions["stage"] == stage]
        for _, of_member in rows.groupby("model"):
            assert sorted(of_member["track_id"]) == sorted(parts.index[parts == part])
    probabilities = result.predictions[[f"p_{genre}" for genre in GENRES]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    right = result.predictions.assign(
        right=probabilities.idxmax(axis=1).str[2:] == result.predictions["y_true"]
    )
    accuracy = right.groupby(["model", "stage"])["right"].mean()
    assert accuracy["svm_ab", "inner"] > accuracy["svm_a", "inner"] > 0.5
    recorded = result.runs.set_index(["model", "stage"])["validation_accuracy"]
    assert recorded["svm_a", "final"] == recorded["svm_a", "inner"] == accuracy["svm_a", "inner"]
    uses = pd.read_csv(Outputs("tiny").results / "test_uses.csv")
    assert set(uses["stage"]) == {"final"} and uses["times"].tolist() == [1, 1]


def test_inner_folds_keep_artists_apart_and_fit_on_the_training_part(small, monkeypatch):
    seen = []
    choose = stacking.choose

    def watched(model, X, y, *, folds, seed):
        seen.append((X, y, folds))
        return choose(model, X, y, folds=folds, seed=seed)

    monkeypatch.setattr(stacking, "choose", watched)
    run(small, ["svm_ab"])
    train = small.tracks[small.tracks["fault_filtered_split"] == "train"].reset_index(drop=True)
    for X, y, folds in seen:
        assert len(y) == len(train) and all(len(block) == len(train) for block in X)
        expected = [stacking.BLOCKS[name](dataset(train), small) for name in ("a", "b")]
        for block, of_train in zip(X, expected, strict=True):
            np.testing.assert_array_equal(block, of_train.frame.to_numpy())
        for fit, score in folds:
            artists = train["artist_id"].to_numpy()
            assert not set(artists[fit]) & set(artists[score])
    assert len(seen) == 2


def test_nothing_that_is_chosen_depends_on_the_test_part(small, monkeypatch, tmp_path):
    """Other features and other genres in the test part change no choice whatsoever."""
    members = ["svm_a", "logistic_b", "svm_ab"]
    before = run(small, members)
    joined = headline(small, before, members)

    rng = np.random.default_rng(9)
    tracks = small.tracks.copy()
    test = tracks["fault_filtered_split"].eq("test").to_numpy()
    shuffled = rng.permutation(tracks.loc[test, "genre"].to_numpy())
    assert (shuffled != tracks.loc[test, "genre"]).any()
    tracks.loc[test, "genre"] = shuffled
    spoilt = dataset(tracks)

    def disturbed(block):
        def of(music, learnt_from):
            # What the training part looks like comes from the tracks as they were.
            frame = block(small, small).frame
            frame.iloc[test] = rng.normal(0, 50, frame.iloc[test].shape)
            return Block(frame, "disturbed")

        return of

    blocks = {name: disturbed(stacking.BLOCKS[name]) for name in ("a", "b")}
    monkeypatch.setattr(stacking, "BLOCKS", blocks)
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path / "spoilt"))
    after = run(spoilt, members)
    joined_after = headline(spoilt, after, members)

    chosen = ["model", "stage", "parameters", "temperature", "validation_accuracy"]
    pd.testing.assert_frame_equal(before.runs[chosen], after.runs[chosen])
    inner = [r.predictions[r.predictions["stage"] == "inner"] for r in (before, after)]
    columns = ["model", "track_id", *(f"p_{genre}" for genre in GENRES)]
    pd.testing.assert_frame_equal(inner[0][columns], inner[1][columns])
    final = [r.predictions[r.predictions["stage"] == "final"] for r in (before, after)]
    assert not final[0][columns].equals(final[1][columns]), "the test part was not disturbed"
    weighed = ["weights", "validation_accuracy", "validation_loss"]
    pd.testing.assert_frame_equal(joined.runs[weighed], joined_after.runs[weighed])


def test_weights_come_from_rows_of_the_training_part_alone(small, monkeypatch):
    result = run(small)
    parts = small.tracks.set_index("track_id")["fault_filtered_split"]
    seen = []
    choose_weights = stacking.choose_weights

    def watched(inner, y, **options):
        seen.append((inner, y))
        return choose_weights(inner, y, **options)

    monkeypatch.setattr(stacking, "choose_weights", watched)
    headline(small, result, ["svm_a", "logistic_b"])
    ((inner, y),) = seen
    train = sorted(parts.index[parts == "train"])
    assert len(y) == len(train)
    rows = result.predictions[result.predictions["stage"] == "inner"]
    for name, probabilities in inner.items():
        of_member = rows[rows["model"] == name].set_index("track_id").loc[train]
        stored = of_member[[f"p_{genre}" for genre in GENRES]].to_numpy()
        np.testing.assert_allclose(probabilities, stored, atol=1e-6)


def test_a_missing_block_is_noted_and_the_rest_goes_on(small):
    result = run(small, ["svm_gone", "svm_a"])
    assert set(result.predictions["model"]) == {"svm_a"}
    (note,) = result.impossible.to_dict("records")
    assert note["model"] == "svm_gone" and note["stage"] == "final"
    assert "no such file" in note["reason"] and str(project.root()) not in note["reason"]
    with pytest.raises(ProjectError, match="no member can be trained"):
        run(small, ["svm_gone"], study="other")


def test_a_track_without_a_block_is_left_out_of_its_members_only(small, monkeypatch):
    whole = stacking.BLOCKS["a"]
    lost = small.tracks.loc[small.tracks["fault_filtered_split"] == "train", "track_id"].iloc[0]

    def without(music, learnt_from):
        found = whole(music, learnt_from)
        return Block(found.frame.drop(index=lost), f"{found.digest} without {lost}")

    blocks = stacking.BLOCKS | {"a": without}
    monkeypatch.setattr(stacking, "BLOCKS", blocks)
    runs = run(small).runs.set_index(["model", "stage"])["n_train"]
    assert runs["svm_a", "final"] == runs["logistic_b", "final"] - 1


def test_other_music_is_predicted_where_its_blocks_can_be_had(small):
    others = dataset(tracks_of("MT", n_each=4, genres=GENRES[:2]), "others")
    result = run(small, ["svm_a", "logistic_here"], elsewhere=others)
    rows = result.predictions[result.predictions["stage"] == "elsewhere"]
    assert set(rows["model"]) == {"svm_a"} and set(rows["dataset"]) == {"elsewhere"}
    assert sorted(rows["track_id"]) == sorted(others.tracks["track_id"])
    (note,) = result.impossible.to_dict("records")
    assert (note["model"], note["stage"]) == ("logistic_here", "elsewhere")

    joined = headline(small, result, ["svm_a"], study="alone").predictions
    assert set(joined["stage"]) == {"inner", "final", "elsewhere"}
    both = headline(small, result, ["logistic_here"], study="both").predictions
    assert set(both["stage"]) == {"inner", "final"}


def test_members_resume_and_stored_rows_are_enough(small, monkeypatch):
    first = run(small)
    joined = headline(small, first, ["svm_a", "logistic_b"])
    monkeypatch.setattr(stacking, "choose", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(stacking, "choose_weights", lambda *_, **__: pytest.fail("again"))
    pd.testing.assert_frame_equal(run(small).predictions, first.predictions)
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    pd.testing.assert_frame_equal(run(small).predictions, first.predictions)
    again = headline(small, first, ["svm_a", "logistic_b"])
    pd.testing.assert_frame_equal(again.predictions, joined.predictions)


def test_wrong_names_and_data_without_the_split_are_refused(small):
    with pytest.raises(ProjectError, match="unknown members: svm_z"):
        run(small, ["svm_z"])
    without = dataset(small.tracks.assign(fault_filtered_split=None))
    with pytest.raises(ProjectError, match="fault_filtered is impossible"):
        run(without, ["svm_a"])


def test_members_that_lack_rows_of_a_part_are_left_out_of_a_headline(small):
    result = run(small)
    rows = result.predictions
    only_final = rows[(rows["model"] != "svm_a") | (rows["stage"] == "final")]
    partial = stacking.StudyResult(only_final, result.runs, result.impossible)
    record = headline(small, partial, ["svm_a", "logistic_b"]).runs.iloc[0]
    assert record["weights"] == {"logistic_b": 1.0} and record["left_out"] == ["svm_a"]
    with pytest.raises(ProjectError, match="svm_a has predictions of the training and the test"):
        headline(small, partial, ["svm_a"], study="none")


def test_a_headline_without_what_it_needs_is_impossible(small):
    result = run(small, ["svm_a", "svm_gone"])
    found = stacking.run_headlines(
        small,
        result.predictions,
        [
            stacking.Headline("scratch", "scratch", ("svm_a",)),
            stacking.Headline("pretrained", "all", ("svm_a", "svm_gone"), ("svm_gone",)),
            stacking.Headline("anywhere", "all", ("svm_a",), ()),
        ],
        study="headlines",
        outputs=Outputs("tiny"),
    )
    assert set(found.predictions["model"]) == {"scratch"}
    assert found.impossible["model"].tolist() == ["pretrained", "anywhere"]


def test_the_study_asks_for_a_headline_without_and_with_pretraining():
    networks = ["resnet_small"]
    scratch, pretrained, seen = stacking.headlines(networks)
    assert "resnet_small" in scratch.members and scratch.needs is None
    of_members = [stacking.MEMBERS[name] for name in scratch.members if name not in networks]
    assert of_members and not any(member.pretrained for member in of_members)
    assert set(scratch.members) | set(stacking.MEMBERS) == set(pretrained.members)
    blocks = {block for name in seen.needs for block in stacking.MEMBERS[name].blocks}
    assert "musicnn peaks" in blocks and not any(block.startswith("tag") for block in blocks)


def one_hot(y, sure):
    return np.where(np.eye(3)[y] > 0, sure, (1 - sure) / 2)


def test_a_perfect_member_gets_all_the_weight():
    y = np.arange(30) % 3
    guess = np.full((30, 3), 1 / 3)
    weights = stacking.choose_weights({"perfect": one_hot(y, 0.99), "guess": guess}, y)
    assert weights == {"perfect": 1.0}


def test_members_that_know_different_tracks_share_the_weight():
    y = np.arange(60) % 3
    first = np.where(np.arange(60)[:, None] < 30, one_hot(y, 0.96), 1 / 3)
    second = np.where(np.arange(60)[:, None] >= 30, one_hot(y, 0.96), 1 / 3)
    weights = stacking.choose_weights(
        {"first": first, "second": second, "guess": first * 0 + 1 / 3}, y
    )
    assert weights.keys() == {"first", "second"}
    assert weights["first"] == pytest.approx(0.5, abs=0.05)
    assert sum(weights.values()) == pytest.approx(1)


def test_no_members_cannot_be_weighed():
    with pytest.raises(ProjectError, match="no members to weigh"):
        stacking.choose_weights({}, np.zeros(3, int))


def test_two_genres_are_enough(small):
    tracks = small.tracks[small.tracks["genre"] != "pop"].reset_index(drop=True)
    rows = run(dataset(tracks), ["svm_a", "logistic_b"]).predictions
    right = rows["p_blues"].gt(rows["p_metal"]) == rows["y_true"].eq("blues")
    assert right.groupby(rows["model"]).mean().min() > 0.6


def test_stored_members_outlive_weights_that_are_not_here(small, monkeypatch):
    first = run(small, ["svm_a", "logistic_here"])

    def gone(music, learnt_from):
        raise WeightsError("weights not available here")

    monkeypatch.setattr(stacking, "BLOCKS", stacking.BLOCKS | {"here": gone})
    again = run(small, ["svm_a", "logistic_here"])
    assert set(again.predictions["model"]) == {"svm_a", "logistic_here"}
    assert again.impossible.empty
    pd.testing.assert_frame_equal(
        again.predictions.sort_values(["run_id", "track_id"], ignore_index=True),
        first.predictions.sort_values(["run_id", "track_id"], ignore_index=True),
    )
    uses = pd.read_csv(Outputs("tiny").results / "test_uses.csv")
    assert uses["times"].tolist() == [1, 1]
    fresh = run(small, ["svm_a", "logistic_here"], study="another")
    assert set(fresh.predictions["model"]) == {"svm_a"}
    assert fresh.impossible["model"].tolist() == ["logistic_here"]
