"""Other music and damaged sound: what is heard, what is kept, what tables and words make of it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import tiny_bundle

from genre_utils import (
    GENRES,
    audio,
    bundle,
    damage,
    datasets,
    experiments,
    plots_generalization,
    project,
    results,
    robustness,
    shipping,
)
from genre_utils import tables_generalization as tables
from genre_utils import words_generalization as words
from genre_utils.experiments import Store, Unit
from genre_utils.project import Outputs, ProjectError

SR = 22050
KNOWN = GENRES[:3]
DAMAGES = ["noise, 0 dB", "telephone band", "5-s excerpt"]


def tone(hz, seconds, sr=SR):
    t = np.arange(round(seconds * sr)) / sr
    return (0.3 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(11 * t))).astype(np.float32)


def write(path, hz, seconds=6.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, tone(hz, seconds), SR)


# ---- damages


@pytest.mark.parametrize("name", list(damage.DAMAGES))
def test_every_damage_changes_a_clip_and_leaves_music(name):
    y = tone(440, 6.0)
    changed, sr = damage.DAMAGES[name].apply(y, SR)
    assert np.isfinite(changed).all() and np.abs(changed).max() > 0.01
    assert sr != SR or len(changed) != len(y) or np.abs(changed - y).max() > 1e-3
    for seconds in (5, 2):
        if name == f"{seconds}-s excerpt":
            assert len(changed) == seconds * SR
    rates = {"10 % faster": 1 / 1.1, "10 % slower": 1 / 0.9}
    assert len(changed) / sr == pytest.approx(rates.get(name, len(changed) / sr / 6.0) * 6.0, 0.01)


@pytest.mark.parametrize("snr_db", [20, 0])
def test_noise_is_as_loud_as_it_says(snr_db):
    y = tone(440, 2.0)
    noise = damage.noisy(y, SR, snr_db=snr_db) - y
    found = 10 * np.log10(np.mean(y**2) / np.mean(noise**2))
    assert found == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("kbit", [128, 64, 32])
def test_mp3_has_the_bit_rate_it_says(kbit):
    from genre_utils import alterations

    y = tone(440, 5.0)
    assert len(alterations.mp3(y, SR, kbit=kbit)) * 8 / 5.0 == pytest.approx(1e3 * kbit, rel=0.05)


def test_pitch_and_speed_change_one_without_the_other():
    y = tone(440, 4.0)

    def pitch(y):
        return np.argmax(np.abs(np.fft.rfft(y[: 2 * SR]))) / 2

    assert pitch(damage.higher(y, SR, semitones=2)) == pytest.approx(440 * 2 ** (2 / 12), rel=0.01)
    assert pitch(damage.faster(y, SR, rate=1.1)) == pytest.approx(440, rel=0.01)


def test_an_unknown_damage_is_named():
    with pytest.raises(ProjectError, match="unknown damage 'rust'.*telephone band"):
        damage.named(["rust"])


# ---- what is heard


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A GTZAN of a few tones, excerpts of it, other music with kinds, and a tiny network."""
    root = tmp_path_factory.mktemp("world")
    index = datasets.gtzan_index()
    for number, genre in enumerate((*KNOWN, "rock")):
        for part, n in (("test", 2), ("valid", 1), ("train", 1)):
            of = index["track_id"].str.startswith(genre) & index["fault_filtered_split"].eq(part)
            for track in index.loc[of, "track_id"].head(n):
                write(root / f"data/gtzan/genres_original/{genre}/{track}.wav", 300 * 3**number)
                if part == "test":
                    name = f"data/short/{genre}/{track}.wav"
                    write(root / name, 300 * 3**number, 1.5)
    rows = ["filename,artist,kind"]
    for number, genre in enumerate((*KNOWN[:2], "techno")):
        for i in range(4):
            write(root / f"data/other/{genre}/{genre}-{i}.wav", 320 * 3**number + 10 * i)
            rows.append(f"{genre}-{i}.wav,artist {i % 2},{'live' if i % 2 else 'cover'}")
    (root / "data/other/blues/broken.wav").write_text("no sound")
    (root / "data/other/tracks.csv").write_text("\n".join(rows) + "\n")
    tiny_bundle.write(
        root / "bundle", model=tiny_bundle.network(), genres=KNOWN, made_with={"run": "0123"}
    )
    return root


