import numpy as np
import pandas as pd
import pytest

from genre_utils import inputs, segment_distance
from genre_utils.project import Outputs, ProjectError

GENRES, TRACKS_EACH, SEGMENTS_EACH = 3, 8, 5


def segments(*, own: float, genre: float = 0.5, noise: float = 0.3, seed: int = 0):
    """Segments whose features are a track's own part, a genre's part and noise."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame(
        [
            {"track_id": f"g{g}.{t}", "genre": f"g{g}", "artist_id": f"g{g} a{t // 2}"}
            for g in range(GENRES)
            for t in range(TRACKS_EACH)
            for _ in range(SEGMENTS_EACH)
        ]
    )
    tracks = pd.factorize(items["track_id"])[0]
    X = own * rng.normal(size=(tracks.max() + 1, 12))[tracks]
    X += genre * rng.normal(size=(GENRES, 12))[pd.factorize(items["genre"])[0]]
    return items, X + noise * rng.normal(size=X.shape)


def measured(items, X, **settings):
    table = segment_distance.measure(items, X, segment_s=3.0, **settings)
    return table.set_index(["distance", "relation"])


def test_distances_equal_those_computed_pair_by_pair():
    items, X = segments(own=1.0)
    table = measured(items, X, per_track=SEGMENTS_EACH)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    within, nearest = [], []
    for i in range(len(Z)):
        far = [np.sqrt(np.mean((Z[i] - Z[j]) ** 2)) if i != j else np.inf for j in range(len(Z))]
        same = (items["track_id"] == items["track_id"][i]).to_numpy()
        within += [far[j] for j in range(i + 1, len(Z)) if same[j]]
        nearest.append(same[int(np.argmin(far))])
    row = table.loc[("euclidean", "same track")]
    assert row["n_pairs"] == len(within)
    assert row["median"] == pytest.approx(np.median(within), rel=1e-5)
    assert row["nearest_share"] == pytest.approx(np.mean(nearest))
    assert row["nearest_share_all"] == pytest.approx(np.mean(nearest))


def test_more_segments_of_a_track_make_it_more_often_the_nearest():
    items, X = segments(own=0.7, noise=0.6)
    row = measured(items, X).loc[("euclidean", "same track")]
    assert row["nearest_share_all"] > row["nearest_share"] + 0.05


def test_every_pair_counts_once_and_every_segment_has_one_nearest():
    items, X = segments(own=1.0)
    table = measured(items, X, per_track=2)
    n = GENRES * TRACKS_EACH * 2
    assert (table["n_segments"] == n).all() and (table["n_tracks"] == n // 2).all()
    assert table.groupby("distance")["n_pairs"].sum().eq(n * (n - 1) // 2).all()
    for share in ("nearest_share", "nearest_share_all"):
        assert np.allclose(table.groupby("distance")[share].sum(), 1)
    assert (table["low_quartile"] <= table["median"]).all()
    assert (table["median"] <= table["high_quartile"]).all()


def test_tracks_that_resemble_themselves_are_their_own_neighbours():
    alike = measured(*segments(own=2.0))
    strange = measured(*segments(own=0.0))
    for distance in segment_distance.DISTANCES:
        key = (distance, "same track")
        assert alike.loc[key, "nearest_share"] > 0.9 > 0.3 > strange.loc[key, "nearest_share"]
        assert alike.loc[key, "median"] < alike.loc[(distance, "other genre"), "median"]


def test_unknown_artists_are_nobody_and_whole_clips_have_no_pair_within():
    items, X = segments(own=1.0)
    first = ~items["track_id"].duplicated()
    table = measured(items[first].assign(artist_id=None), X[first])
    for relation in ("same track", "same artist"):
        row = table.loc[("euclidean", relation)]
        assert row["n_pairs"] == 0 and np.isnan(row["median"]) and row["nearest_share"] == 0
    without = measured(items[first].drop(columns="artist_id"), X[first])
    pd.testing.assert_frame_equal(table, without)


def test_fewer_tracks_are_drawn_from_a_seed_and_rows_may_come_in_any_batch(monkeypatch):
    items, X = segments(own=1.0)
    table = measured(items, X, max_tracks=6, seed=1)
    assert set(table["n_tracks"]) == {6} and set(table["n_segments"]) == {12}
    pd.testing.assert_frame_equal(table, measured(items, X, max_tracks=6, seed=1))
    monkeypatch.setattr(segment_distance, "_ROWS_AT_ONCE", 5)
    pd.testing.assert_frame_equal(table, measured(items, X, max_tracks=6, seed=1))


def test_constant_features_and_segments_do_no_harm():
    items, X = segments(own=1.0)
    same = np.hstack([X, np.ones((len(X), 1))])
    pd.testing.assert_frame_equal(measured(items, X), measured(items, same))
    assert measured(items, X[:, :1])["nearest_share"].notna().all()


def test_wrong_input_is_refused():
    items, X = segments(own=1.0)
    with pytest.raises(ProjectError, match="expected as many"):
        measured(items, X[:-1])
    with pytest.raises(ProjectError, match="at least 2"):
        measured(items, X, per_track=1)
    with pytest.raises(ProjectError, match="fewer than two segments"):
        measured(items.iloc[:0], X[:0])


def test_without_the_data_the_earlier_table_is_read(monkeypatch, tmp_path, demo):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    outputs = Outputs("tiny")
    items, X = segments(own=1.0)
    found = inputs.Input("spectrogram", "audio", X, items, np.empty(0), pd.DataFrame(), "made up")
    monkeypatch.setattr(inputs, "load", lambda dataset, name, *, segment_s: found)
    monkeypatch.setattr(segment_distance, "mfcc_statistics", lambda x: x)
    table = segment_distance.study(demo, [3.0, 10.0], outputs=outputs)
    assert list(table["segment_s"].unique()) == [3.0, 10.0]
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    with pytest.raises(ProjectError, match="06_distances.csv is not there"):
        segment_distance.study(demo, [3.0], outputs=outputs)
    outputs.results.mkdir(parents=True)
    table.assign(dataset="tiny").to_csv(outputs.results / "06_distances.csv", index=False)
    again = segment_distance.study(demo, [3.0], outputs=outputs)
    pd.testing.assert_frame_equal(again, table)
