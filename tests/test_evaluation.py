import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from genre_utils import evaluation
from genre_utils.evaluation import EvaluationError

GENRES = ["blues", "jazz", "pop", "rock"]


def make_rows(true, probabilities, *, track_ids=None, **columns):
    probabilities = np.asarray(probabilities, dtype=np.float32)
    n = len(true)
    rows = pd.DataFrame(
        {
            "run_id": "r",
            "track_id": track_ids if track_ids is not None else [f"t{k:05d}" for k in range(n)],
            "segment_start_s": 0.0,
            "y_true": true,
        }
    ).assign(**columns)
    for number, genre in enumerate(GENRES):
        rows[f"p_{genre}"] = probabilities[:, number]
    return rows


def random_rows(n_tracks=60, n_segments=3, *, seed=0, skill=1.0, **columns):
    rng = np.random.default_rng(seed)
    true = rng.integers(len(GENRES), size=n_tracks).repeat(n_segments)
    logits = rng.normal(size=(n_tracks * n_segments, len(GENRES)))
    logits += rng.normal(size=(n_tracks, len(GENRES))).repeat(n_segments, axis=0)
    logits[np.arange(len(true)), true] += skill
    p = np.exp(logits)
    rows = make_rows(
        np.array(GENRES)[true],
        p / p.sum(axis=1, keepdims=True),
        track_ids=np.char.add("t", np.arange(n_tracks).astype(str)).repeat(n_segments),
        **columns,
    )
    return rows.assign(segment_start_s=np.tile(np.arange(n_segments) * 10.0, n_tracks))


def certain_rows(true, predicted, **columns):
    one_hot = np.eye(len(GENRES))[[GENRES.index(genre) for genre in predicted]]
    return make_rows(true, one_hot, **columns)


@settings(max_examples=30, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.sampled_from(GENRES), st.sampled_from(GENRES)), min_size=1),
)
def test_scores_and_confusion_equal_scikit_learn(pairs):
    true, predicted = map(list, zip(*pairs, strict=True))
    rows = certain_rows(true, predicted)
    found = evaluation.summary(rows, n_boot=10)
    assert found["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    assert found["macro_f1"] == pytest.approx(
        f1_score(true, predicted, average="macro", zero_division=0)
    )
    table = evaluation.confusion(rows)
    np.testing.assert_array_equal(table, confusion_matrix(true, predicted, labels=GENRES))


@pytest.mark.parametrize("seed", range(3))
def test_results_do_not_depend_on_the_order_of_rows(seed):
    rows = random_rows()
    mixed = rows.sample(frac=1, random_state=seed)
    artists = pd.Series({track: track[:2] for track in rows["track_id"].unique()})
    assert evaluation.summary(rows, artists=artists) == evaluation.summary(mixed, artists=artists)
    other = random_rows(seed=9)
    other["y_true"] = rows["y_true"]
    assert evaluation.paired(rows, other) == evaluation.paired(mixed, other)
    for function in (
        evaluation.to_tracks,
        evaluation.recall_by_genre,
        evaluation.confused_pairs,
        evaluation.reliability,
    ):
        pd.testing.assert_frame_equal(function(rows), function(mixed))


def test_same_seed_same_interval():
    rows = random_rows()
    assert evaluation.summary(rows, seed=1) == evaluation.summary(rows, seed=1)
    assert evaluation.summary(rows, seed=1) != evaluation.summary(rows, seed=2)


def test_3000_rows_and_2000_replicates_are_quick():
    rows = random_rows(n_tracks=1000)
    artists = pd.Series({track: track[:3] for track in rows["track_id"].unique()})
    start = time.perf_counter()
    evaluation.summary(rows, artists=artists)
    assert time.perf_counter() - start < 1


def test_interval_covers_the_truth_about_as_often_as_it_says():
    # Correctness of a track's three segments is drawn around a rate of the track's own.
    rng, truth, covered = np.random.default_rng(0), 0.6, 0
    for seed in range(200):
        rate = rng.beta(0.6 * 3, 0.4 * 3, size=120).repeat(3)
        right = rng.random(360) < rate
        rows = certain_rows(
            ["blues"] * 360,
            np.where(right, "blues", "rock"),
            track_ids=np.arange(120).repeat(3),
        )
        found = evaluation.summary(rows, n_boot=300, seed=seed)
        covered += found["accuracy_low"] <= truth <= found["accuracy_high"]
    assert 0.90 <= covered / 200 <= 0.98


@pytest.mark.parametrize(("predicted", "share"), [("blues", 1.0), ("rock", 0.0)])
def test_an_interval_does_not_shrink_to_a_point_where_all_or_nothing_is_right(predicted, share):
    tracks = np.arange(13).repeat(2)
    rows = certain_rows(["blues"] * 26, [predicted] * 26, track_ids=tracks)
    artists = pd.Series({track: f"artist {track % 4}" for track in range(13)})
    found = evaluation.summary(rows, artists=artists, n_boot=50)
    # Wilson, z = 1.96: n / (n + z ** 2) with 13 tracks, with 4 artists.
    for name, inner in (("accuracy", 0.772), ("macro_f1", 0.772), ("accuracy_artist", 0.510)):
        ends = sorted([share, abs(1 - share - inner)])
        assert [found[f"{name}_low"], found[f"{name}_high"]] == pytest.approx(ends, abs=1e-3)