@pytest.fixture
def there(world, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(world / "data"))
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBS", "1")
    monkeypatch.setattr(bundle, "default", lambda: bundle.load(world / "bundle"))
    return Outputs("gtzan")


def run(outputs, *, dataset="gtzan", elsewhere="other", **options):
    found = datasets.load(dataset, missing_ok=True)
    given = {"excerpts": "short", "known_copies": ["blues-3"], "damages": DAMAGES} | options
    return robustness.run(
        found, study="09_generalization", outputs=outputs, elsewhere=elsewhere, **given
    )


def test_what_is_heard_and_what_is_left_out(there):
    heard = run(there)
    what = tables.what_was_heard(heard, datasets.load("gtzan")).set_index("music")
    assert list(what.index) == ["whole clips", "excerpts", "other"]
    whole = what.loc["whole clips"]
    assert (whole["clips"], whole["of_test"], whole["of_valid"]) == (9, 6, 3)
    assert "3 of a genre that it does not know" in whole["left_out"]  # rock
    assert what.loc["excerpts", "clips"] == 6 and what.loc["other", "clips"] == 7
    assert what.loc["other", "artists"] == 2
    for reason in ("1 in the data learnt from", "4 of a genre", "1 cannot be read"):
        assert reason in what.loc["other", "left_out"]
    rows = heard.predictions
    assert not rows["track_id"].str.contains("blues-3|train|rock|techno").any()
    # Excerpts of 1.5 s are not cut to 5 s.
    pairs = set(zip(rows["source"], rows["input"], strict=True))
    assert ("excerpts", "5-s excerpt") not in pairs and ("other", "5-s excerpt") in pairs
    assert set(rows.loc[rows["source"] == "other", "dataset"]) == {"other"}


def test_damaged_test_clips_are_counted_as_uses_of_the_test_part(there):
    run(there)
    uses = pd.read_csv(there.results / "test_uses.csv")
    of = uses[uses["study"] == "09_generalization_clips"]
    assert len(of) == 1 + len(DAMAGES) and set(of["stage"]) == {"final"}
    assert set(of["n_test_tracks"]) == {6} and set(of["times"]) == {1}
    run(there)  # nothing is heard twice
    assert pd.read_csv(there.results / "test_uses.csv")["times"].eq(1).all()


def test_tables_come_back_without_any_sound(there, tmp_path, monkeypatch):
    before = run(there)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "nothing"))
    for setting in ("0", "1"):
        monkeypatch.setenv("FROM_PREDICTIONS", setting)
        after = run(there)
        pd.testing.assert_frame_equal(before.predictions, after.predictions)
        pd.testing.assert_frame_equal(
            tables.damages(before, n_boot=50), tables.damages(after, n_boot=50)
        )


def test_nothing_at_all(there, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "nothing"))
    assert_page(run(there), there, datasets.load("gtzan", missing_ok=True))


def test_another_network_hears_again(there, world, monkeypatch):
    first = run(there, elsewhere="", excerpts="")
    tiny_bundle.write(world / "warmer", genres=KNOWN, temperature=2.0, made_with={"run": "4567"})
    monkeypatch.setattr(bundle, "default", lambda: bundle.load(world / "warmer"))
    second = run(there, elsewhere="", excerpts="")
    assert not set(first.predictions["run_id"]) & set(second.predictions["run_id"])


def test_a_folder_of_ones_own_gets_the_same_page(there, world):
    folder = str(world / "data" / "other")
    outputs = Outputs("other")
    heard = run(outputs, dataset=folder)
    assert set(heard.predictions["stage"]) == {"elsewhere"}
    kinds = tables.by_kind(heard, n_boot=50)
    assert list(kinds["kind"]) == ["cover", "live"] and kinds["n_tracks"].sum() == 7
    assert "cover" in words.kinds_line(kinds)
    assert (outputs.results / "predictions" / "09_generalization_other.parquet").is_file()
    assert_page(heard, outputs, datasets.load(folder))


def test_clips_are_spread_when_there_are_too_many(there):
    heard = run(there, most_clips=3, elsewhere="", excerpts="", damages=[])
    assert sorted(heard.predictions["y_true"]) == sorted(KNOWN)
    assert (
        "6 to save time" in tables.what_was_heard(heard, datasets.load("gtzan"))["left_out"].iloc[0]
    )


