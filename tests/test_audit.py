import pandas as pd
import pytest

from genre_utils import audit, datasets
from genre_utils.project import ProjectError

TRACKS = pd.DataFrame(
    {
        "track_id": ["a", "b", "c", "d", "e", "f"],
        "genre": ["pop", "pop", "pop", "rock", "rock", "rock"],
        "artist_id": ["x", "x", "y", "z", "v", pd.NA],
        "known_fault": [pd.NA, pd.NA, "clipped; repeats a", pd.NA, "repeats gone.1.", pd.NA],
        "sha256": [pd.NA, "11", pd.NA, "11", "22", pd.NA],
    }
)


def parts(**members):
    return pd.DataFrame(
        [(track, part) for part, ids in members.items() for track in ids],
        columns=["track_id", "part"],
    )


def findings(table, kind):
    rows = table[table["kind"] == kind]
    return [(row.value, row.parts, row.n_tracks) for row in rows.itertuples()]


def test_clean_parts_have_no_leak():
    split = parts(train=["a", "b", "c", "d"], test=["e"])
    found = audit.leakage(split, TRACKS)
    assert findings(found, "class") == [("pop", "test", 3)]
    assert set(found["severity"]) == {"warning"}
    audit.assert_no_leak(split, TRACKS)


def test_a_track_and_its_artist_in_two_parts():
    found = audit.leakage(parts(train=["a", "d"], test=["a", "e"]), TRACKS)
    assert findings(found, "track") == [("a", "test, train", 1)]
    assert findings(found, "artist") == [("x", "test, train", 1)]
    assert findings(found, "recording") == []
    assert found["kind"].iloc[0] == "track"


def test_an_artist_in_two_parts():
    found = audit.leakage(parts(train=["a", "d"], valid=["e"], test=["b", "e"]), TRACKS)
    assert ("x", "test, train", 2) in findings(found, "artist")


def test_repetitions_are_found_by_known_fault_and_by_digest():
    found = audit.leakage(parts(train=["a", "b", "e"], test=["c", "d"]), TRACKS)
    assert findings(found, "recording") == [
        ("a = c", "test, train", 2),
        ("b = d", "test, train", 2),
    ]


def test_repetitions_of_a_track_that_is_in_no_part_are_found():
    tracks = TRACKS.copy()
    tracks.loc[5, "known_fault"] = "repeats gone.1"
    found = audit.leakage(parts(train=["e"], test=["f"]), tracks)
    assert findings(found, "recording") == [("e = f", "test, train", 2)]


def test_unknown_tracks_are_leaks_and_unknown_artists_warnings():
    split = parts(train=["a", "f", "what.wav"], test=["c", "e"])
    found = audit.leakage(split, TRACKS)
    assert findings(found, "unknown track") == [("what.wav", "train", 1)]
    assert findings(found, "artist unknown") == [("train", "train", 1)]
    with pytest.raises(audit.LeakageError, match="unknown track what.wav"):
        audit.assert_no_leak(split, TRACKS)


def test_the_error_lists_the_worst_and_kinds_can_be_allowed():
    split = parts(train=["a", "d"], test=["b", "e"])
    with pytest.raises(audit.LeakageError, match="artist x: 2 track") as caught:
        audit.assert_no_leak(split, TRACKS)
    assert "1 × artist" in str(caught.value)
    assert "1 × recording" in str(caught.value)
    audit.assert_no_leak(split, TRACKS, allow=("artist", "recording"))
    with pytest.raises(ProjectError, match="allow has"):
        audit.assert_no_leak(split, TRACKS, allow=("artits",))


def test_the_error_stays_short_for_many_leaks():
    ids = [f"t{k}" for k in range(100)]
    tracks = pd.DataFrame({"track_id": ids, "genre": "pop"})
    with pytest.raises(audit.LeakageError, match="100 × track") as caught:
        audit.assert_no_leak(parts(train=ids, test=ids), tracks)
    assert len(str(caught.value).splitlines()) < 10


def test_minimal_table_numbers_as_ids_and_rows_without_part():
    tracks = pd.DataFrame({"track_id": [1, 2], "genre": ["pop", "pop"]})
    split = pd.DataFrame({"track_id": ["1", "2", "2"], "part": ["train", "test", None]})
    found = audit.leakage(split, tracks)
    assert set(found["kind"]) == {"artist unknown"}
    assert tuple(found.columns) == audit.LEAK_COLUMNS


def test_bad_input_is_named():
    with pytest.raises(ProjectError, match="the parts: no column part"):
        audit.leakage(pd.DataFrame({"track_id": ["a"]}), TRACKS)
    with pytest.raises(ProjectError, match="the track table: no column genre"):
        audit.leakage(parts(train=["a"]), TRACKS[["track_id"]])
    with pytest.raises(ProjectError, match="no track has a part"):
        audit.leakage(parts(), TRACKS)


@pytest.mark.real_data
def test_random_tracks_of_gtzan_share_artists_and_recordings(gtzan_root):
    tracks = datasets.load("gtzan").tracks
    split = tracks[["track_id"]].assign(part=["train", "test"] * (len(tracks) // 2))
    kinds = set(audit.leakage(split, tracks)["kind"])
    assert {"artist", "recording", "artist unknown"} <= kinds
    assert "track" not in kinds
