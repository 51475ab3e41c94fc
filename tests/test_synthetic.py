import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genre_utils import GENRES, features, project, splits, synthetic

# Two takes of one artist and one of another; enough for all that `ensure` promises.
FEW = tuple(t for t in synthetic.TRACKS if t.genre == "jazz")[:3]

MAKE_ALL_JAZZ = """
import sys
from pathlib import Path
from genre_utils import synthetic
synthetic.TRACKS = tuple(t for t in synthetic.TRACKS if t.genre == "jazz")
synthetic.ensure(Path(sys.argv[1]))
"""


@pytest.fixture
def few_tracks(monkeypatch):
    monkeypatch.setattr(synthetic, "TRACKS", FEW)
    monkeypatch.setenv("JOBS", "1")
    return FEW


def index(folder):
    return pd.read_csv(folder / "tracks.csv")


# ---------------------------------------------------------------- the folder


def test_folder_is_laid_out_like_gtzan(demo):
    names = {path.relative_to(demo.root).as_posix() for path in demo.root.rglob("*.wav")}
    assert names == {
        f"genres_original/{genre}/{genre}.{i:05d}.wav" for genre in GENRES for i in range(10)
    }
    assert "demo (synthetic)" in (demo.root / "README.txt").read_text()


def test_every_clip_is_thirty_seconds_audible_and_not_clipped(demo):
    for track in synthetic.TRACKS:
        sr, y = wavfile.read(demo.root / track.path)
        assert (sr, y.dtype, y.shape) == (22050, np.int16, (661500,)), track.track_id
        peak = np.abs(y.astype(int)).max()
        assert 1000 < peak < 32700, track.track_id
        each_second = y.reshape(30, -1).astype(float).std(axis=1)
        assert (each_second > 3).all(), f"{track.track_id} has a silent second"


def test_no_two_clips_are_the_same(demo):
    manifest = json.loads((demo.root / "manifest.json").read_text())
    assert len(set(manifest["files"].values())) == len(synthetic.TRACKS) == 100


def test_index_states_artists_folds_and_parts(demo):
    table = index(demo.root)
    assert len(table) == 100 and (table["duration_s"] == 30).all()
    assert table["artist_id"].nunique() == 50
    for column in ("artist_fold", "fault_filtered_split"):
        parts_of_artist = table.groupby("artist_id")[column].nunique()
        assert (parts_of_artist == 1).all(), f"an artist is in two values of {column}"
        assert (table.groupby(column)["genre"].nunique() == 10).all()
    assert set(table["artist_fold"]) == {1, 2, 3}
    share = table["fault_filtered_split"].value_counts() / len(table)
    assert share["train"] == 0.4 and share["valid"] == 0.2 and share["test"] == 0.3


# ---------------------------------------------------------------- made once, and made again


def test_same_bytes_whatever_the_number_of_processes(demo, few_tracks, tmp_path, monkeypatch):
    alone = synthetic.ensure(tmp_path / "alone")
    monkeypatch.setenv("JOBS", "2")
    together = synthetic.ensure(tmp_path / "together")
    assert project.data_digest(alone) == project.data_digest(together)
    for track in few_tracks:
        assert (alone / track.path).read_bytes() == (demo.root / track.path).read_bytes()


def test_complete_folder_is_left_alone(few_tracks, tmp_path, monkeypatch):
    folder = synthetic.ensure(tmp_path)

    def fail(track):
        raise AssertionError(f"{track.track_id} was rendered again")

    monkeypatch.setattr(synthetic, "render", fail)
    assert synthetic.ensure(folder) == folder


def remove_a_track(folder):
    (folder / FEW[1].path).unlink()


def cut_a_track_short(folder):
    path = folder / FEW[1].path
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_bit(folder):
    content = bytearray((folder / FEW[1].path).read_bytes())
    content[5000] ^= 1
    (folder / FEW[1].path).write_bytes(content)


def remove_the_manifest(folder):
    (folder / "manifest.json").unlink()


def garble_the_manifest(folder):
    (folder / "manifest.json").write_text('{"version": "1", "fil')


def age_the_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": "0"}))
    # An older version's music, and a track that the present one does not have.
    flip_a_bit(folder)
    (folder / "genres_original/jazz/jazz.00099.wav").write_bytes(b"old")


def remove_the_index(folder):
    (folder / "tracks.csv").unlink()


def change_the_index(folder):
    path = folder / "tracks.csv"
    path.write_text(path.read_text().replace("jazz-1", "jazz-2"))


@pytest.mark.parametrize(
    "damage",
    [
        remove_a_track,
        cut_a_track_short,
        flip_a_bit,
        remove_the_manifest,
        garble_the_manifest,
        age_the_manifest,
        remove_the_index,
        change_the_index,
    ],
)
def test_damage_is_mended(few_tracks, tmp_path, damage):
    whole = project.data_digest(synthetic.ensure(tmp_path))
    damage(tmp_path)
    assert project.data_digest(tmp_path) != whole
    synthetic.ensure(tmp_path)
    assert project.data_digest(tmp_path) == whole


def test_killed_run_leaves_nothing_that_counts_as_done(few_tracks, tmp_path, monkeypatch):
    reference = synthetic.ensure(tmp_path / "reference")
    folder = tmp_path / "killed"
    environment = {**os.environ, "JOBS": "1", "PYTHONPATH": str(project.root())}
    process = subprocess.Popen([sys.executable, "-c", MAKE_ALL_JAZZ, str(folder)], env=environment)
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*.wav")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "manifest.json").exists()

    rendered = []
    render = synthetic.render
    monkeypatch.setattr(synthetic, "render", lambda t: rendered.append(t) or render(t))
    synthetic.ensure(folder)
    assert rendered == list(few_tracks)
    for track in few_tracks:
        assert (folder / track.path).read_bytes() == (reference / track.path).read_bytes()


