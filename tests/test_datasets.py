import csv

import numpy as np
import pandas as pd
import pytest
import soundfile

from genre_utils import GENRES, datasets, project

SR = 22050
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, SR // 10)


def sound(path, seconds=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.resize(NOISE, int(seconds * SR)), SR)
    return path


def empty_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def table(path, filenames, *, drop=(), **cells):
    """Write a feature table with one row a file name; `cells` set the first row's values."""
    names = [name for name in datasets.TABLE_FEATURES if name not in drop]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "length", *names, "label"])
        for number, filename in enumerate(filenames):
            row = {name: number + column / 100 for column, name in enumerate(names)}
            row["label"] = filename.split(".")[0]
            row |= cells if number == 0 else {}
            writer.writerow([filename, 66149, *(row[name] for name in names), row["label"]])
    return path


def by_id(dataset):
    return dataset.tracks.set_index("track_id")


@pytest.fixture
def kaggle(tmp_path):
    root = tmp_path / "gtzan"
    sound(root / "genres_original/blues/blues.00000.wav", 0.5)
    sound(root / "genres_original/hiphop/hiphop.00099.WAV")
    empty_file(root / "genres_original/jazz/jazz.00054.wav")
    empty_file(root / "genres_original/blues/._blues.00001.wav")
    empty_file(root / "genres_original/blues/.DS_Store")
    empty_file(root / "images_original/blues/blues00000.png")
    empty_file(root / "images_original/rock/rock00007.png")
    table(root / "features_30_sec.csv", ["blues.00000.wav", "rock.00002.wav"])
    table(
        root / "features_3_sec.csv",
        ["rock.00002.10.wav", "rock.00002.9.wav", "blues.00000.0.wav"],
    )
    return tmp_path


# ---- the index in the package


def test_index_counts_are_the_published_ones():
    index = datasets.gtzan_index()
    assert list(index["track_id"]) == [f"{g}.{n:05d}" for g in GENRES for n in range(100)]
    parts = index["fault_filtered_split"].value_counts()
    assert parts.to_dict() == {"train": 443, "test": 290, "valid": 197}
    assert index["artist_id"].notna().sum() == 948 and index["artist_id"].nunique() == 412
    assert (index["artist_fold"].isna() == index["artist_id"].isna()).all()
    assert index.groupby("artist_id")["artist_fold"].nunique().max() == 1
    assert index["mini"].sum() == 100
    jazz = index[index["mini"] & index["track_id"].str.startswith("jazz")]["track_id"]
    assert [int(track[-5:]) for track in jazz] == [0, 1, 2, 4, 5, 6, 7, 8, 11, 12]


def test_repetitions_name_each_other_and_never_sit_in_two_parts():
    index = datasets.gtzan_index().set_index("track_id")
    partner = index["known_fault"].str.extract(r"^repeats (\S+)$")[0].dropna()
    assert len(partner) == 28 and partner["metal.00058"] == "rock.00016"
    assert (partner[partner.to_numpy()].to_numpy() == partner.index).all()
    both = index["fault_filtered_split"].notna()
    assert not (both[partner.index].to_numpy() & both[partner.to_numpy()].to_numpy()).any()
    others = index["known_fault"].dropna().drop(partner.index)
    assert set(others.index) == {"jazz.00054", "reggae.00086"}


@pytest.mark.real_data
def test_index_is_what_the_sources_say(gtzan_root):
    source = pd.read_csv(gtzan_root / "index.csv").set_index("track_id").sort_index()
    index = datasets.gtzan_index().set_index("track_id")
    assert index.index.equals(source.index)
    for name in ("fault_filtered_split", "artist_fold"):
        ours, theirs = index[name], source[name]
        assert (ours.isna() == theirs.isna()).all() and (ours == theirs)[theirs.notna()].all()
    numbers = index["artist_id"].str[1:].astype(float)
    pd.testing.assert_series_equal(numbers, source["artist_id"], check_dtype=False)


