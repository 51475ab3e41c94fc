import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_utils import audit, datasets
from genre_utils.splits import PROTOCOLS, Split, SplitError, fair_splits, inner_folds, make_splits

# What each protocol promises that its training and test parts never share.
CLAIMS = {
    "segment_random": set(),
    "track_random": {"track"},
    "artist_grouped": {"track", "artist"},
    "fault_filtered": {"track"},
}


def make_items(
    artists_per_genre, *, n_segments=3, splits=False, by_track=False, folds=False, unknown=0
):
    """Two or three tracks an artist, rows in a scrambled order.

    With `by_track`, the fault-filtered split puts the tracks of an artist in several parts.
    """
    tracks = []
    for g, n_artists in enumerate(artists_per_genre):
        for a in range(n_artists):
            for k in range(2 + (a + g) % 2):
                tracks.append(
                    {
                        "track_id": f"g{g}.a{a}.{k}",
                        "genre": f"g{g}",
                        "artist_id": f"g{g}.a{a}",
                        "artist_fold": a % 3 + 1 if folds else pd.NA,
                        "fault_filtered_split": ("train", "test", "valid")[(a + k * by_track) % 3]
                        if splits
                        else pd.NA,
                    }
                )
        for k in range(unknown):
            tracks.append({"track_id": f"g{g}.unknown.{k}", "genre": f"g{g}"})
    frame = pd.DataFrame(tracks)
    frame["artist_fold"] = frame["artist_fold"].astype("Int64")
    for name in ("artist_id", "fault_filtered_split"):
        frame[name] = frame[name].astype("string")
    items = frame.loc[frame.index.repeat(n_segments)].reset_index(drop=True)
    items["segment_index"] = items.groupby("track_id").cumcount()
    return items.sample(frac=1, random_state=0, ignore_index=True)


def leaks(items, split):
    parts = audit.split_parts(items, split)
    parts = parts[parts["part"] != "valid"]
    return set(audit.leakage(parts, items.drop_duplicates("track_id"))["kind"])


artists_per_genre = st.lists(st.integers(3, 6), min_size=2, max_size=4)


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=8, deadline=None)
@given(counts=artists_per_genre, seed=st.integers(0, 2**31 - 1), unknown=st.integers(0, 2))
def test_each_protocol_keeps_its_promise(protocol, folds, counts, seed, unknown):
    items = make_items(counts, splits=True, folds=folds, unknown=unknown)
    splits = make_splits(items, protocol, seed=seed)
    assert len(splits) == (1 if protocol == "fault_filtered" else 3)
    for split in splits:
        assert not leaks(items, split) & (CLAIMS[protocol] | {"class"})
        for part in (split.train, split.test):
            assert part.dtype.kind == "i"
            assert (np.diff(part) > 0).all()
            assert set(items["genre"].iloc[part]) == set(items["genre"])
        assert not set(split.train) & set(split.test)
    tested = np.concatenate([split.test for split in splits])
    assert len(np.unique(tested)) == len(tested)
    if protocol.endswith("random"):
        assert len(tested) == len(items)
    if protocol == "artist_grouped":
        assert set(tested) == set(np.flatnonzero(items["artist_id"].notna()))


def every_genre_has_an_artist_without_test_track(items):
    known = items.dropna(subset="artist_id")
    in_test = known.groupby("artist_id")["fault_filtered_split"].agg(lambda s: (s == "test").any())
    free = known[~known["artist_id"].map(in_test)]
    return free["genre"].nunique() == items["genre"].nunique()


@pytest.mark.parametrize("by_track", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=8, deadline=None)
@given(counts=artists_per_genre, seed=st.integers(0, 1000), unknown=st.integers(0, 2))
def test_fair_splits_test_the_same_items_with_the_same_training_size(
    protocol, by_track, counts, seed, unknown
):
    items = make_items(counts, splits=True, by_track=by_track, unknown=unknown)
    published = fair_splits(items, "fault_filtered", seed=seed)[0]
    if protocol == "artist_grouped" and not every_genre_has_an_artist_without_test_track(items):
        with pytest.raises(SplitError):
            fair_splits(items, protocol, seed=seed)
        return
    splits = fair_splits(items, protocol, seed=seed)
    tested = np.sort(np.concatenate([split.test for split in splits]))
    np.testing.assert_array_equal(tested, published.test)
    wanted = items["genre"].iloc[published.train].value_counts()
    for split in splits:
        assert not leaks(items, split) & CLAIMS[protocol]
        if protocol == "artist_grouped":
            assert items["artist_id"].iloc[split.train].notna().all()
        got = items["genre"].iloc[split.train].value_counts()
        assert got.index.isin(wanted.index).all() and len(got) == len(wanted)
        if protocol in ("segment_random", "fault_filtered"):
            pd.testing.assert_series_equal(got.sort_index(), wanted.sort_index())
        else:
            assert (got <= wanted[got.index]).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=8, deadline=None)