def test_kinds_need_no_artist(tmp_path):
    for genre in ("rock", "pop"):
        write(tmp_path / "mine" / genre / "deep" / f"{genre}.wav", 300, 1.0)
    (tmp_path / "mine" / "tracks.csv").write_text("filename,kind\nrock.wav, live \n")
    found = datasets.load(str(tmp_path / "mine"))
    kinds = datasets.kinds(found)
    assert kinds["rock.rock"] == "live" and pd.isna(kinds["pop.pop"])
    assert found.tracks["artist_id"].isna().all()
    assert list(found.tracks.columns) == list(datasets.TRACK_COLUMNS)
    assert datasets.validate(found).empty
    assert datasets.kinds(datasets.load("gtzan", data_root=tmp_path, missing_ok=True)).isna().all()


# ---- what is made of it


@pytest.fixture
def shipped(there):
    """Stored predictions of the test part that the tiny network was shipped for."""
    index = datasets.gtzan_index()
    items = index[index["fault_filtered_split"].eq("test")]
    items = items.assign(genre=items["track_id"].str.split(".").str[0], segment_start_s=0.0)
    items = items[items["genre"].isin(KNOWN)].reset_index(drop=True)
    unit = Unit("tiny", "spectrogram", "picture", 30.0, "fault_filtered", 0, 0, "final", "", "", "")
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(len(KNOWN)), len(items))
    shares[np.arange(len(items)), items["genre"].map(KNOWN.index)] += 0.5
    shares /= shares.sum(axis=1, keepdims=True)
    rows = experiments.prediction_rows(
        unit, shares, items=items, genres=KNOWN, dataset="gtzan", n_train=1
    ).assign(run_id="0123")
    store = Store(shipping.STUDY, there)
    project.write_atomic(store.table, rows.to_parquet())
    project.write_atomic(
        store.table.with_suffix(".json"), '{"runs": [{"run_id": "0123"}], "impossible": []}'
    )
    return rows


def assert_page(heard, outputs, data):
    """Make all tables, figures and sentences of the page; return the tables."""
    home = robustness.at_home(heard, outputs)
    other = robustness.other_networks(outputs)
    options = {"n_boot": 50, "called": "home"}
    made = {
        "accuracy": tables.accuracy(heard, home, data, **options),
        "loss": tables.home_and_away(heard, home, other, data, known_copies=["x"], n_boot=50),
        "genres": tables.by_genre(heard, home),
        "reliability": tables.reliability(heard, home, called="home"),
        "abstention": tables.abstention(heard, home, **options),
        "coverage": tables.coverage(heard, home, called="home"),
        "damages": tables.damages(heard, n_boot=50),
        "kinds": tables.by_kind(heard, n_boot=50),
        "heard": tables.what_was_heard(heard, data),
    }
    figures = [
        plots_generalization.home_and_away(made["loss"], home="home", away="away"),
        plots_generalization.genres(made["genres"], home="home", away="away"),
        plots_generalization.reliability(made["reliability"]),
        plots_generalization.coverage(made["coverage"], thresholds=tables.THRESHOLDS),
        plots_generalization.damages(made["damages"]),
        plots_generalization.confusions(tables.confusions(heard, home, called="home")),
    ]
    for figure in figures:
        figure.canvas.draw()
        plt.close(figure)
    said = [
        words.heard_line(made["heard"]),
        words.accuracy_line(made["accuracy"]),
        words.loss_line(made["loss"]),
        words.loss_alt(made["loss"]),
        words.genres_line(made["genres"]),
        words.genres_alt(made["genres"]),
        words.calibration_alt(made["accuracy"]),
        words.coverage_alt(made["abstention"]),
        words.damages_alt(made["damages"]),
        words.steady_line(made["damages"]),
        words.kinds_line(made["kinds"]),
        words.bias_line(made["genres"]),
        words.artists_line(data),
        words.answer(made["accuracy"], made["loss"], made["damages"]),
        tables.fragment(made["accuracy"], made["damages"]),
    ]
    tables.abstention_to_read(made["abstention"])
    tables.damages_to_read(made["damages"])
    assert all(len(text) > 30 and "nan" not in text.split() for text in said), said
    return made


