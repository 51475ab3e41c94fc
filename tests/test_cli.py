import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from genre_utils import project
from genre_utils.cli import main

TRACKS = """track_id,genre,artist_id
rock.a,rock,x
rock.b,rock,y
rock.c,rock,x
pop.a,pop,u
pop.b,pop,v
pop.c,pop,u
"""
CLEAN = "rock.a,train\nrock.c,train\npop.a,train\npop.c,train\nrock.b,test\npop.b,test\n"


@pytest.fixture
def split(tmp_path):
    (tmp_path / "tracks.csv").write_text(TRACKS)

    def audit(rows, *options, header="track_id,part"):
        (tmp_path / "split.csv").write_text(f"{header}\n{rows}")
        tracks = options or ("--tracks", str(tmp_path / "tracks.csv"))
        return main(["leakage", str(tmp_path / "split.csv"), *tracks])

    return audit


def test_a_clean_split_passes(split, capsys):
    assert split(CLEAN) == 0
    assert "no leak found" in capsys.readouterr().out


def test_artists_may_be_called_artist(split, tmp_path, capsys):
    (tmp_path / "tracks.csv").write_text(TRACKS.replace("artist_id", "artist"))
    assert split(CLEAN.replace("rock.c,train", "rock.c,test")) == 1
    assert "artist" in capsys.readouterr().out


def test_folds_that_are_no_numbers_are_named(tmp_path, capsys):
    table = tmp_path / "songs.csv"
    header, *rows = TRACKS.strip().split("\n")
    for fold, expected in (("1.0", 0), ("A", 2)):
        lines = [f"{header},artist_fold", *(f"{row},{fold}" for row in rows[:-1]), f"{rows[-1]},2"]
        table.write_text("\n".join(lines))
        options = ["-o", str(tmp_path / "parts.csv"), "--protocol", "track_random", "--folds", "2"]
        assert main(["split", str(table), *options]) in ((0, 1) if expected == 0 else (2,))
    assert "artist_fold is no whole number" in capsys.readouterr().err


def test_output_that_cannot_be_written_leaves_nothing_behind(tmp_path, capsys):
    for genre in ("pop", "rock"):
        folder = tmp_path / "songs" / genre
        folder.mkdir(parents=True)
        soundfile.write(folder / "a.wav", np.zeros(22050), 22050)
    taken = tmp_path / "taken"
    taken.mkdir()
    assert main(["validate", str(tmp_path / "songs"), "-o", str(taken)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def test_an_artist_in_two_parts_is_found(split, capsys):
    assert split(CLEAN.replace("rock.c,train", "rock.c,test")) == 1
    out = capsys.readouterr().out
    assert "artist" in out and "x" in out


def test_rows_without_a_part_and_warnings_are_no_leak(split, capsys):
    assert split(CLEAN + "rock.c,\n") == 0
    assert split(CLEAN.replace("pop.b,test\n", "")) == 0
    assert "warning" in capsys.readouterr().out  # no pop in the test part


def test_a_recording_under_two_names_is_found(split, capsys):
    rows = "metal.00040,train\nmetal.00061,test\n"
    assert split(rows, "--dataset", "gtzan") == 1
    assert "metal.00040 = metal.00061" in capsys.readouterr().out


def test_a_track_in_two_parts_is_found(split, capsys):
    assert split(CLEAN + "pop.b,train\n") == 1
    assert "pop.b" in capsys.readouterr().out


def test_a_split_of_segments_leaks(split, capsys):
    rows = "blues.00000.0.wav,train\nblues.00000.1.wav,test\nrock.00050.0.wav,train\n"
    assert split(rows, "--dataset", "gtzan", header="filename,part") == 1
    assert "blues.00000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("track,part", CLEAN, "found the columns track, part; expected track_id"),
        ("track_id,part", "rock.a,train\n,test\n", "line 3: an empty name of a track"),
        ("track_id,part", "rock.a,\n", "no row has a part"),
        ("track_id,part", "", "no row has a part"),
    ],
)
def test_wrong_splits_are_one_line_on_stderr(split, capsys, header, rows, message):
    assert split(rows, header=header) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ")
    assert message in captured.err and captured.err.count("\n") == 1


