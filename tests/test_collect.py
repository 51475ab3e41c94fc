import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from genre_utils import audit, collect, datasets, project
from genre_utils.cli import main
from genre_utils.collect import CollectError

SR = 22_050
SECONDS = 4


def song(path, *, seed=None, seconds=SECONDS, sr=SR, artist=None, channels=1):
    """Write a song that climbs from -0.5 to 0.5, so that each sample tells its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = round(seconds * sr)
    y = np.linspace(-0.5, 0.5, n)
    if seed is not None:
        y = np.random.default_rng(seed).uniform(-0.3, 0.3, n)
    with soundfile.SoundFile(path, "w", sr, channels) as file:
        if artist:
            file.artist = artist
        file.write(np.repeat(y[:, None], channels, axis=1))
    return path


@pytest.fixture
def songs(tmp_path):
    """Two genres of ten songs by five artists each, in GENRE/ARTIST/SONG."""
    folder = tmp_path / "songs"
    for number in range(20):
        genre, artist = ("Rock", "Hip-Hop")[number % 2], number // 4
        song(folder / genre / f"Artist {genre} {artist}" / f"song {number}.flac", seed=number)
    return folder


def run(folder, output, **options):
    return collect.collect(folder, output, **{"seconds": 2} | options)


def clip_of(output, tracks, source):
    row = tracks[tracks["source_file"] == source].iloc[0]
    y, sr = soundfile.read(output / row.genre / f"{row.track_id}.flac")
    return row, y, sr


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def with_table(folder, rows, columns="file,genre,artist,kind,part"):
    (folder / "songs.csv").write_text("\n".join([columns, *rows]) + "\n")


# ---- the data set


def test_the_result_is_a_data_set_without_leaks(songs, tmp_path):
    made = run(songs, tmp_path / "out")
    assert made.warnings == [] and made.failures.empty and len(made.tracks) == 20
    found = datasets.load(str(tmp_path / "out"))
    assert found.genres == ("hiphop", "rock")
    assert found.tracks["track_id"].tolist() == made.tracks["track_id"].tolist()
    for name in ("artist_id", "fault_filtered_split"):
        assert found.tracks[name].tolist() == made.tracks[name].tolist()
    assert list(map(project.file_digest, found.tracks["audio_path"])) == list(made.tracks["sha256"])
    assert datasets.validate(found).empty

    parts = found.tracks.rename(columns={"fault_filtered_split": "part"})[["track_id", "part"]]
    assert audit.leakage(parts, made.tracks).empty
    shares = made.tracks["fault_filtered_split"].value_counts(normalize=True)
    assert 0.2 <= shares["test"] <= 0.4
    assert set(made.tracks["artist_id"]) == {
        f"Artist {genre} {number}" for genre in ("Rock", "Hip-Hop") for number in range(5)
    }


def test_clips_are_flac_of_one_channel(tmp_path):
    folder = tmp_path / "songs"
    song(folder / "rock" / "a.wav", sr=44_100, channels=2)
    song(folder / "pop" / "ü ?.ogg", seed=1)
    made = run(folder, tmp_path / "out", seconds=3)
    for row in made.tracks.itertuples():
        info = soundfile.info(tmp_path / "out" / row.genre / f"{row.track_id}.flac")
        assert (info.samplerate, info.channels, info.subtype) == (SR, 1, "PCM_16")
        assert info.frames == 3 * SR and row.duration_s == 3
    assert set(made.tracks["source_file"]) == {"rock/a.wav", "pop/ü ?.ogg"}


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({}, [1.0]),
        ({"where": "start"}, [0.0]),
        ({"seconds": 1, "clips": 2}, [0.5, 2.5]),
        ({"seconds": 1, "clips": 2, "where": "start"}, [0.0, 1.0]),
        ({"seconds": 1, "clips": 9, "where": "start"}, [0.0, 1.0, 2.0, 3.0]),
        ({"seconds": 4.05}, [0.0]),
    ],
)
def test_where_clips_are_cut(tmp_path, options, starts):
    folder = tmp_path / "songs"
    song(folder / "rock" / "a.flac")
    song(folder / "pop" / "b.flac", seed=1)
    tracks = run(folder, tmp_path / "out", **options).tracks
    rows = tracks[tracks["genre"] == "rock"]
    assert rows["start_s"].tolist() == starts
    for row in rows.itertuples():
        y, _ = soundfile.read(tmp_path / "out" / "rock" / f"{row.track_id}.flac")
        expected = -0.5 + row.start_s / SECONDS
        assert y[0] == pytest.approx(expected, abs=1e-3)


def test_random_places_follow_the_seed_and_the_song_only(songs, tmp_path):
    first = run(songs, tmp_path / "a", where="random", clips=2, seconds=1)
    again = run(songs, tmp_path / "b", where="random", clips=2, seconds=1)
    other = run(songs, tmp_path / "c", where="random", clips=2, seconds=1, seed=1)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    pd.testing.assert_frame_equal(first.tracks, again.tracks)
    assert first.tracks["start_s"].tolist() != other.tracks["start_s"].tolist()
    assert first.tracks["start_s"].nunique() > 30
    for _, rows in first.tracks.groupby("source_file"):
        one, two = sorted(rows["start_s"])
        assert one >= 0 and one + 1 <= two and two + 1 <= SECONDS + 1e-3

    song(songs / "Rock" / "New" / "new.flac", seed=99)
    more = run(songs, tmp_path / "d", where="random", clips=2, seconds=1).tracks
    columns = ["track_id", "start_s", "sha256"]
    kept = more[more["artist_id"] != "New"][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first.tracks[columns])


# ---- artists


def test_artists_come_from_the_table_the_tag_or_the_folder(tmp_path):
    folder = tmp_path / "songs"
    song(folder / "rock" / "Folder" / "a.flac", seed=1)
    song(folder / "rock" / "Folder" / "b.flac", seed=2, artist="The  Tag")
    song(folder / "pop" / "c.ogg", seed=3, artist="the tag")
    song(folder / "pop" / "d.wav", seed=4)
    made = run(folder, tmp_path / "out")
    artists = made.tracks.set_index("source_file")["artist_id"].to_dict()
    assert artists["rock/Folder/a.flac"] == "Folder"
    assert artists["rock/Folder/b.flac"] == artists["pop/c.ogg"] in ("The Tag", "the tag")
    assert artists["pop/d.wav"] == "unknown: pop/d.wav"
    assert any("1 song(s) have no known artist" in w and "pop/d.wav" in w for w in made.warnings)

    with_table(
        folder, ["rock/Folder/a.flac,Blues,Somebody,live", "pop/c.ogg,,,"], "file,genre,artist,kind"
    )
    made = run(folder, tmp_path / "out2")
    rows = made.tracks.set_index("source_file")
    assert rows.loc["rock/Folder/a.flac", ["genre", "artist_id", "kind"]].tolist() == [
        "blues",
        "Somebody",
        "live",
    ]
    assert rows.loc["pop/c.ogg", ["genre", "artist_id", "kind"]].tolist() == ["pop", "the tag", ""]
    assert any("2 sound file(s) are not listed" in warning for warning in made.warnings)


def test_given_parts_are_kept(songs, tmp_path):
    files = sorted(p.relative_to(songs).as_posix() for p in songs.rglob("*.flac"))
    parts = {f: "valid" if " 4/" in f else "test" if " 3/" in f else "train" for f in files}
    with_table(songs, [f"{file},{part}" for file, part in parts.items()], "file,part")
    tracks = run(songs, tmp_path / "out").tracks
    assert tracks.set_index("source_file")["fault_filtered_split"].to_dict() == parts


def test_songs_of_one_artist_are_not_mixed(songs, tmp_path):
    rows = [
        f"{p.relative_to(songs).as_posix()},{'test' if 'song 3.' in p.name else 'train'}"
        for p in songs.rglob("*.flac")
    ]
    with_table(songs, rows, "file,part")
    with pytest.raises(CollectError, match="songs of one artist are in several parts") as error:
        run(songs, tmp_path / "out")
    for words in ("Artist Hip-Hop 0", "song 3.flac", "song 1.flac", "songs.csv"):
        assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_one_artist_a_genre_cannot_be_tested_on(tmp_path):
    folder = tmp_path / "songs"
    for number in range(6):
        song(folder / "rock" / f"artist {number}" / "a.flac", seed=number)
        song(folder / "pop" / "Only" / f"{number}.flac", seed=10 + number)
    made = run(folder, tmp_path / "out")
    by_genre = made.tracks.groupby("genre")["fault_filtered_split"].agg(set)
    assert by_genre["pop"] == {"train"} and by_genre["rock"] == {"train", "test"}
    assert any("the test part has no pop" in warning for warning in made.warnings)


@pytest.mark.parametrize("seed", range(5))
def test_split_of_artists_of_many_sizes(seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"genre": genre, "artist_id": f"{genre} {artist}"}
        for genre in ("pop", "rock", "jazz")
        for artist in range(12)
        for _ in range(rng.integers(1, 9))
    ] + [{"genre": genre, "artist_id": "both"} for genre in ("pop", "rock")]
    tracks, warnings = pd.DataFrame(rows), []
    parts = collect._deal(tracks, 0.3, seed, warnings)
    assert tracks.assign(part=parts).groupby("artist_id")["part"].nunique().max() == 1
    shares = parts.eq("test").groupby(tracks["genre"]).mean()
    assert shares.between(0.2, 0.4).all() and warnings == []


# ---- bad songs


def test_bad_songs_are_rows_and_the_others_go_on(songs, tmp_path):
    whole = (songs / "Rock/Artist Rock 0/song 0.flac").read_bytes()
    (songs / "Rock/cut.flac").write_bytes(whole[: len(whole) // 2])
    (songs / "Rock/empty.wav").touch()
    (songs / "Rock/text.wav").write_text("no music")
    song(songs / "Rock/short.wav", seconds=1)
    (songs / "Rock/._song.wav").write_text("litter")
    (songs / "loose.wav").write_bytes(whole)
    made = run(songs, tmp_path / "out")
    reasons = made.failures.set_index("source_file")["reason"]
    assert len(made.tracks) == 20 and sorted(reasons.index) == [
        f"Rock/{name}" for name in ("cut.flac", "empty.wav", "short.wav", "text.wav")
    ]
    assert "too short: 1.0 s; expected 2 s" in reasons["Rock/short.wav"]
    assert "0 bytes" in reasons["Rock/empty.wav"]
    assert any("loose.wav" in warning for warning in made.warnings)
    stored = pd.read_csv(tmp_path / "out" / "failures.csv")
    assert stored["source_file"].tolist() == made.failures["source_file"].tolist()
    assert len(datasets.load(str(tmp_path / "out")).tracks) == 20


def test_the_same_music_twice(songs, tmp_path):
    """Once as the same bytes, once in another format under another artist."""
    original = songs / "Rock/Artist Rock 0/song 0.flac"
    (songs / "Rock/Artist Rock 0/song 0 again.flac").write_bytes(original.read_bytes())
    y, sr = soundfile.read(original, dtype="int16")
    (songs / "pop").mkdir()
    soundfile.write(songs / "pop/z.wav", y, sr)
    song(songs / "pop/y.wav", seed=77)
    made = run(songs, tmp_path / "out")
    reasons = made.failures.set_index("source_file")["reason"].to_dict()
    first = "Rock/Artist Rock 0/song 0 again.flac"
    assert reasons == {
        "Rock/Artist Rock 0/song 0.flac": f"the same music as {first}; keep one of them",
        "pop/z.wav": f"the same music as {first}, which is rock; keep one of them",
    }
    assert len(made.tracks) == 21 == len(datasets.load(str(tmp_path / "out")).tracks)


# ---- again


def test_a_second_run_cuts_nothing(songs, tmp_path, monkeypatch):
    before = run(songs, tmp_path / "out")
    files = tree(tmp_path / "out")
    monkeypatch.setattr(collect.audio, "load", None)
    after = run(songs, tmp_path / "out")
    pd.testing.assert_frame_equal(before.tracks, after.tracks)
    assert tree(tmp_path / "out") == files


def test_songs_come_change_and_go(songs, tmp_path):
    out = tmp_path / "out"
    run(songs, out, clips=2)
    gone = songs / "Rock/Artist Rock 0/song 0.flac"
    gone.unlink()
    song(songs / "Rock/New/new.flac", seed=99)
    song(songs / "Rock/Artist Rock 0/song 2.flac", seed=100, seconds=3)
    made = run(songs, out, clips=2)
    assert len(made.tracks) == 39
    fresh = run(songs, tmp_path / "fresh", clips=2)
    pd.testing.assert_frame_equal(made.tracks, fresh.tracks)
    assert tree(out) == tree(tmp_path / "fresh")


def test_a_killed_run_goes_on(songs, tmp_path):
    out = tmp_path / "out"
    code = (
        "import time\nfrom genre_utils import audio, collect\n"
        "load = audio.load\n"
        "audio.load = lambda *a, **k: (time.sleep(0.1), load(*a, **k))[1]\n"
        f"collect.collect({str(songs)!r}, {str(out)!r}, seconds=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while len(list(out.rglob("*.flac"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "tracks.csv").exists()
    with pytest.raises(datasets.DatasetError):
        datasets.load(str(out))  # half a data set is none
    made = run(songs, out)
    fresh = run(songs, tmp_path / "fresh")
    pd.testing.assert_frame_equal(made.tracks, fresh.tracks)
    assert tree(out) == tree(tmp_path / "fresh")


# ---- wrong input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": 0}, "clips is 0"),
        ({"seconds": 0}, "seconds is 0"),
        ({"where": "end"}, "where is 'end'"),
        ({"seed": -1}, "seed is -1"),
        ({"test_share": 1}, "test_share is 1"),
    ],
)
def test_wrong_options(songs, tmp_path, options, message):
    with pytest.raises(CollectError, match=message):
        run(songs, tmp_path / "out", **options)


def test_an_output_of_another_kind(songs, tmp_path):
    run(songs, tmp_path / "out")
    with pytest.raises(CollectError, match="other options: seconds 2.0, not 3.0"):
        run(songs, tmp_path / "out", seconds=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(CollectError, match="holds files of yours"):
        run(songs, tmp_path / "mine")


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        ("name,genre", ["a,b"], "found the columns name, genre; expected file"),
        ("file,genre", ["../x.wav,rock"], "line 2: expected a file below"),
        ("file,genre", ["/x.wav,rock"], "line 2: expected a file below"),
        ("file,genre", ["a.wav,rock", "./a.wav,pop"], "line 3: a second row"),
        ("file,genre", [",rock"], "line 2: an empty name"),
        ("file,genre", ["a.wav,"], "a.wav has no genre"),
        ("file,genre", ["a.wav,rock"], "expected two or more"),
        ("file,genre,part", ["a.wav,rock,test", "b.wav,pop,dev"], "line 3: part is none of"),
        ("file,genre,part", ["a.wav,rock,test", "b.wav,pop,"], "line 3: part is none of"),
        ("file,genre", ["a.wav,rock", "b.wav,pop"], "none of 2 songs.*a.wav: no such file"),
    ],
)
def test_wrong_tables(tmp_path, columns, rows, message):
    with_table(tmp_path, rows, columns)
    with pytest.raises(project.ProjectError, match=message):
        run(tmp_path, tmp_path / "out")


def test_on_the_command_line(songs, tmp_path, capsys):
    (songs / "Rock" / "bad.wav").write_text("no music")
    arguments = ["collect", str(songs), "-o", str(tmp_path / "out"), "--seconds", "2"]
    assert main([*arguments, "--where", "random", "--test-share", "0.4"]) == 1, "a song is left out"
    captured = capsys.readouterr()
    assert "20 clips of 20 songs by 10 artists" in captured.out and "hiphop" in captured.out
    assert "1 song(s) left out" in captured.out and "Rock/bad.wav" in captured.out
    assert "warning: 1 song(s) have no known artist" in captured.err
    assert main(arguments) == 2
    assert main(["collect", str(tmp_path / "none"), "-o", str(tmp_path / "o")]) == 2
    assert "other options" in (err := capsys.readouterr().err) and "no such folder" in err
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert main(["collect", str(songs), "-o", str(taken)]) == 2
    assert "name another folder with -o" in (err := capsys.readouterr().err)