def test_the_whole_page(there, shipped):
    made = assert_page(run(there), there, datasets.load("gtzan"))
    accuracy = made["accuracy"].set_index(["music", "answers"])
    assert list(accuracy.index)[:3] == [
        ("home", "all genres"),
        ("home, same genres", "all genres"),
        ("home, same genres", "genres there are"),
    ]
    assert accuracy.loc[("home", "all genres"), "n_tracks"] == len(shipped)
    same = shipped["y_true"].isin(KNOWN[:2]).sum()
    assert accuracy.loc[("home, same genres", "all genres"), "n_tracks"] == same
    assert accuracy.loc[("other", "genres there are"), "chance"] == 0.5
    whole = accuracy.loc[("whole clips", "all genres")]
    assert whole["of_valid"] == 3 and accuracy.loc[("other", "all genres"), "of_valid"] == 0
    assert "whole clips (3 of 9 of the validation part)" in set(
        tables.accuracy_to_read(made["accuracy"])["music"]
    )
    assert (
        "whole clips (3 of 9 of the validation part)"
        in tables.abstention_to_read(made["abstention"]).index
    )
    for said in (
        words.calibration_line(made["accuracy"]),
        words.abstention_line(made["abstention"], at_least=0.5),
    ):
        assert "On music that played no part in choosing anything: " in said
        chose_nothing, flattered = said.split("Validation tracks chose the epoch")
        assert "home" in chose_nothing and "other" in chose_nothing
        assert "whole clips (3 of 9" in flattered and "whole clips" not in chose_nothing
    loss = made["loss"].set_index("answers")
    for answers in (tables.EVERY, tables.SHARED):
        row = loss.loc[answers]
        assert row["difference"] == pytest.approx(row["away"] - row["home"])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["away"] == accuracy.loc[("other", answers), "accuracy"]
        away, home = accuracy.loc[("other", answers)], accuracy.loc[("home, same genres", answers)]
        below = np.hypot(
            away["accuracy"] - away["accuracy_artist_low"],
            home["accuracy_artist_high"] - home["accuracy"],
        )
        assert row["artist_low"] == pytest.approx(row["difference"] - below)
    assert "drawing artists" in words.answer(made["accuracy"], made["loss"], made["damages"])


def test_music_from_elsewhere_has_no_artists_of_the_data_set(there, shipped):
    """Track ids may be the same on both sides by chance, and artists unknown."""
    heard = run(there, damages=[])
    home = robustness.at_home(heard, there)
    rows, runs = heard.predictions.copy(), heard.runs.copy()
    away = rows["source"].eq("other")
    rows.loc[away, "track_id"] = shipped["track_id"].head(away.sum()).to_numpy()
    runs["clips"] = [[] if run.source == "other" else run.clips for run in runs.itertuples()]
    unknown = experiments.StudyResult(rows, runs, heard.impossible)
    data = datasets.load("gtzan")
    scores = tables.accuracy(unknown, home, data, n_boot=50, called="home")
    scores = scores.set_index(["music", "answers"])
    assert pd.isna(scores.loc[("other", tables.EVERY), "n_artists"])
    assert scores.loc[("home", tables.EVERY), "n_artists"] > 0
    nothing = robustness.other_networks(there)
    loss = tables.home_and_away(unknown, home, nothing, data, known_copies=["x"], n_boot=50)
    assert loss["artist_low"].isna().all() and loss["low"].notna().all()


def test_home_has_its_own_artists_beside_a_folder_of_ones_own(there, shipped, world):
    folder = str(world / "data" / "other")
    heard = run(Outputs("other"), dataset=folder)
    home = robustness.at_home(heard, there)
    scores = tables.accuracy(heard, home, datasets.load(folder), n_boot=50, called="home")
    assert scores.set_index("music").loc["home", "n_artists"] > 10


