from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from genre_utils import audit, batches, datasets, repetition
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


def drawn(rng, n_columns, *, n_rows=200):
    """Notes that come and go, as a picture of a spectrogram (lowest row last)."""
    picture = rng.normal(60, 8, (n_rows, n_columns))
    for _ in range(n_columns):
        row, column = rng.integers(n_rows - 4), rng.integers(n_columns)
        picture[row : row + 4, column : column + rng.integers(3, 14)] += 90
    return picture.clip(0, 255).astype(np.uint8)


def test_pictures_show_equal_and_shifted_repetitions(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    pictures = {f"pop.{k}": drawn(rng, 300) for k in range(12)}
    pictures["rock.copy"] = pictures["pop.3"]
    long = drawn(rng, 400)
    noise = rng.normal(0, 10, (2, 200, 300))
    pictures["rock.early"] = (long[:, :300] + noise[0]).clip(0, 255).astype(np.uint8)
    pictures["rock.late"] = (long[:, 100:] + noise[1]).clip(0, 255).astype(np.uint8)
    pictures["rock.odd"] = drawn(rng, 150)  # of another size: left out
    files = []
    for name, picture in pictures.items():
        files.append(tmp_path / f"{name}.png")
        Image.fromarray(picture).save(files[-1])
    files.append(tmp_path / "broken.png")
    files[-1].write_text("no picture")
    found = repetition.in_pictures([*pictures, "rock.broken"], files, clip_s=30.0)
    assert found[["track_id", "partner", "kind"]].to_numpy().tolist() == [
        ["pop.3", "rock.copy", "exact"],
        ["rock.early", "rock.late", "near"],
    ]
    assert found["shift_s"].tolist() == pytest.approx([0, -10], abs=0.1)


def test_tables_show_equal_and_nearly_equal_rows(tmp_path, demo, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    ids = [f"{genre}.{k:05d}" for genre in ("pop", "rock") for k in range(15)]
    X = rng.normal(size=(30, len(datasets.TABLE_FEATURES)))
    X[20], X[7] = X[4], X[6] + 0.01
    table = pd.DataFrame(X, columns=list(datasets.TABLE_FEATURES))
    table.insert(0, "filename", [f"{track_id}.wav" for track_id in ids])
    table.to_csv(tmp_path / "features_30_sec.csv", index=False)
    tracks = pd.DataFrame({"track_id": ids, "genre": [i.split(".")[0] for i in ids]})
    tracks = tracks.reindex(columns=list(datasets.TRACK_COLUMNS)).astype({"duration_s": float})
    tracks[["audio_path", "image_path"]] = None
    own = replace(demo, tracks=tracks, tables={30.0: tmp_path / "features_30_sec.csv"})
    own = replace(own, root=tmp_path)
    found = audit.repetitions(own, jobs=1)
    assert found[["track_id", "partner", "found_in", "kind"]].to_numpy().tolist() == [
        ["pop.00004", "rock.00005", "table", "exact"],
        ["pop.00006", "pop.00007", "table", "near"],
    ]
    faults = audit.audit(own, jobs=1)
    assert faults["fault"].tolist() == ["table_duplicate"] * 2
    compared = audit.compare_with_literature(found, tracks, in_table=ids).set_index("claim")
    assert compared.loc["exact repetitions", ["found", "in_table", "seen_table"]].tolist() == [
        2,
        2,
        30,
    ]
    assert compared["seen_audio"].eq(0).all()


def sorted_rows(seed, *, batch, n=400, d=12):
    """Rows sorted by genre, neighbours alike; normalised in batches where asked for."""
    rng = np.random.default_rng(seed)
    genre = np.repeat(np.arange(4), n // 4)
    artist = np.cumsum(rng.random(n) < 0.1)
    X = rng.normal(scale=2, size=(4, d))[genre] + rng.normal(size=(n, d))
    X += rng.normal(scale=0.5, size=(n, d))[artist]
    for start in range(0, n if batch else 0, batch or 1):
        rows = X[start : start + batch]
        X[start : start + batch] = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return X, genre


def test_a_batch_normalised_matrix_is_told_from_one_that_is_only_sorted():
    X, genre = sorted_rows(0, batch=64)
    effects = audit.batch_effects(X, groups=genre, n_permutations=999)
    assert effects["period"].iloc[0] == 64
    assert effects["p_value"].iloc[0] <= batches.SIGNIFICANT
    for seed in range(3):
        X, genre = sorted_rows(seed, batch=None)
        effects = audit.batch_effects(X, groups=genre, n_permutations=199)
        assert effects["p_value"].min() > batches.SIGNIFICANT


def test_a_session_that_shifts_every_value_is_found_without_groups():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(256, 8)) + np.repeat(rng.normal(size=(8, 8)), 32, axis=0)
    effects = audit.batch_effects(X, n_permutations=499)
    assert effects["period"].iloc[0] == 32
    assert effects["p_value"].iloc[0] <= batches.SIGNIFICANT
    assert effects["p_joint"].isna().all()


def test_a_matrix_that_cannot_be_tested_is_refused_or_empty():
    assert audit.batch_effects(np.ones((300, 3))).empty
    assert audit.batch_effects(np.random.default_rng(0).normal(size=(20, 3))).empty
    with pytest.raises(ProjectError, match="not finite"):
        audit.batch_effects(np.full((300, 3), np.nan))
    with pytest.raises(ProjectError, match="one for each row"):
        audit.batch_effects(np.eye(300), groups=np.zeros(3))


@pytest.mark.real_data
def test_the_published_network_features_carry_their_batches(gtzan_root):
    folder = gtzan_root / "choi2017"
    if not folder.is_dir():
        pytest.skip("no published network features")
    genre = np.repeat(np.arange(10), 100)
    layer = np.load(folder / "gtzan_genre_layer_3.npy")
    effects = audit.batch_effects(layer, groups=genre, n_permutations=999)
    assert effects["period"].iloc[0] == 256
    assert effects["p_value"].iloc[0] <= batches.SIGNIFICANT
    honest = np.load(folder / "gtzan_genre_mfcc.npy")
    effects = audit.batch_effects(honest, groups=genre, n_permutations=199)
    assert effects["p_value"].min() > batches.SIGNIFICANT


@pytest.mark.real_data
def test_the_tables_and_pictures_of_gtzan_show_the_known_repetitions(
    gtzan_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path))
    dataset = datasets.load("gtzan")
    pairs = repetition.in_tables(dataset)
    exact = pairs[pairs["kind"] == "exact"]
    assert len(exact) >= 14
    pair = ["metal.00058", "rock.00016"]
    assert pair in exact[["track_id", "partner"]].to_numpy().tolist()
    tracks = dataset.tracks.set_index("track_id")
    drawn = [*pair, "jazz.00036", "jazz.00058", "pop.00015", "pop.00037", "blues.00000"]
    files = tracks.loc[drawn, "image_path"]
    if files.isna().any():
        pytest.skip("no pictures")
    found = repetition.in_pictures(drawn, list(files), clip_s=30.0)
    kinds = found.set_index("track_id")[["partner", "kind"]].apply(tuple, axis=1).to_dict()
    assert kinds == {
        "metal.00058": ("rock.00016", "exact"),
        "jazz.00036": ("jazz.00058", "near"),
        "pop.00015": ("pop.00037", "near"),
    }


def test_harmony_alike_in_another_key_is_similar_and_not_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path))
    rng = np.random.default_rng(0)

    def course(chords):
        return (chords / np.linalg.norm(chords, axis=0)).astype(np.float32)

    songs = [rng.normal(size=(12, 15)).repeat(4, axis=1) for _ in range(20)]
    version = np.roll(songs[5], 3, axis=0) + rng.normal(scale=0.3, size=(12, 60))
    courses = [course(song) for song in (*songs, version)]
    ids = [f"pop.{k:02d}" for k in range(21)]
    none = [np.empty((0, 2), np.int32)] * 21
    monkeypatch.setattr(repetition, "SIMILAR_Z", 8.0)
    found = repetition.in_audio(ids, ids, none, courses)
    assert found[["track_id", "partner", "kind"]].to_numpy().tolist() == [
        ["pop.05", "pop.20", "similar"]
    ]