@given(counts=artists_per_genre, seed=st.integers(0, 1000), unknown=st.integers(0, 2))
def test_inner_folds_stay_inside_training_and_keep_artists_whole(protocol, counts, seed, unknown):
    items = make_items([count + 2 for count in counts], splits=True, unknown=unknown)
    split = make_splits(items, protocol, seed=seed)[0]
    pairs = inner_folds(items, split.train, seed=seed)
    assert 2 <= len(pairs) <= 3
    np.testing.assert_array_equal(np.sort(np.concatenate([s for _, s in pairs])), split.train)
    per_genre = items.iloc[split.train].groupby("genre")["artist_id"].nunique()
    for fit, score in pairs:
        np.testing.assert_array_equal(np.union1d(fit, score), split.train)
        assert set(items["genre"].iloc[fit]) == set(items["genre"])
        found = leaks(items, Split(protocol, 0, 0, fit, score))
        assert "track" not in found
        if (per_genre > 1).all():
            assert "artist" not in found


@pytest.mark.parametrize("make", [make_splits, fair_splits])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_same_seed_same_splits_in_any_row_order(make, protocol):
    items = make_items([5, 6, 7], splits=True)
    first, again = make(items, protocol, seed=3), make(items, protocol, seed=3)
    other = make(items, protocol, seed=4)
    assert [s.test.tolist() for s in first] == [s.test.tolist() for s in again]
    assert [s.train.tolist() for s in first] == [s.train.tolist() for s in again]
    if protocol != "fault_filtered":
        assert [s.train.tolist() for s in first] != [s.train.tolist() for s in other]
    if protocol == "track_random":
        ordered = items.sort_values("track_id", ignore_index=True)
        for a, b in zip(first, make(ordered, protocol, seed=3), strict=True):
            assert set(items["track_id"].iloc[a.train]) == set(ordered["track_id"].iloc[b.train])


def test_published_folds_are_taken_as_they_are():
    items = make_items([3, 4], folds=True, unknown=1)
    splits = make_splits(items, "artist_grouped", n_folds=5, seed=9)
    assert [split.fold for split in splits] == [1, 2, 3]
    for split in splits:
        assert set(items["artist_fold"].iloc[split.test]) == {split.fold}
        assert split.fold not in set(items["artist_fold"].iloc[split.train])
        assert items["artist_id"].iloc[split.train].notna().all()


def test_fault_filtered_takes_the_published_parts():
    items = make_items([3, 4], splits=True, unknown=1)
    (split,) = make_splits(items, "fault_filtered")
    for part in ("train", "valid", "test"):
        assert set(items["fault_filtered_split"].iloc[getattr(split, part)]) == {part}


@pytest.mark.parametrize("make", [make_splits, fair_splits])
def test_segments_of_most_tracks_are_on_both_sides_under_segment_random(make):
    items = make_items([3, 3], splits=True)
    assert all("track" in leaks(items, split) for split in make(items, "segment_random"))


def test_one_short_track_does_not_forbid_segment_random():
    items = make_items([3, 3])
    short = items["track_id"].eq("g0.a0.0") & items["segment_index"].gt(0)
    assert len(make_splits(items[~short], "segment_random")) == 3


def test_genre_of_one_artist_is_tuned_by_track():
    items = make_items([1, 3])
    pairs = inner_folds(items, np.arange(len(items)))
    for fit, score in pairs:
        found = leaks(items, Split("track_random", 0, 0, fit, score))
        assert "track" not in found
        assert set(items["genre"].iloc[fit]) == {"g0", "g1"}