def test_a_clip_takes_a_fraction_of_a_second():
    one_of_each = [next(t for t in synthetic.TRACKS if t.genre == genre) for genre in GENRES]
    begin = time.process_time()
    for track in one_of_each:
        synthetic.render(track)
    # 100 clips in 30 s on two cores is 0.6 s a clip.
    assert (time.process_time() - begin) / len(one_of_each) < 0.4


# ---------------------------------------------------------------- sounds


def centroid_hz(y):
    power = np.abs(np.fft.rfft(y)) ** 2
    return (power * np.fft.rfftfreq(len(y), 1 / synthetic.SR)).sum() / power.sum()


@pytest.mark.parametrize("name", ["piano", "finger", "flute"])
def test_tone_has_the_pitch_asked_for(name):
    steady = replace(synthetic.PATCHES[name], vibrato=0.0)
    y = synthetic.tone(steady, 69, 1.0)
    assert y.dtype == np.float32 and y.shape == (22050,)
    assert abs(np.abs(np.fft.rfft(y)).argmax() - 440) <= 1


def test_tone_of_the_highest_pitch_does_not_alias():
    y = synthetic.tone(replace(synthetic.PATCHES["banjo"], vibrato=0.0), 96, 1.0)
    spectrum = np.abs(np.fft.rfft(y))
    below_the_pitch = spectrum[:1900].max()
    assert below_the_pitch < 0.02 * spectrum.max()


def test_pluck_loses_its_brightness():
    y = synthetic.tone(synthetic.PATCHES["acoustic"], 52, 1.0)
    assert centroid_hz(y[:2205]) > 1.2 * centroid_hz(y[11025:13230])


def test_drums_sit_where_they_belong_and_kits_differ():
    kits = [np.random.default_rng(seed) for seed in (1, 2)]
    kick, other_kick = (synthetic.drum("kick", kit) for kit in kits)
    snare, hat = (synthetic.drum(name, kits[0]) for name in ("snare", "hat"))
    assert centroid_hz(kick) < 600 < centroid_hz(snare) < 4000 < centroid_hz(hat)
    assert len(kick) != len(other_kick)


def test_rules_are_spelled_right():
    for genre, rule in synthetic.RULES.items():
        grooves = [pattern for groove in rule.grooves for pattern in groove.values()]
        assert set("".join(grooves)) <= set(".xo"), genre
        assert set("".join(rule.bass)) <= set(".135678"), genre
        assert set("".join(rule.comping)) <= set(".xs135678"), genre
        assert {len(p) for p in (*rule.bass, *rule.comping)} == {16}, genre
        instruments = {*rule.bass_sounds, *rule.chord_sounds, *rule.lead_sounds}
        assert instruments <= set(synthetic.PATCHES), genre
        assert set(rule.neighbours) <= set(GENRES) - {genre}
    assert tuple(synthetic.RULES) == GENRES


# ---------------------------------------------------------------- what it teaches


@pytest.fixture(scope="module")
def segments(demo):
    return features.table(demo, segment_s=10)


@pytest.fixture(scope="module")
def clips(demo):
    return features.table(demo, segment_s=30)


def accuracy(table, model, protocol):
    genre = table.items["genre"].to_numpy()
    hits = [
        make_pipeline(StandardScaler(), model)
        .fit(table.X[split.train], genre[split.train])
        .predict(table.X[split.test])
        == genre[split.test]
        for split in splits.make_splits(table.items, protocol, seed=0)
    ]
    return np.concatenate(hits).mean()


def test_genres_keep_their_loudness_and_brightness(clips):
    means = pd.DataFrame(clips.X, columns=clips.names).groupby(clips.items["genre"]).mean()
    rms, centroid = means["rms_mean"], means["spectral_centroid_mean"]
    assert rms.idxmin() == "classical" and rms["metal"] > 3 * rms["classical"]
    assert centroid["disco"] > centroid["reggae"]


def test_leakage_shows_at_each_rung(segments):
    ladder = [
        accuracy(segments, KNeighborsClassifier(1), protocol)
        for protocol in ("segment_random", "track_random", "artist_grouped")
    ]
    assert ladder[0] - ladder[1] > 0.08 and ladder[1] - ladder[2] > 0.08, ladder
    assert ladder[0] - ladder[2] > 0.25, ladder


@pytest.mark.parametrize("length", ["segments", "clips"])
def test_an_honest_split_is_neither_hopeless_nor_easy(length, request):
    table = request.getfixturevalue(length)
    best = max(
        accuracy(table, model, "artist_grouped")
        for model in (
            KNeighborsClassifier(1),
            KNeighborsClassifier(7),
            SVC(C=10),
            LogisticRegression(C=0.1, max_iter=2000),
            RandomForestClassifier(300, random_state=0),
        )
    )
    assert 0.52 < best < 0.85


@pytest.mark.parametrize("protocol", splits.PROTOCOLS)
def test_every_protocol_is_possible(segments, protocol):
    for split in splits.make_splits(segments.items, protocol, seed=0):
        for part in (split.train, split.test):
            assert segments.items["genre"].iloc[part].nunique() == 10