@pytest.mark.real_data
@pytest.mark.parametrize("segment_s", [30.0, 10.0])
def test_repetitions_are_the_equal_rows_of_the_tables(gtzan_root, segment_s):
    gtzan = datasets.load("gtzan")
    rows = datasets.load_feature_csv(gtzan, segment_s)
    equal = rows.groupby(list(datasets.TABLE_FEATURES))["track_id"].agg(tuple)
    pairs = {tuple(sorted(tracks)) for tracks in equal if len(set(tracks)) > 1}
    faults = gtzan.tracks.set_index("track_id")["known_fault"]
    partner = faults.str.extract(r"^repeats (\S+)$")[0].dropna()
    expected = {tuple(sorted(pair)) for pair in partner.items()}
    if segment_s == 10.0:
        expected |= {("jazz.00053", "jazz.00054")}
        assert "10-s table rows repeat jazz.00053" in faults["jazz.00054"]
    assert pairs == expected


# ---- names


@pytest.mark.parametrize("name", ["hip-hop", "hip hop", "Hip_Hop", "hiphop", " HIPHOP "])
def test_spellings_of_hiphop_are_one_genre(name):
    assert datasets.normalise_genre(name) == "hiphop"


def test_a_genre_gtzan_does_not_have_keeps_its_words():
    assert datasets.normalise_genre("Drum & Bass") == "drum-bass"
    with pytest.raises(datasets.DatasetError, match="letters or digits"):
        datasets.normalise_genre("--")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blues.00000.wav", ("blues.00000", 0)),
        ("blues.00000.au", ("blues.00000", 0)),
        ("blues.00000.12.wav", ("blues.00000", 12)),
        ("Hip-Hop.00003.wav", ("hiphop.00003", 0)),
        ("blues00000.png", ("blues.00000", 0)),
        ("blues.00000", ("blues.00000", 0)),
        ("summer song.mp3", None),
        (".00000.wav", None),
    ],
)
def test_file_names_of_gtzan_are_understood(name, expected):
    assert datasets.parse_filename(name) == expected


# ---- GTZAN's layouts


def test_kaggle_layout(kaggle):
    gtzan = datasets.load("gtzan", data_root=kaggle)
    assert tuple(gtzan.tracks.columns) == datasets.TRACK_COLUMNS
    assert len(gtzan.tracks) == 1000 and gtzan.tracks["track_id"].is_monotonic_increasing
    tracks = by_id(gtzan)
    assert set(tracks.index[tracks["audio_path"].notna()]) == {
        "blues.00000",
        "hiphop.00099",
        "jazz.00054",
    }
    assert tracks.loc["blues.00000", "duration_s"] == pytest.approx(0.5)
    assert np.isnan(tracks.loc["jazz.00054", "duration_s"])  # unreadable, and no crash
    assert set(tracks.index[tracks["image_path"].notna()]) == {"blues.00000", "rock.00007"}
    assert tracks.loc["blues.00001", "audio_path"] is None
    assert set(gtzan.tables) == {30.0, 3.0}
    assert gtzan.available and not gtzan.synthetic and gtzan.genres == GENRES
    assert "10.1109/TSA.2002.800560" in gtzan.citation and gtzan.licence


def test_files_in_a_sub_folder_data(kaggle):
    (kaggle / "gtzan").rename(kaggle / "Data")
    (kaggle / "gtzan").mkdir()
    (kaggle / "Data").rename(kaggle / "gtzan" / "Data")
    gtzan = datasets.load("gtzan", data_root=kaggle)
    assert gtzan.tracks["audio_path"].notna().sum() == 3
    assert gtzan.tracks["image_path"].notna().sum() == 2 and len(gtzan.tables) == 2


@pytest.mark.parametrize("ending", ["au", "flac", "ogg", "aiff"])
def test_original_archive_layout_and_other_endings(tmp_path, ending):
    sound(tmp_path / f"gtzan/genres/metal/metal.00003.{ending}")
    gtzan = datasets.load("gtzan", data_root=tmp_path)
    path = by_id(gtzan).loc["metal.00003", "audio_path"]
    assert path.suffix == f".{ending}" and gtzan.tables == {}


def test_one_of_several_files_of_a_track_is_taken(tmp_path):
    for ending in ("mp3", "au", "wav"):
        empty_file(tmp_path / f"gtzan/genres/pop/pop.00003.{ending}")
    path = by_id(datasets.load("gtzan", data_root=tmp_path)).loc["pop.00003", "audio_path"]
    assert path.suffix == ".wav"