def test_missing_files_and_folders(split, tmp_path, capsys):
    assert main(["leakage", str(tmp_path / "no.csv"), "--dataset", "gtzan"]) == 2
    assert split(CLEAN, "--dataset", "no-such-set") == 2
    assert main(["info", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("error: ") == 3


@pytest.mark.parametrize(
    "content", ["track_id,artist_id\na,x\n", "track_id,genre\na,rock\na,rock\n"]
)
def test_wrong_track_tables(split, tmp_path, capsys, content):
    (tmp_path / "tracks.csv").write_text(content)
    assert split(CLEAN) == 2
    assert "tracks.csv" in capsys.readouterr().err


def test_info_of_an_own_folder(tmp_path, capsys):
    for genre in ("rock", "pop"):
        (tmp_path / "mine" / genre).mkdir(parents=True)
        soundfile.write(tmp_path / "mine" / genre / "a.wav", np.zeros(800), 8000)
    assert main(["info", str(tmp_path / "mine")]) == 0
    out = capsys.readouterr().out
    assert "mine: 2 tracks" in out and "with_audio" in out and "licence:" in out


def test_fetch_says_what_is_there_or_how_to_get_it(tmp_path, capsys, monkeypatch):
    pytest.importorskip("pooch")
    from genre_utils import downloads

    def no_network(*_, **__):
        raise downloads.requests.ConnectionError

    monkeypatch.setattr(downloads.requests, "get", no_network)
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert main(["fetch", "gtzan"]) == 2
    error = capsys.readouterr().err
    assert "could not be fetched from any of 2 mirror(s)" in error
    assert "To place the files by hand" in error and str(tmp_path / "gtzan") in error
    for genre in ("rock", "pop"):
        (tmp_path / "gtzan" / "genres" / genre).mkdir(parents=True)
        file = tmp_path / "gtzan" / "genres" / genre / f"{genre}.00000.wav"
        soundfile.write(file, np.zeros(800), 8000)
    for dataset, about in (("gtzan", "nothing was fetched"), (str(tmp_path / "gtzan"), "2 tracks")):
        assert main(["fetch", dataset]) == 0
        assert about in capsys.readouterr().out
    assert main(["fetch", str(tmp_path / "gtzan"), "--archive", "x.zip"]) == 2


def test_validate_ends_with_1_where_something_is_listed(tmp_path, capsys):
    for genre in ("rock", "pop"):
        (tmp_path / "mine" / genre).mkdir(parents=True)
        soundfile.write(tmp_path / "mine" / genre / "a.wav", np.zeros(800), 8000)
    assert main(["validate", str(tmp_path / "mine")]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    (tmp_path / "mine" / "rock" / "b.wav").write_text("no music")
    listed = tmp_path / "found.csv"
    assert main(["validate", str(tmp_path / "mine"), "-o", str(listed)]) == 1
    assert "1 x header unreadable" in capsys.readouterr().out
    assert "rock/b.wav" in listed.read_text()


@pytest.mark.parametrize("arguments", [[], ["leakage", "split.csv"], ["nonsense"]])
def test_wrong_usage_ends_with_2(arguments):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_help_loads_nothing_heavy():
    """Run as a user would; pandas and the rest are imported only by a command at work."""
    code = (
        "import sys, runpy; sys.argv = ['genre_utils', '--help']\n"
        "try: runpy.run_module('genre_utils', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'pandas', 'numpy', 'librosa', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "leakage" in done.stdout and "info" in done.stdout


def test_a_reader_that_has_enough_gets_no_traceback(tmp_path):
    (tmp_path / "tracks.csv").write_text(TRACKS)
    (tmp_path / "split.csv").write_text(f"track_id,part\n{CLEAN}")
    words = ["-m", "genre_utils", "leakage", "split.csv", "--tracks", "tracks.csv"]
    environment = os.environ | {"PYTHONPATH": str(project.root())}
    child = subprocess.Popen(
        [sys.executable, *words], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    child.stdout.close()
    said = child.stderr.read()
    assert child.wait(timeout=60) == 1 and said == ""


# ---- features and split


def played(path, seconds, hz=300.0, sr=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * sr)) / sr
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(9 * t)), sr)


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """Two genres, three artists each, two tracks an artist; one file is no sound."""
    pytest.importorskip("librosa")
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")
    rows = ["filename,artist"]
    for genre, hz in (("rock", 200), ("pop", 900)):
        for i in range(6):
            played(tmp_path / "mine" / genre / f"{genre}-{i}.wav", 2.0, hz + i)
            rows.append(f"{genre}-{i}.wav,{genre} artist {i // 2}")
    (tmp_path / "mine" / "tracks.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "mine"


def test_features_of_a_folder(collection, tmp_path, capsys):
    table = tmp_path / "table.csv"
    assert main(["features", str(collection), "-o", str(table), "--seconds", "2"]) == 0
    assert "12 rows of 12 files, 57 features" in capsys.readouterr().out
    found = pd.read_csv(table)
    assert list(found.columns[:6]) == [
        "track_id", "genre", "artist_id", "segment_index", "segment_start_s", "file",
    ]  # fmt: skip
    assert found["file"].iloc[0] == "pop/pop-0.wav" and found["artist_id"].nunique() == 6
    assert np.isfinite(found.iloc[:, 6:].to_numpy()).all()
    assert not table.with_suffix(".failures.csv").exists()


def test_a_bad_file_is_a_row_in_the_report(collection, tmp_path, capsys):
    (collection / "rock" / "broken.wav").write_text("no sound")
    played(collection / "rock" / "short.wav", 0.4)
    table = tmp_path / "table.csv"
    assert main(["features", str(collection), "-o", str(table), "--seconds", "1"]) == 1
    out = capsys.readouterr().out
    assert "24 rows of 12 files" in out and "2 file(s) left out" in out
    listed = pd.read_csv(tmp_path / "table.failures.csv")
    assert sorted(listed["file"]) == ["rock/broken.wav", "rock/short.wav"]
    assert listed["reason"].str.len().gt(10).all()


def test_features_of_a_folder_without_genres(tmp_path, monkeypatch, capsys):
    pytest.importorskip("librosa")
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")
    for name in ("a.wav", "live/b.wav"):
        played(tmp_path / "songs" / name, 1.0)
    arguments = ["-o", str(tmp_path / "t.csv"), "--seconds", "1"]
    assert main(["features", str(tmp_path / "songs"), *arguments]) == 0
    assert list(pd.read_csv(tmp_path / "t.csv")["track_id"]) == ["a.wav", "live/b.wav"]
    for wrong in ("nowhere", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main(["features", str(tmp_path / wrong), *arguments]) == 2
    assert main(["features", str(tmp_path / "songs"), "-o", str(tmp_path / "empty")]) == 2
    assert capsys.readouterr().err.count("error: ") == 3


def test_split_keeps_artists_apart(collection, tmp_path, capsys):
    parts = tmp_path / "split.csv"
    assert main(["split", str(collection), "-o", str(parts), "--folds", "3", "--valid"]) == 0
    assert "no leak found" in capsys.readouterr().out
    found = pd.read_csv(parts)
    assert set(found["part"]) == {"train", "valid", "test"} and len(found) == 12
    assert found.groupby("artist_id")["part"].nunique().eq(1).all()
    again = [str(parts), "--tracks", str(parts)]
    assert main(["leakage", *again]) == 0


def test_split_says_that_it_leaks(collection, tmp_path, capsys):
    parts = tmp_path / "split.csv"
    options = ["-o", str(parts), "--protocol", "track_random", "--folds", "2"]
    assert main(["split", str(collection), *options]) == 1
    assert "leak(s) found" in capsys.readouterr().out and parts.is_file()


def test_split_of_a_table_of_segments(tmp_path, capsys):
    rows = [
        f"{genre}.{i},{genre},{genre}{i},{k}"
        for genre in ("rock", "pop")
        for i in range(4)
        for k in range(3)
    ]
    (tmp_path / "table.csv").write_text(
        "\n".join(["track_id,genre,artist_id,segment_index", *rows]) + "\n"
    )
    arguments = ["split", str(tmp_path / "table.csv"), "-o", str(tmp_path / "split.csv")]
    assert main([*arguments, "--folds", "2", "--fold", "1"]) == 0
    assert pd.read_csv(tmp_path / "split.csv")["part"].value_counts().to_dict() == {
        "train": 12,
        "test": 12,
    }
    assert main([*arguments, "--protocol", "segment_random", "--folds", "3"]) == 1
    assert "track" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("track_id,artist\na,x\n", [], "expected track_id, genre"),
        ("track_id,genre\na,rock\na,rock\n", [], "line 3: a second row"),
        ("track_id,genre\na,\n", [], "line 2: an empty genre"),
        ("track_id,genre\na,rock\nb,pop\n", [], "no track has an artist"),
        (TRACKS, ["--folds", "2", "--fold", "7"], "no such fold; there are 0, 1"),
        (TRACKS, ["--protocol", "fault_filtered"], "fault_filtered is impossible"),
    ],
)
def test_splits_that_cannot_be_made(tmp_path, capsys, content, options, message):
    (tmp_path / "tracks.csv").write_text(content)
    arguments = ["split", str(tmp_path / "tracks.csv"), "-o", str(tmp_path / "split.csv")]
    assert main([*arguments, *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert not (tmp_path / "split.csv").exists()


def test_gtzan_is_split_without_a_file_of_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    arguments = ["-o", str(tmp_path / "split.csv"), "--protocol", "fault_filtered"]
    assert main(["split", "gtzan", *arguments]) == 1  # one artist stands on both sides
    assert "443 train" in capsys.readouterr().out