@pytest.mark.parametrize(
    ("items", "protocol", "message"),
    [
        (make_items([3, 3], n_segments=1), "segment_random", "at least two segments"),
        (make_items([1, 3]), "artist_grouped", "fewer than two artists in g0"),
        (make_items([1, 3], folds=True), "artist_grouped", "fewer than two artists in g0"),
        (make_items([2, 3]), "artist_grouped", "only 2 artists"),
        (make_items([2, 3], folds=True), "artist_grouped", "no g0 in its test part"),
        (make_items([3, 3]).drop(columns="artist_id"), "artist_grouped", "tracks.csv"),
        (make_items([3, 3]), "fault_filtered", "tracks.csv"),
        (make_items([1, 3], splits=True), "fault_filtered", "no g0 in its test part"),
        (make_items([1, 3]), "track_random", "g0 has only 2"),
        (make_items([3]).drop(columns="genre"), "track_random", "no column genre"),
        (make_items([3]).iloc[:0], "track_random", "no items"),
        (make_items([3]), "by_colour", "unknown protocol 'by_colour'"),
    ],
)
def test_impossible_protocols_say_why(items, protocol, message):
    with pytest.raises(SplitError, match=message):
        make_splits(items, protocol)


def test_one_fold_is_no_split():
    with pytest.raises(SplitError, match="at least 2"):
        make_splits(make_items([3]), "track_random", n_folds=1)


def test_inner_folds_refuse_a_genre_with_one_track():
    items = make_items([1, 3])
    train = np.flatnonzero(items["track_id"].ne("g0.a0.1"))
    with pytest.raises(SplitError, match="g0 would have nothing to fit on"):
        inner_folds(items, train)


def test_fair_splits_need_a_published_split_and_segments():
    with pytest.raises(SplitError, match="no track has a fault_filtered_split"):
        fair_splits(make_items([3, 3]), "track_random")
    with pytest.raises(SplitError, match="at least two segments"):
        fair_splits(make_items([3, 3], splits=True, n_segments=1), "segment_random")


def test_a_split_refuses_overlap_and_emptiness():
    with pytest.raises(SplitError, match="1 items are used twice"):
        Split("track_random", 0, 0, np.array([0, 1]), np.array([1, 2]))
    with pytest.raises(SplitError, match="test part is empty"):
        Split("track_random", 0, 0, np.array([0, 1]), np.array([], dtype=int))
    split = Split("track_random", 0, 0, np.array([2, 0]), np.array([1]))
    assert split.train.tolist() == [0, 2]
    with pytest.raises(ValueError, match="read-only"):
        split.train[0] = 1


@pytest.fixture(scope="module")
def gtzan_items(gtzan_root):
    tracks = datasets.load("gtzan").tracks
    items = tracks.loc[tracks.index.repeat(3)].reset_index(drop=True)
    return items.assign(segment_index=items.groupby("track_id").cumcount())


@pytest.mark.real_data
class TestGtzan:
    def test_published_counts(self, gtzan_items):
        (split,) = make_splits(gtzan_items, "fault_filtered")
        n_tracks = [gtzan_items["track_id"].iloc[p].nunique() for p in (split.train, split.valid)]
        assert [*n_tracks, gtzan_items["track_id"].iloc[split.test].nunique()] == [443, 197, 290]
        folds = make_splits(gtzan_items, "artist_grouped")
        assert [split.fold for split in folds] == [1, 2, 3]
        tested = pd.concat([gtzan_items["track_id"].iloc[split.test] for split in folds])
        assert tested.nunique() == 948

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_every_claim_holds(self, gtzan_items, protocol):
        for split in make_splits(gtzan_items, protocol):
            assert not leaks(gtzan_items, split) & (CLAIMS[protocol] | {"class"})
            assert inner_folds(gtzan_items, split.train)

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_fair_ladder_tests_290_tracks(self, gtzan_items, protocol):
        splits = fair_splits(gtzan_items, protocol)
        assert len(np.unique(np.concatenate([split.test for split in splits]))) == 870
        for split in splits:
            assert not leaks(gtzan_items, split) & CLAIMS[protocol]
            assert len(split.train) == 443 * 3

    def test_the_published_split_shares_one_artist(self, gtzan_items):
        (split,) = make_splits(gtzan_items, "fault_filtered")
        assert "artist" in leaks(gtzan_items, split)

    def test_mini_has_no_artist_protocol(self, gtzan_root):
        tracks = datasets.load("gtzan-mini").tracks
        with pytest.raises(SplitError, match="blues, classical, reggae, rock"):
            make_splits(tracks, "artist_grouped")
        assert inner_folds(tracks, make_splits(tracks, "track_random")[0].train)