def test_gtzan_mini_out_of_the_whole_set(kaggle):
    table(kaggle / "gtzan/features_30_sec.csv", ["blues.00000.wav", "blues.00050.wav"])
    mini = datasets.load("gtzan-mini", data_root=kaggle)
    assert len(mini.tracks) == 100 and mini.title == "GTZAN mini"
    assert set(mini.tracks["audio_path"].dropna().map(lambda p: p.name)) == {"blues.00000.wav"}
    assert list(datasets.load_feature_csv(mini, 30)["track_id"]) == ["blues.00000"]


def test_gtzan_mini_in_a_folder_of_its_own_comes_first(kaggle):
    sound(kaggle / "gtzan-mini/genres/jazz/jazz.00012.wav")
    mini = datasets.load("gtzan-mini", data_root=kaggle)
    assert list(mini.tracks["audio_path"].dropna().map(lambda p: p.name)) == ["jazz.00012.wav"]


def test_missing_gtzan_says_where_and_how(tmp_path):
    with pytest.raises(datasets.DatasetError, match="DATA_ROOT") as error:
        datasets.load("gtzan", data_root=tmp_path)
    assert str(tmp_path / "gtzan") in str(error.value) and "does not exist" in str(error.value)
    (tmp_path / "gtzan").mkdir()
    with pytest.raises(datasets.DatasetError, match="holds nothing of it"):
        datasets.load("gtzan", data_root=tmp_path)
    with pytest.raises(datasets.DatasetError, match="gtzan_mini"):
        datasets.load("gtzan-mini", data_root=tmp_path)


def test_index_alone_where_predictions_are_enough(tmp_path, monkeypatch):
    gtzan = datasets.load("gtzan", data_root=tmp_path, missing_ok=True)
    assert not gtzan.available and len(gtzan.tracks) == 1000
    assert gtzan.tracks["audio_path"].isna().all()
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    assert not datasets.load("gtzan", data_root=tmp_path).available
    with pytest.raises(datasets.DatasetError):
        datasets.load("gtzan", data_root=tmp_path, missing_ok=False)


def test_data_root_of_the_environment(kaggle, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(kaggle))
    assert datasets.load("gtzan").tracks["audio_path"].notna().sum() == 3


def test_the_digest_of_sound_knows_files_their_order_and_what_reads_them(kaggle):
    gtzan = datasets.load("gtzan", data_root=kaggle)
    tracks = list(gtzan.tracks["track_id"][gtzan.tracks["audio_path"].notna()])
    digests = {gtzan.sound_digest(some) for some in (tracks, tracks[::-1], tracks[:2], tracks[:1])}
    assert len(digests) == 4
    before = gtzan.sound_digest(tracks, "recipe 1")
    assert before not in {*digests, gtzan.sound_digest(tracks, "recipe 2")}
    by_id(gtzan).loc[tracks[0], "audio_path"].write_bytes(b"other sound")
    assert gtzan.sound_digest(tracks, "recipe 1") != before


def test_describe_counts_each_genre(kaggle):
    counts = datasets.describe(datasets.load("gtzan", data_root=kaggle))
    assert list(counts.index) == [*GENRES, "all"]
    blues = counts.loc["blues", ["tracks", "with_audio", "with_picture", "in_table"]]
    assert list(blues) == [100, 1, 1, 1]
    assert list(counts.loc["all", ["tracks", "with_audio", "in_table"]]) == [1000, 3, 2]
    assert list(counts.loc["all", ["with_artist", "train", "valid", "test"]]) == [
        948,
        443,
        197,
        290,
    ]


# ---- public feature tables


def test_table_names_are_those_that_features_computes():
    from genre_utils import features

    assert features.FEATURE_NAMES == datasets.TABLE_FEATURES


def test_feature_table_is_sorted_by_track_and_segment(kaggle):
    rows = datasets.load_feature_csv(datasets.load("gtzan", data_root=kaggle), 3.0)
    assert list(rows.columns) == ["track_id", "segment_index", *datasets.TABLE_FEATURES]
    assert list(rows["track_id"]) == ["blues.00000", "rock.00002", "rock.00002"]
    assert list(rows["segment_index"]) == [0, 9, 10]
    assert rows["chroma_stft_mean"].tolist() == [2.0, 1.0, 0.0]
    assert (rows.dtypes[2:] == np.float64).all()