def test_repeated_segments_do_not_make_the_interval_narrower():
    rows = random_rows(n_segments=1)
    repeated = pd.concat([rows] * 4, ignore_index=True)
    as_if_independent = repeated.assign(track_id=[f"t{k}" for k in range(len(repeated))])

    def width(frame):
        found = evaluation.summary(frame)
        return found["accuracy_high"] - found["accuracy_low"]

    assert width(repeated) == pytest.approx(width(rows))
    assert width(repeated) > 1.6 * width(as_if_independent)


def test_drawing_artists_widens_the_interval_where_their_tracks_are_alike():
    true = ["blues"] * 200
    predicted = ["blues" if k // 10 % 2 else "rock" for k in range(200)]
    rows = certain_rows(true, predicted)
    artists = pd.Series({track: f"a{int(track[1:]) // 10}" for track in rows["track_id"]})
    found = evaluation.summary(rows, artists=artists)
    assert found["n_artists"] == 20
    assert found["accuracy_artist_high"] - found["accuracy_artist_low"] > 2 * (
        found["accuracy_high"] - found["accuracy_low"]
    )


def test_tracks_without_artist_are_drawn_by_themselves():
    rows = random_rows()
    track_ids = rows["track_id"].unique()
    unknown = evaluation.summary(rows, artists=pd.Series(pd.NA, index=track_ids))
    assert unknown["n_artists"] == 0
    assert np.isnan(unknown["accuracy_artist_low"])
    one = evaluation.summary(rows, artists=pd.Series({track_ids[0]: "x"}))
    assert one["n_artists"] == 1
    width = one["accuracy_high"] - one["accuracy_low"]
    artist_width = one["accuracy_artist_high"] - one["accuracy_artist_low"]
    assert artist_width == pytest.approx(width, rel=0.2)


def test_seeds_and_folds_of_one_configuration_count_together():
    rows = random_rows(model="svm", fold=0, seed=0)
    both = pd.concat([rows, rows.assign(seed=1, run_id="s")])
    found, single = evaluation.summary(both), evaluation.summary(rows)
    assert found["n_items"] == 2 * single["n_items"]
    assert found["n_tracks"] == single["n_tracks"]
    assert found["accuracy_low"] == pytest.approx(single["accuracy_low"])


def test_of_equal_probabilities_the_first_column_counts():
    rows = make_rows(["jazz"], [[0.1, 0.4, 0.4, 0.1]])
    assert evaluation.labels(rows).tolist() == ["jazz"]


def test_segments_are_summed_to_tracks():
    rows = make_rows(
        ["blues", "blues", "jazz", "blues"],
        [[0.6, 0.4, 0, 0], [0.1, 0.9, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
        track_ids=["a", "a", "b", "a"],
        run_id=["r", "r", "r", "s"],
    ).assign(segment_start_s=[10.0, 0.0, 0.0, 0.0], fold=0)
    tracks = evaluation.to_tracks(rows)
    assert tracks["run_id"].tolist() == ["r", "r", "s"]
    assert tracks["track_id"].tolist() == ["a", "b", "a"]
    assert list(tracks.columns) == list(rows.columns)
    assert (tracks["segment_start_s"] == 0).all()
    assert (tracks.dtypes[evaluation.probability_columns(tracks)] == np.float32).all()
    np.testing.assert_allclose(tracks.loc[0, ["p_blues", "p_jazz"]].astype(float), [0.35, 0.65])
    assert evaluation.labels(tracks).tolist() == ["jazz", "jazz", "blues"]


def test_recall_interval_counts_tracks_not_segments():
    segments = certain_rows(
        ["blues"] * 30 + ["jazz"] * 10,
        ["blues"] * 24 + ["rock"] * 6 + ["jazz"] * 10,
        track_ids=np.arange(20).repeat(2),
    )
    table = evaluation.recall_by_genre(segments).set_index("genre")
    assert table.index.tolist() == ["blues", "jazz"]
    assert table.loc["blues", ["n_items", "n_tracks"]].tolist() == [30, 15]
    for genre, right, n in (("blues", 12, 15), ("jazz", 5, 5)):
        expected = binomtest(right, n).proportion_ci(method="wilson")
        assert table.loc[genre, "recall"] == right / n
        assert table.loc[genre, "recall_low"] == pytest.approx(expected.low)
        assert table.loc[genre, "recall_high"] == pytest.approx(expected.high)
    assert (table["confidence"] == 1).all()


def test_confused_pairs_come_with_their_share():
    rows = certain_rows(
        ["rock"] * 4 + ["pop"] * 5 + ["jazz"],
        ["pop", "pop", "rock", "blues"] + ["rock", "rock", "rock", "pop", "pop"] + ["jazz"],
    )
    pairs = evaluation.confused_pairs(rows, top=2)
    assert pairs.to_dict("list") == {
        "true": ["pop", "rock"],
        "predicted": ["rock", "pop"],
        "n": [3, 2],
        "share": [0.6, 0.5],
    }
    assert evaluation.confused_pairs(rows.tail(1)).empty


def test_calibration_against_values_worked_out_by_hand():
    p = [[0.95, 0.05, 0, 0], [0.85, 0.15, 0, 0], [0.85, 0.15, 0, 0], [0.5, 0.3, 0.2, 0]]
    rows = make_rows(["blues", "blues", "rock", "rock"], p)
    table = evaluation.reliability(rows)
    np.testing.assert_allclose(table["bin_low"], [0.4, 0.8, 0.9])
    np.testing.assert_allclose(table["bin_high"], [0.5, 0.9, 1.0])
    assert table["n"].tolist() == [1, 2, 1]
    np.testing.assert_allclose(table["accuracy"], [0, 0.5, 1])
    expected = (0.5 + 2 * 0.35 + 0.05) / 4
    assert evaluation.expected_calibration_error(rows) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 2**10), (1, 9, 22 / 2**10), (6, 2, 74 / 2**8)],
)
def test_mcnemar_against_values_worked_out_by_hand(only_a, only_b, expected):
    a = np.array([True] * only_a + [False] * only_b + [True, False])
    b = np.array([False] * only_a + [True] * only_b + [True, False])
    assert evaluation.mcnemar_exact(a, b) == pytest.approx(expected)
    assert evaluation.mcnemar_exact(b, a) == pytest.approx(expected)