def test_other_networks_that_heard_music_from_elsewhere(there, shipped):
    heard = run(there, damages=[])
    store = Store("07_networks", there)
    away = heard.predictions[heard.predictions["source"].eq("other")]
    named = {"model": "resnet_small", "input": "spectrogram", "source": "picture"}
    rows = [
        part.assign(run_id=f"seed {seed}", seed=seed, **named)
        for seed in (0, 1)
        for part in (shipped, away)
    ]
    also = shipped.assign(run_id="c", model="cnn", protocol="artist_grouped")
    rows = pd.concat([*rows, also], ignore_index=True)
    project.write_atomic(store.table, rows.to_parquet())
    runs = [f'{{"run_id": "{name}"}}' for name in rows["run_id"].unique()]
    project.write_atomic(
        store.table.with_suffix(".json"), f'{{"runs": [{", ".join(runs)}], "impossible": []}}'
    )
    found = robustness.other_networks(there)
    assert set(found.predictions["model"]) == {"resnet_small"}
    home = robustness.at_home(heard, there)
    gtzan = datasets.load("gtzan")
    loss = tables.home_and_away(heard, home, found, gtzan, known_copies=["blues-3"], n_boot=50)
    same = loss.set_index(["model", "answers"])["difference"]
    for answers in (tables.EVERY, tables.SHARED):
        assert same["resnet_small", answers] == pytest.approx(same["tiny", answers])


def test_damages_are_paired_with_the_undamaged_clip(there):
    heard = run(there)
    table = tables.damages(heard, n_boot=50).set_index(["music", "damage"])
    rows = heard.predictions
    for (music, name), row in table.iterrows():
        of = [
            rows[rows["source"].eq(music) & rows["input"].eq(done)].set_index("track_id")
            for done in (robustness.AS_IS, name)
        ]
        answers = [part[[f"p_{g}" for g in KNOWN]].idxmax(axis=1).str[2:] for part in of]
        right = [(said == part["y_true"]).mean() for said, part in zip(answers, of, strict=True)]
        assert row["difference"] == pytest.approx(right[1] - right[0])
        assert row["same_answer"] == pytest.approx((answers[0] == answers[1]).mean())


def test_abstention_counts_the_sure_answers(there):
    heard = run(there, elsewhere="", excerpts="", damages=[])
    table = tables.abstention(heard, pd.DataFrame(), n_boot=50, called="home")
    sure = heard.predictions[[f"p_{g}" for g in KNOWN]].max(axis=1)
    for row in table.itertuples():
        assert row.n_tracks == (sure >= row.at_least).sum()
        assert row.coverage == pytest.approx(row.n_tracks / len(sure))
    assert tables.abstention_to_read(table)["always"].iloc[0].endswith(", 9 answered (100%)")


def test_marks_of_coverage_are_hollow_where_few_answer_and_keep_apart():
    def line(music, right):
        n = len(right)
        counted = np.arange(1, n + 1)
        parts = {"music": music, "confidence": np.linspace(1.0, 0.2, n)}
        return pd.DataFrame(
            parts | {"coverage": counted / n, "accuracy": np.cumsum(right) / counted}
        )

    table = pd.concat([line("a", [True] * 100), line("b", [True] * 93 + [False] * 7)])
    figure = plots_generalization.coverage(table, thresholds=(0.5, 0.9))
    fills = [
        mark.get_markerfacecolor() == "white"
        for mark in figure.axes[0].lines
        if len(mark.get_xdata()) == 1
    ]
    assert fills == [False, True] * 2  # 63 and 13 answers
    marks = [(0.70, 0.70, "0.5", "red"), (0.69, 0.80, "0.5", "blue")]
    axis = plt.figure().gca()
    plots_generalization._label_marks(axis, marks)
    assert [text.xyann[1] < 0 for text in axis.texts] == [True, False]
    plt.close("all")


def test_a_difference_of_equal_parts_is_symmetric():
    score = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}
    found = tables.difference(score, score)
    assert found["difference"] == 0 and found["high"] == pytest.approx(np.hypot(0.1, 0.1))
    assert found["low"] == -found["high"] and np.isnan(found["artist_low"])
    by_artist = score | {"accuracy_artist_low": 0.2, "accuracy_artist_high": 0.7}
    found = tables.difference(by_artist, by_artist)
    assert found["artist_high"] == pytest.approx(np.hypot(0.2, 0.3)) == -found["artist_low"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.136, "-0.14"),
        (-0.00369, "-0.004"),
        (-0.00086, "-0.001"),
        (0.0003, "+0.0003"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (-1e-17, "0.00"),
    ],
)
def test_what_is_not_zero_does_not_look_like_it(value, text):
    assert results.signed(value) == text


def losses(**changes):
    row = {"title": "net", "difference": -0.14, "low": -0.26, "high": -0.0037}
    row |= {"artist_low": -0.31, "artist_high": 0.05} | changes
    return pd.DataFrame([row | {"answers": answers} for answers in (tables.EVERY, tables.SHARED)])


