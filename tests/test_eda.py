import html
import io
import re
import urllib.parse
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from genre_utils import datasets, eda, feature_report, features, plots, plots_eda, words_eda
from genre_utils.features import FEATURE_NAMES, SR, FeatureTable
from genre_utils.project import Outputs
from genre_utils.results import Report

GENRES = ("blues", "metal", "pop")


def tone(frequency, seconds, *, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * SR)) / SR)).astype(
        np.float32
    )


def clicks(seconds, *, bpm):
    y = np.zeros(int(seconds * SR), dtype=np.float32)
    noise = np.random.default_rng(0).normal(size=200).astype(np.float32) * 0.3
    for start in range(0, len(y) - 200, int(60 / bpm * SR)):
        y[start : start + 200] = noise
    return y


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six tracks of two genres, one of them broken, with artists."""
    root = tmp_path_factory.mktemp("own") / "My Music"
    for genre, sound in (("low", tone(110, 4)), ("high & bright", tone(3000, 4))):
        (root / genre).mkdir(parents=True)
        for number in range(3):
            soundfile.write(root / genre / f"ä song {number}.wav", sound, SR)
    (root / "low" / "ä song 0.wav").write_bytes(b"RIFF and nothing more")
    return root


@pytest.fixture(scope="module")
def own(folder):
    return datasets.load(str(folder))


def feature_table(*, shift=3.0, n_tracks=12, artists_each=4, segments=1):
    """Random features; each genre's and each artist's lie around a place of their own."""
    random = np.random.default_rng(0)
    rows, X = [], []
    for g, genre in enumerate(GENRES):
        place = shift * random.normal(size=len(FEATURE_NAMES))
        habits = random.normal(size=(artists_each, len(FEATURE_NAMES)))
        for t in range(n_tracks):
            for segment in range(segments):
                artist = t % artists_each
                rows.append((f"{genre}.{t:05d}", genre, f"a{g}{artist}", segment))
                X.append(place + 2 * habits[artist] + 0.3 * random.normal(size=len(FEATURE_NAMES)))
    items = pd.DataFrame(rows, columns=["track_id", "genre", "artist_id", "segment_index"])
    none = pd.DataFrame(columns=["track_id", "file", "reason"])
    return FeatureTable(items, np.array(X), FEATURE_NAMES, "audio", none, "")


def everything(table):
    return eda.OpenPart(frozenset(table.items["track_id"]), False)


def test_views_show_what_is_in_the_sound():
    low, high = (eda.views(tone(f, 4)) for f in (500, 8000))
    rows = [v["spectrogram"].mean(axis=1).argmax() for v in (low, high)]
    assert rows[0] == pytest.approx(40 * 500 / (SR / 2), abs=1.5)
    assert rows[1] == pytest.approx(40 * 8000 / (SR / 2), abs=1.5)
    assert high["zero-crossing rate"].mean() == pytest.approx(2 * 8000 / SR, rel=0.05)
    assert low["rms"].max() == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    assert low["waveform"].min() == pytest.approx(-0.3, abs=0.01)
    a = eda.views(tone(440, 4))["chroma"].mean(axis=1)
    assert eda.PITCH_CLASSES[a.argmax()] == "A"


def test_a_held_tone_is_harmonic_and_a_click_percussive():
    held, struck = eda.views(tone(440, 4)), eda.views(clicks(4, bpm=120))
    # The ends of a clip are strokes of their own.
    inside = slice(20, -20)
    assert np.all(
        held["harmonic part"].max(axis=0)[inside] > held["percussive part"].max(axis=0)[inside] + 20
    )
    assert struck["percussive part"].max() > struck["harmonic part"].max() + 10


@pytest.mark.parametrize("bpm", [90, 120])
def test_the_tempogram_is_bright_at_the_tempo(bpm):
    strength = eda.views(clicks(10, bpm=bpm))["tempogram"].mean(axis=1)
    tempos = np.geomspace(*eda.TEMPO_RANGE, len(strength))
    near = strength[np.abs(np.log2(tempos / bpm)) < 0.06].max()
    between = strength[np.abs(np.log2(tempos / (bpm * 2**0.5))) < 0.06].max()
    assert near > 2 * between


@pytest.mark.parametrize("y", [np.zeros(SR, np.float32), tone(440, 0.2)], ids=["silent", "short"])
def test_views_of_odd_clips_are_finite(y):
    for kind, values in eda.views(y).items():
        assert np.isfinite(values).all(), kind
    assert np.isfinite(eda.measures({"x": y}).select_dtypes("number")).all(axis=None)


def test_measures_name_the_loud_the_tonal_and_the_struck():
    table = eda.measures({"held": tone(440, 4), "struck": clicks(4, bpm=120)}).set_index("clip")
    assert table.loc["held", "rms_db"] == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=0.1)
    assert table.loc["held", "pitch_class"] == "A"
    assert table.loc["held", "percussive_share"] < 0.1 < 0.8 < table["percussive_share"]["struck"]
    assert table.loc["held", "centroid_hz"] < table.loc["struck", "centroid_hz"]


def test_the_fast_separation_is_librosas():
    librosa = pytest.importorskip("librosa")
    magnitude = np.abs(librosa.stft(clicks(2, bpm=120) + tone(440, 2)))
    for ours, theirs in zip(
        features.harmonic_percussive(magnitude), librosa.decompose.hpss(magnitude), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_examples_pass_over_what_cannot_be_read(own):
    examples = feature_report.examples(own, seconds=2.0)
    assert list(examples) == ["high-bright", "low"]
    assert examples["low"].path.name == "ä song 1.wav"
    assert len(examples["low"].y) == 2 * SR and examples["low"].start_s == 1.0


def test_frames_share_the_centre_and_leave_out_what_does_not_fit(own):
    examples = feature_report.examples(own, seconds=2.0)
    cut = eda.frames(examples, genre="low", lengths=[1.0, 3.0, 9.0])
    assert {name: len(y) / SR for name, y in cut.items()} == {
        "1-s frame": 1.0, "3-s frame": 3.0, "whole clip": 4.0,
    }  # fmt: skip
    np.testing.assert_array_equal(cut["1-s frame"], cut["3-s frame"][SR : 2 * SR])
    assert list(eda.frames(examples, genre="polka", lengths=[])) == ["whole clip"]


def test_players_of_recordings_hold_a_relative_link_and_no_sound(own, folder):
    examples = feature_report.examples(own, seconds=1.0)
    page = eda.players(own, examples, outputs=Outputs("my-music")).data
    links = [urllib.parse.unquote(html.unescape(x)) for x in re.findall(r'src="([^"]*)"', page)]
    assert "../data/My Music/low/ä song 1.wav" in links
    assert all(link.startswith("../") for link in links)
    assert "base64" not in page and str(folder.parent) not in page
    assert len(page) < 3000


def test_players_of_recordings_in_the_project_reach_them(own, monkeypatch, folder):
    from genre_utils import project

    monkeypatch.setattr(project, "root", lambda: folder.parent)
    monkeypatch.delenv("OUTPUT_ROOT")
    outputs = Outputs("my-music")
    page = eda.players(own, feature_report.examples(own, seconds=1.0), outputs=outputs).data
    first, second = re.findall(r'src="([^"]*)"', page)[:2]
    for link, place in ((first, folder.parent / "notebooks"), (second, outputs.results / "nb")):
        assert (place / urllib.parse.unquote(link)).resolve().is_file()


def test_players_of_generated_sounds_are_part_of_the_page(own):
    examples = feature_report.examples(own, seconds=1.0)
    page = eda.players(replace(own, synthetic=True), examples, outputs=Outputs("demo")).data
    assert page.count("data:audio/mpeg;base64,") == 2
    assert len(page) < 100_000


def test_balance_counts_what_is_there_and_what_was_measured(own):
    measurements = pd.DataFrame(
        {"track_id": own.tracks["track_id"], "duration_s": 4.0, "rms_db": -20.0}
    )
    measurements.loc[own.tracks["track_id"] == "low.ä-song-0", ["duration_s", "rms_db"]] = np.nan
    table = eda.balance(own, measurements).set_index("genre")
    assert list(table["n_tracks"]) == [3, 3] and list(table["n_pictures"]) == [0, 0]
    assert table.loc["low", "hours"] == pytest.approx(8 / 3600)
    assert len(eda.measured_tracks(own, measurements)) == 5


def test_only_a_training_part_with_enough_tracks_is_opened(own):
    tracks = own.tracks.assign(fault_filtered_split=["train", "train", "test"] * 2)
    with_split = replace(own, tracks=tracks)
    part = eda.open_part(with_split, at_least=2)
    assert part.is_training_part and len(part.track_ids) == 4
    assert not eda.open_part(with_split, at_least=3).is_training_part
    assert len(eda.open_part(own, at_least=1).track_ids) == 6


def test_no_table_looks_at_a_closed_track():
    table = feature_table()
    opened = frozenset(table.items["track_id"][::2])
    part = eda.OpenPart(opened, True)
    poisoned = replace(table, X=np.where(table.items["track_id"].isin(opened).to_numpy()[:, None],
                                         table.X, 1e6))  # fmt: skip
    for function, options in (
        (eda.correlations, {}), (eda.tempos, {}), (eda.projection, {"seed": 0}),
        (eda.neighbours, {}), (eda.separation, {"seed": 0}), (eda.ranking, {"seed": 0}),
    ):  # fmt: skip
        pd.testing.assert_frame_equal(
            function(table, part, **options), function(poisoned, part, **options)
        )


def test_spreads_part_the_variance():
    table = feature_table(segments=3)
    values = eda.distributions({10.0: table}, everything(table), ["tempo", "rms_mean"])
    spreads = eda.spreads(values)
    shares = spreads[["between_genres", "between_tracks", "within_track"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (spreads["within_track"] < 0.1).all() and (spreads["n_segments"] == 108).all()


def test_neighbours_by_the_same_artist_flatter():
    table = feature_table(shift=0.2)
    found = eda.neighbours(table, everything(table))
    assert (found["same_genre"] == 1).all()
    assert found["same_genre_other_artist"].mean() < 0.8
    assert found["by_chance"].tolist() == pytest.approx([11 / 35] * 3)
    assert set(found["nearest_other"]) <= set(GENRES)


def test_the_nearest_neighbour_is_never_of_the_same_track():
    table = feature_table(shift=0.0, artists_each=12, segments=2)
    found = eda.neighbours(table, everything(table))
    assert found["same_genre"].mean() < 0.7


def test_separation_finds_the_group_that_tells_and_nothing_in_noise():
    table = feature_table(shift=0.0)
    X = np.random.default_rng(1).normal(size=table.X.shape)
    metal = table.items["genre"].eq("metal").to_numpy()
    X[metal, FEATURE_NAMES.index("rms_mean")] += 8
    told = eda.separation(replace(table, X=X), everything(table), seed=0)
    auc = told.set_index(["genre", "feature_group"])["auc"]
    assert auc["metal", "rms"] > 0.95 and auc["metal", "tempo"] < 0.8
    best = eda.ranking(replace(table, X=X), everything(table), seed=0).iloc[0]
    assert best["feature"] == "rms_mean" and 0.5 < best["between_genres"] <= 1


def test_artists_say_what_a_random_split_gives_away(demo):
    table = eda.artists(demo, seed=0)
    assert (table["n_artists"] == 5).all() and (table["largest_artist_share"] == 0.2).all()
    assert 0.5 < table["seen_artist_share"].mean() <= 1
    assert eda.artist_shares(demo).groupby("genre")["n_tracks"].sum().eq(10).all()


def findings(*rows):
    columns = ["track_id", "file", "fault", "severity", "reason", "value", "partner"]
    return pd.DataFrame(rows, columns=columns)


def test_worst_cases_take_turns_and_show_no_pair_twice(own):
    ids = list(own.tracks["track_id"])
    found = findings(
        (ids[1], "b", "clipped", "warning", "r", 0.4, None),
        (ids[0], "a", "clipped", "warning", "r", 0.5, None),
        (ids[2], "c", "repetition", "error", "r", 1.0, ids[4]),
        (ids[4], "d", "repetition", "error", "r", 1.0, ids[2]),
        ("not.there", "e", "silent", "error", "r", 1.0, None),
    )
    cases = eda.worst_cases(found, own, n_cases=2)
    assert list(cases["fault"]) == ["clipped", "repetition"]
    assert list(cases["track_id"]) == [ids[0], ids[2]]
    assert len(eda.worst_cases(found, own, n_cases=9)) == 3
    known = replace(own, tracks=own.tracks.assign(known_fault=["spoilt", *["repeats x"] * 5]))
    assert "known_fault" in set(eda.worst_cases(found, known, n_cases=3)["fault"])
    assert eda.faulty_tracks(found) == {*ids[:3], ids[4], "not.there"}
    shown = eda.case_pictures(cases, own)
    assert [case.track_id for case in shown] == [ids[2], ids[4], ids[0]]
    assert eda.fault_counts(found).iloc[0]["n_findings"] == 2


def test_the_example_of_a_fault_is_its_worst_finding():
    found = findings(
        ("a", "a", "repetition", "error", "alike", 0.1, "b"),
        ("c", "c", "repetition", "error", "the same", 1.0, "d"),
        ("a", "a", "dc_offset", "warning", "a little", 0.02, None),
        ("b", "b", "dc_offset", "warning", "a lot", -0.3, None),
        ("a", "a", "short", "warning", "29 s", 29.0, None),
        ("b", "b", "short", "warning", "2 s", 2.0, None),
    )
    examples = eda.fault_counts(found).set_index("fault")["example"]
    assert examples.to_dict() == {"repetition": "the same", "dc_offset": "a lot", "short": "2 s"}


def test_words_say_which_artists_are_not_known_and_whether_their_tracks_repeat_others(own):
    tracks = own.tracks.assign(artist_id=["a", None, "a", "b", None, "b"])
    some = replace(own, tracks=tracks)
    said = words_eda.artists(eda.artists(some, seed=0))
    assert "Of 2 tracks the artist is not known (high-bright 1, low 1)" in said
    known = replace(own, tracks=own.tracks.assign(artist_id=list("aabbcc")))
    assert "is not known" not in words_eda.artists(eda.artists(known, seed=0))
    ids = list(tracks["track_id"])
    found = findings(
        (ids[0], "a", "repetition", "fault", "r", 1.0, ids[1]),
        (ids[3], "d", "repetition", "similar", "r", 1.0, ids[4]),
    )
    counts = eda.fault_counts(found)
    repeats = "Of the 2 tracks without a known artist, 1 repeats another track."
    assert repeats in words_eda.faults(counts, found, some)
    assert "without a known" not in words_eda.faults(counts, found, known)


def test_a_case_without_readable_sound_shows_the_picture_or_says_so(own, tmp_path):
    picture = tmp_path / "p.png"
    Image.new("L", (300, 200), 128).save(picture)
    tracks = own.tracks.copy()
    broken = tracks.index[tracks["track_id"] == "low.ä-song-0"][0]
    cases = findings(("low.ä-song-0", "x", "undecodable", "error", "r", np.nan, None))
    without = eda.case_pictures(cases, own)
    tracks.at[broken, "image_path"] = picture
    with_picture = eda.case_pictures(cases, replace(own, tracks=tracks))
    assert without[0].picture is None and with_picture[0].picture.ndim == 2
    for shown in (without, with_picture):
        plt.close(plots_eda.cases(shown))


def test_a_case_with_sound_names_its_units(own):
    cases = findings(("low.ä-song-1", "x", "clipped", "warning", "r", 0.5, None))
    figure = plots_eda.cases(eda.case_pictures(cases, own))
    spectrogram = figure.axes[1]
    assert (spectrogram.get_xlabel(), spectrogram.get_ylabel()) == ("seconds", "kHz")
    plt.close(figure)


def test_a_map_says_which_marker_is_which_genre():
    table = feature_table()
    figure = plots_eda.projections(eda.projection(table, everything(table), seed=0))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(GENRES)
    plt.close(figure)


def test_the_whole_notebook_copes_with_nothing_at_all(own):
    """Neither sound nor pictures nor features: every figure is drawn and says so."""
    tracks = own.tracks.assign(audio_path=None, artist_id=pd.NA)
    bare = replace(own, tracks=tracks)
    none = feature_report.examples(bare, seconds=1.0)
    measures = eda.example_measures(none)
    measurements = pd.DataFrame({"track_id": [], "duration_s": [], "rms_db": []})
    measurements = measurements.astype({"track_id": "str"})
    part, table = eda.open_part(bare, at_least=1), eda.whole_clips({}, bare)
    spreads = eda.spreads(eda.distributions({}, part, ["tempo"]))
    pairs = eda.strongest_pairs(eda.correlations(table, part))
    maps, near = eda.projection(table, part, seed=0), eda.neighbours(table, part)
    told, ranked = eda.separation(table, part, seed=0), eda.ranking(table, part, seed=0)
    balance, artists = eda.balance(bare, measurements), eda.artists(bare, seed=0)
    measured = eda.measured_tracks(bare, measurements)
    cases = eda.worst_cases(findings(), bare, n_cases=3)
    figures = [
        plots_eda.views_by_genre({}, ["waveform"], seconds=1.0),
        plots_eda.views_by_frame({}, {}),
        plots_eda.contents(balance, measured),
        plots_eda.distributions(eda.distributions({}, part, ["tempo"])),
        plots_eda.correlations(eda.correlations(table, part)),
        plots_eda.tempos(eda.tempos(table, part)),
        plots_eda.projections(maps),
        plots_eda.separation(told, ranked),
        plots_eda.artists(eda.artist_shares(bare), artists),
        plots_eda.cases(eda.case_pictures(cases, bare)),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), format="svg")
        plt.close(figure)
    portraits = eda.portraits(
        table, part, separation=told, neighbours=near, artists=artists, findings=findings(),
        dataset=bare,
    )  # fmt: skip
    texts = [
        eda.players(bare, none, outputs=Outputs("x")).data,
        words_eda.views_alt(["waveform"], measures),
        words_eda.signals(measures),
        words_eda.spectra(measures),
        words_eda.structure(measures),
        words_eda.frames(eda.measures({})),
        words_eda.frames_alt(eda.measures({}), "jazz"),
        words_eda.contents(balance, measured),
        words_eda.distributions(spreads),
        words_eda.distributions_alt(spreads),
        words_eda.correlations(pairs),
        words_eda.tempos(eda.tempos(table, part)),
        words_eda.projections(maps, near),
        words_eda.projections_alt(near),
        words_eda.separation(told, ranked),
        words_eda.artists(artists),
        words_eda.artists_alt(artists),
        words_eda.faults(eda.fault_counts(findings()), findings(), bare),
        words_eda.literature(pd.DataFrame()),
        words_eda.cases(cases),
        words_eda.cases_alt(cases),
        words_eda.data_card(bare),
        words_eda.portraits(portraits),
        words_eda.answer(balance, portraits, artists, findings(), bare),
    ]
    for text in texts:
        assert len(text) > 30 and "nan" not in text.lower().split()


def test_a_table_of_the_data_set_goes_without_a_number(own, monkeypatch, tmp_path):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    report = Report("01_eda", dataset=own, profile="full")
    report.table(pd.DataFrame({"a": [1]}), "audit", numbered=False)
    report.table(pd.DataFrame({"a": [1]}), "balance")
    assert {p.name for p in report.outputs.results.iterdir()} == {"audit.csv", "01_balance.csv"}


def test_figures_are_saved_small_white_and_with_their_description(own, monkeypatch, tmp_path):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    report = Report("01_eda", dataset=own, profile="full")
    report.figure(plots.nothing("no audio here"), "none", alt="Nothing: süß.")
    with Image.open(report.outputs.figures / "01_none.png") as picture:
        assert picture.mode == "P" and picture.text["Description"] == "Nothing: süß."
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.real_data
def test_gtzan_has_few_artists_in_blues_and_its_repetitions_have_pictures(gtzan_root):
    gtzan = datasets.load("gtzan")
    artists = eda.artists(gtzan, seed=0).set_index("genre")
    assert artists.loc["blues", "n_artists"] == 9
    card = words_eda.data_card(gtzan)
    assert "12 of reggae and 10 of pop, and give the largest artists 29 and 21 tracks" in card
    part = eda.open_part(gtzan, at_least=10)
    assert part.is_training_part and len(part.track_ids) == 443
    table = features.table(gtzan, segment_s=30.0)
    near = eda.neighbours(table, part).set_index("genre")
    assert near["same_genre"].mean() > near["same_genre_other_artist"].mean() + 0.15