def test_labels_are_normalised(kaggle):
    table(kaggle / "gtzan/features_30_sec.csv", ["hip-hop.00000.wav"], label="Hip Hop")
    rows = datasets.load_feature_csv(datasets.load("gtzan", data_root=kaggle), 30.0)
    assert list(rows["track_id"]) == ["hiphop.00000"]


def test_rows_of_unknown_tracks_are_left_out_unless_all_are(kaggle):
    file = kaggle / "gtzan/features_30_sec.csv"
    table(file, ["ska.00000.wav", "blues.00000.wav"])
    gtzan = datasets.load("gtzan", data_root=kaggle)
    assert list(datasets.load_feature_csv(gtzan, 30.0)["track_id"]) == ["blues.00000"]
    table(file, ["ska.00000.wav", "blues.12345.wav"])
    with pytest.raises(datasets.DatasetError, match="none of its 2 rows"):
        datasets.load_feature_csv(gtzan, 30.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop": ("tempo", "mfcc3_var")}, r"tempo, mfcc3_var are missing.*\n?.*again"),
        ({"tempo": "fast"}, r"features_30_sec.csv, line 2: tempo is not a finite.*'fast'"),
        ({"rms_var": "inf"}, "line 2: rms_var is not a finite number"),
        ({"rms_var": ""}, "line 2: rms_var is not a finite number"),
        ({"label": "rock"}, "line 2: label and filename are of two genres, found 'rock'"),
    ],
)
def test_faulty_tables_are_named_with_file_and_row(kaggle, arguments, message):
    table(kaggle / "gtzan/features_30_sec.csv", ["blues.00000.wav", "pop.00001.wav"], **arguments)
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.load_feature_csv(datasets.load("gtzan", data_root=kaggle), 30.0)


@pytest.mark.parametrize(
    ("filenames", "message"),
    [
        (["blues.00000.wav", "track one.wav"], "line 3: filename should look like"),
        (["blues.00000.wav", "blues.00000.wav"], "line 3: a second row for this segment"),
    ],
)
def test_faulty_file_names_in_tables(kaggle, filenames, message):
    table(kaggle / "gtzan/features_30_sec.csv", filenames)
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.load_feature_csv(datasets.load("gtzan", data_root=kaggle), 30.0)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00binary"])
def test_files_that_are_no_tables(kaggle, content):
    (kaggle / "gtzan/features_30_sec.csv").write_bytes(content)
    with pytest.raises(datasets.DatasetError, match="features_30_sec.csv"):
        datasets.load_feature_csv(datasets.load("gtzan", data_root=kaggle), 30.0)


def test_a_table_that_is_not_there(kaggle):
    with pytest.raises(datasets.DatasetError, match="10-s segments .*there is: 3 s, 30 s"):
        datasets.load_feature_csv(datasets.load("gtzan", data_root=kaggle), 10.0)


# ---- a folder of the user's own


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "My Music"
    sound(root / "Hip-Hop/Best Song!.wav")
    sound(root / "Hip-Hop/album/best song.flac")
    sound(root / "hip hop/hip-hop.00001.wav")
    sound(root / "Drum & Bass/äöü.ogg")
    empty_file(root / "covers/front.jpg")
    empty_file(root / ".hidden/x.wav")
    empty_file(root / "Drum & Bass/._äöü.ogg")
    return root


def test_own_folder(own):
    found = datasets.load(str(own))
    assert found.name == "my-music" and found.title == "My Music"
    assert found.genres == ("drum-bass", "hiphop")
    assert list(found.tracks["track_id"]) == [
        "drum-bass.äöü",
        "hiphop.00001",
        "hiphop.best-song",
        "hiphop.best-song-2",
    ]
    assert found.tracks["duration_s"].round(3).eq(0.1).all()
    assert found.tracks["artist_id"].isna().all() and found.tables == {}
    assert tuple(found.tracks.columns) == datasets.TRACK_COLUMNS


def test_artists_of_an_own_folder(own):
    (own / "tracks.csv").write_text(
        "filename,artist\nBest Song!.wav,Ann\nHip-Hop/album/best song.flac,Bob\näöü.ogg,\n"
    )
    artists = by_id(datasets.load(str(own)))["artist_id"]
    assert artists.dropna().to_dict() == {"hiphop.best-song": "Ann", "hiphop.best-song-2": "Bob"}