def scores():
    row = {"music": "new", "n_tracks": 98, "n_artists": 86}
    every = {"accuracy": 0.46, "accuracy_low": 0.37, "accuracy_high": 0.56, "chance": 0.1}
    every |= {"accuracy_artist_low": 0.36, "accuracy_artist_high": 0.57, "answers": tables.EVERY}
    shared = {"accuracy": 0.6, "accuracy_low": 0.51, "accuracy_high": 0.69, "chance": 0.2}
    shared |= {"accuracy_artist_low": 0.5, "accuracy_artist_high": 0.71, "answers": tables.SHARED}
    return pd.DataFrame([row | every, row | shared])


def test_losses_are_counted_by_tracks_and_by_artists():
    both = words.accuracy_line(scores())
    assert "drawing whole artists (86 of them) gives 0.36–0.57 and 0.50–0.71." in both
    line = words.loss_line(losses())
    assert "net -0.14 (-0.26 to -0.004; drawing artists -0.31 to +0.05) among all genres" in line
    assert "In 2 of these 2 comparisons" in line and "in 0 when whole artists are" in line
    unknown = words.loss_line(losses(artist_low=np.nan, artist_high=np.nan))
    assert "Who the artists are is not known" in unknown and "drawing artists" not in unknown


def test_an_answer_says_whether_a_loss_may_be_luck(there, shipped):
    made = assert_page(run(there), there, datasets.load("gtzan"))
    for changes, said in (
        ({}, "there: with so few artists, luck alone could do it."),
        ({"artist_high": -0.01}, "there: more than luck, whether tracks or artists are drawn."),
        ({"artist_high": -0.01, "high": 0.01}, "there: with so few tracks and artists, luck alo"),
        ({"artist_high": np.nan, "artist_low": np.nan}, "there. "),
    ):
        answer = words.answer(made["accuracy"], losses(**changes), made["damages"])
        assert f"among those that are {said}" in answer
    one = losses()
    one.loc[0, "artist_high"] = -0.01
    answer = words.answer(made["accuracy"], one, made["damages"])
    assert "there, 1 of them more than luck, whether tracks or artists are drawn." in answer


def test_damages_are_told_in_words():
    row = {"music": "clips", "damage": "noise, 0 dB", "n_tracks": 9, "difference": -0.5}
    row |= {"low": -0.6, "high": -0.4, "same_answer": 0.1, "confidence": 0.6, "accuracy": 0.1}
    table = pd.DataFrame([row | {"unlike": 0.1, "accuracy_as_it_is": 0.6}])
    table = pd.concat([table, table.assign(damage="8,000 Hz", unlike=0.2)], ignore_index=True)
    for line in (words.damage_line(table), words.steady_line(table), words.warned_line(table)):
        assert "noise as loud as the music (0 dB)" in line and "sampled at 8,000 Hz" in line
    better = table.assign(damage="12 dB softer", difference=0.04, low=0.01, high=0.08)
    line = words.damage_line(pd.concat([table, better[:1]]))
    assert "Gained: 12 dB softer, +0.04 (+0.01 to +0.08). Even without any effect" in line
    assert line.endswith("one interval in twenty misses zero; these are 3.")
    assert list(tables.damages_to_read(table).index)[1] == "sampled at 8,000 Hz"
    assert set(tables._DAMAGES) <= set(damage.DAMAGES)
    assert tables.damage_title("telephone band") == "telephone band"


@pytest.mark.real_data
def test_the_shipped_network_hears_real_clips(gtzan_root):
    """Undamaged sound of validation tracks: far above chance, so the path of sound is right."""
    data = datasets.load("gtzan")
    shipped = bundle.default()
    music = robustness.own_clips(data, genres=shipped.genres, most=200)
    clips = music.clips[music.clips["stage"].eq("valid")].head(20)
    if len(clips) < 20:
        pytest.skip("too few clips with sound")
    x = [shipped.preprocessing.spectrogram(audio.load(path)) for path in clips["audio_path"]]
    said = shipped.probabilities(np.stack(x)[:, None]).argmax(axis=1)
    right = np.array(shipped.genres)[said] == clips["genre"].to_numpy()
    assert right.mean() > 0.3