def test_mcnemar_needs_as_many_items():
    with pytest.raises(EvaluationError, match="3 items against 2"):
        evaluation.mcnemar_exact(np.ones(3), np.ones(2))


def test_paired_difference_is_sharper_than_two_intervals():
    weak, strong = random_rows(skill=0.5), random_rows(skill=2.0)
    found = evaluation.paired(strong, weak)
    a, b = evaluation.summary(strong), evaluation.summary(weak)
    assert found["difference"] == pytest.approx(a["accuracy"] - b["accuracy"])
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert found["mcnemar_p"] < 0.05
    assert found["n"] == len(weak) and found["n_tracks"] == 60
    same = evaluation.paired(weak, weak)
    assert (same["difference"], same["low"], same["high"], same["mcnemar_p"]) == (0, 0, 0, 1)


def test_paired_averages_the_seeds_of_an_item():
    true = ["blues", "jazz"]
    a = pd.concat(
        [
            certain_rows(true, ["blues", "jazz"], seed=0),
            certain_rows(true, ["blues", "rock"], seed=1),
        ]
    )
    b = certain_rows(true, ["rock", "rock"], seed=0)
    found = evaluation.paired(a, b)
    assert found["difference"] == pytest.approx(0.75)
    assert found["n"] == 2


def test_paired_takes_tracks_across_segment_lengths():
    long, short = random_rows(n_segments=1), random_rows(n_segments=3)
    long["y_true"] = short["y_true"].iloc[::3].to_numpy()
    with pytest.raises(EvaluationError, match="120 only in the second"):
        evaluation.paired(long, short)
    assert evaluation.paired(evaluation.to_tracks(long), evaluation.to_tracks(short))["n"] == 60


def test_paired_refuses_different_truths():
    rows = certain_rows(["blues", "jazz"], ["blues", "jazz"])
    with pytest.raises(EvaluationError, match="different true genres"):
        evaluation.paired(rows, rows.assign(y_true="rock"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_invalid_probabilities_are_refused(value):
    rows = random_rows()
    rows.loc[4, "p_jazz"] = value
    for function in (evaluation.labels, evaluation.summary, evaluation.to_tracks):
        with pytest.raises(EvaluationError, match="1 of 180 rows lack valid probabilities.*t1;"):
            function(rows)


def test_what_is_missing_is_named():
    rows = random_rows()
    with pytest.raises(EvaluationError, match="p_<genre>"):
        evaluation.labels(rows[["track_id", "y_true"]])
    with pytest.raises(EvaluationError, match="no column y_true"):
        evaluation.summary(rows.drop(columns="y_true"))
    with pytest.raises(EvaluationError, match="no column run_id"):
        evaluation.to_tracks(rows.drop(columns="run_id"))
    with pytest.raises(EvaluationError, match="no prediction rows"):
        evaluation.summary(rows.iloc[:0])
    with pytest.raises(EvaluationError, match="y_true has polka"):
        evaluation.confusion(rows.assign(y_true="polka"))
    with pytest.raises(EvaluationError, match="differ in y_true"):
        evaluation.to_tracks(rows.assign(y_true=np.tile(GENRES, len(rows) // 4)))
    with pytest.raises(EvaluationError, match="lack valid"):
        evaluation.labels(rows.assign(**{f"p_{genre}": 0.0 for genre in GENRES}))


def test_rows_of_two_models_are_refused():
    rows = pd.concat([random_rows(model="svm"), random_rows(model="knn_1")])
    with pytest.raises(EvaluationError, match=r"model: \['knn_1', 'svm'\]"):
        evaluation.summary(rows)