def test_split_and_folds_of_an_own_folder(own):
    (own / "tracks.csv").write_text(
        "track_id,artist_id,artist_fold,fault_filtered_split\n"
        "hiphop.00001,a,1,train\nhiphop.best-song,b,2,test\n"
    )
    tracks = by_id(datasets.load(str(own)))
    assert tracks["artist_fold"].dropna().to_dict() == {"hiphop.00001": 1, "hiphop.best-song": 2}
    assert tracks.loc["hiphop.best-song", "fault_filtered_split"] == "test"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("song,by\na,b\n", "found the columns song, by; expected track_id or filename"),
        ("filename,artist\nnowhere.wav,Ann\n", "none of its 1 rows names a sound file"),
        ("track_id,artist\nhiphop.00001,A\nhiphop.00001,B\n", "line 3: a second row"),
        (
            "track_id,artist,fault_filtered_split\nhiphop.00001,A,training\n",
            "line 2: fault_filtered_split is none of .* 'training'",
        ),
        ("track_id,artist,artist_fold\nhiphop.00001,A,1.5\n", "line 2: artist_fold is no whole"),
        ("", "tracks.csv: cannot be read"),
    ],
)
def test_faulty_facts_of_an_own_folder(own, content, message):
    (own / "tracks.csv").write_text(content)
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.load(str(own))


def test_the_genre_tells_files_of_one_name_apart(tmp_path):
    for genre in ("rock", "pop"):
        sound(tmp_path / f"two/{genre}/1.wav")
    facts = tmp_path / "two/tracks.csv"
    facts.write_text("filename,artist\n1.wav,Ann\n")
    with pytest.raises(datasets.DatasetError, match="line 2: several sound files"):
        datasets.load(str(tmp_path / "two"))
    facts.write_text("filename,genre,artist\n1.wav,Rock,Ann\n1.wav,pop,Bob\n")
    artists = by_id(datasets.load(str(tmp_path / "two")))["artist_id"]
    assert artists.to_dict() == {"pop.1": "Bob", "rock.1": "Ann"}


def test_an_own_folder_needs_two_genres(tmp_path):
    sound(tmp_path / "one/rock/a.wav")
    (tmp_path / "one/pop").mkdir()
    with pytest.raises(datasets.DatasetError, match=r"found 1 sub-folder.*rock \(1\).*two"):
        datasets.load(str(tmp_path / "one"))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(project.ProjectError, match="neither a known data set"):
        datasets.load(str(tmp_path / "nowhere"))


# ---- the demo


def test_demo_is_synthetic_and_knows_its_artists(demo):
    assert demo.synthetic and demo.title == "demo (synthetic)" and demo.genres == GENRES
    tracks = demo.tracks
    assert tracks["audio_path"].notna().all() and tracks["artist_id"].notna().all()
    assert tracks["track_id"].str.fullmatch(r"[a-z]+\.\d{5}").all()
    assert tracks["duration_s"].gt(1).all()
    assert set(tracks["fault_filtered_split"].dropna()) == {"train", "valid", "test"}


# ---- the real thing


@pytest.mark.real_data
def test_real_gtzan(gtzan_root):
    gtzan = datasets.load("gtzan")
    assert gtzan.root == gtzan_root
    counts = datasets.describe(gtzan).loc["all"]
    assert counts["tracks"] == 1000 and counts["in_table"] == 1000
    assert counts["with_audio"] >= 100 and counts["with_picture"] >= 999
    assert list(counts[["train", "valid", "test"]]) == [443, 197, 290]
    assert gtzan.tracks["duration_s"].dropna().between(29.5, 31).all()
    assert len(datasets.load_feature_csv(gtzan, 30.0)) == 1000
    segments = datasets.load_feature_csv(gtzan, 10.0)
    assert len(segments) == 2991 and set(segments["segment_index"]) == {0, 1, 2}


@pytest.mark.real_data
def test_real_gtzan_mini(gtzan_root):
    mini = datasets.load("gtzan-mini")
    assert len(mini.tracks) == 100 and mini.tracks["audio_path"].notna().all()
    single = mini.tracks.groupby("genre")["artist_id"].nunique()
    assert set(single[single == 1].index) == {"blues", "classical", "reggae", "rock"}


# ---- validation


def problems(dataset):
    found = datasets.validate(dataset)
    return {(row.problem, row.item): row.detail for row in found.itertuples()}


def test_validate_lists_what_is_missing_and_what_cannot_be_read(kaggle):
    found = problems(datasets.load("gtzan", data_root=kaggle))
    by_problem = pd.Series([problem for problem, _ in found]).value_counts()
    # Each table has two of 1,000 tracks; a track may lack a row in both.
    assert by_problem["no sound file"] == 997 and by_problem["no picture"] == 998
    listed = datasets.validate(datasets.load("gtzan", data_root=kaggle))
    in_table = listed[listed["problem"] == "no row in a table"]["detail"].value_counts()
    assert in_table.to_dict() == {"features_3_sec.csv": 998, "features_30_sec.csv": 998}
    detail = found["header unreadable", "genres_original/jazz/jazz.00054.wav"]
    assert "libsndfile cannot open it" in detail and "undecodable in the Kaggle archive" in detail


def test_validate_asks_for_pictures_and_tables_only_where_there_are_some(tmp_path):
    sound(tmp_path / "gtzan" / "genres" / "blues" / "blues.00000.wav")
    found = datasets.validate(datasets.load("gtzan", data_root=tmp_path))
    assert set(found["problem"]) == {"no sound file"} and len(found) == 999
    (tmp_path / "gtzan" / "genres" / "blues" / "blues.00000.wav").unlink()
    table(tmp_path / "gtzan" / "features_30_sec.csv", ["blues.00000.wav"])
    found = problems(datasets.load("gtzan", data_root=tmp_path))
    assert ("no sound file", "all 1000 tracks") in found and len(found) == 1000


def test_validate_compares_checksums(kaggle):
    root = kaggle / "gtzan"
    changed, same = "genres_original/blues/blues.00000.wav", "features_30_sec.csv"
    rows = [f"{changed},{'0' * 64}", f"{same},{project.file_digest(root / same).upper()}", "no,aa"]
    (root / "checksums.csv").write_text("file,sha256\n" + "\n".join(rows))
    found = problems(datasets.load("gtzan", data_root=kaggle))
    assert ("file differs", changed) in found and ("file missing", "no") in found
    assert ("file differs", same) not in found
    (root / "checksums.csv").write_text("file,sha256\nx,\n")
    with pytest.raises(datasets.DatasetError, match="expected the columns file and sha256"):
        datasets.validate(datasets.load("gtzan", data_root=kaggle))


def test_validate_finds_files_that_do_not_belong(kaggle):
    root = kaggle / "gtzan"
    for name in ("blues/blues.00100.wav", "blues/blues.00000.mp3", "rock/remix.wav"):
        sound(root / "genres_original" / name) if name[-1] == "v" else empty_file(
            root / "genres_original" / name
        )
    empty_file(root / "notes.txt")
    found = problems(datasets.load("gtzan", data_root=kaggle))
    extra = {item: detail for (problem, item), detail in found.items() if "expected" in problem}
    assert extra == {
        "genres_original/blues/blues.00000.mp3": "a second file of this track",
        "genres_original/blues/blues.00100.wav": "no track of the data set",
        "genres_original/rock/remix.wav": "no track of the data set",
    }


def test_mini_inside_gtzan_needs_only_its_own_tracks(tmp_path):
    index = datasets.gtzan_index()
    for track in [*index["track_id"][index["mini"]], "blues.00050"]:
        sound(tmp_path / "gtzan" / "genres" / track.split(".")[0] / f"{track}.wav")
    assert datasets.validate(datasets.load("gtzan-mini", data_root=tmp_path)).empty
    assert len(datasets.validate(datasets.load("gtzan", data_root=tmp_path))) == 899


def test_validate_a_folder_of_ones_own(tmp_path, demo):
    assert datasets.validate(demo).empty
    for name in ("rock/a.wav", "pop/b.wav"):
        sound(tmp_path / "mine" / name)
    rows = ["filename,artist", "a.wav,x", "b.wav,y", "gone.wav,z"]
    (tmp_path / "mine" / "tracks.csv").write_text("\n".join(rows))
    found = problems(datasets.load(str(tmp_path / "mine")))
    assert found == {("file missing", "gone.wav"): "listed in tracks.csv"}


@pytest.mark.real_data
def test_the_real_mini_is_complete(gtzan_root):
    assert datasets.validate(datasets.load("gtzan-mini", data_root=gtzan_root.parent)).empty
