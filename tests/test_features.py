import warnings
from dataclasses import replace

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from scipy.ndimage import median_filter

from genre_utils import GENRES, audio, datasets, feature_report, features, project, spectral, words

SR = 22050
NAMES = list(features.FEATURE_NAMES)
# The mean of a waveform is 0 but for rounding, so it is compared to the full scale of 1.
WAVEFORM_MEANS = ["harmony_mean", "perceptr_mean"]


def music(seconds, *, pitch=220.0, bpm=120, seed=0):
    """Make chords with a beat and some noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * SR)) / SR
    chord = sum(np.sin(2 * np.pi * pitch * ratio * t) for ratio in (1, 1.25, 1.5))
    beat = np.exp(-12 * (t % (60 / bpm)))
    y = 0.1 * chord * (0.5 + 0.5 * beat) + 0.2 * beat * rng.standard_normal(len(t))
    return y.astype(np.float32)


def assert_equals_librosa(y):
    ours = pd.Series(features.tabular(y), NAMES)
    theirs = pd.Series(feature_report.plain_librosa(y), NAMES)
    rest = [name for name in NAMES if name not in WAVEFORM_MEANS]
    np.testing.assert_allclose(ours[rest], theirs[rest], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(ours[WAVEFORM_MEANS], theirs[WAVEFORM_MEANS], atol=1e-7)


def test_there_are_57_features_in_the_order_of_the_public_table():
    assert len(NAMES) == len(set(NAMES)) == 57
    assert NAMES[:3] == ["chroma_stft_mean", "chroma_stft_var", "rms_mean"]
    assert NAMES[15:18] == ["perceptr_var", "tempo", "mfcc1_mean"]
    assert NAMES[-1] == "mfcc20_var"


@pytest.mark.parametrize("seconds", [0.1, 1.0, 3.0, 10.0])
def test_equal_to_plain_librosa_on_chords(seconds):
    assert_equals_librosa(music(seconds))


def test_equal_to_plain_librosa_on_noise():
    assert_equals_librosa(0.1 * np.random.default_rng(1).standard_normal(66150, dtype=np.float32))


def test_equal_to_plain_librosa_on_clipped_and_half_silent_sound():
    y = np.clip(20 * music(3.0), -1, 1)
    y[: len(y) // 2] = 0
    assert_equals_librosa(y)


def test_silence_has_finite_features_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = pd.Series(features.tabular(np.zeros(66150, dtype=np.float32)), NAMES)
    assert np.isfinite(values).all()
    assert values["tempo"] == values["rms_mean"] == values["chroma_stft_mean"] == 0


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (15, 5), (16, 4), (31, 7), (130, 140), (5, 300)])
def test_quick_median_filter_is_exact(shape):
    S = np.random.default_rng(0).random(shape, dtype=np.float32).round(1)
    expected = median_filter(S, size=(31, 1), mode="reflect")
    np.testing.assert_array_equal(spectral.running_median(S), expected)
    np.testing.assert_array_equal(spectral.running_median(S, 2, 9), expected[2:9])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(2047), "at least 2048 samples"),
        (np.zeros((2, 22050)), r"shape \(2, 22050\); expected one channel"),
        (np.full(22050, np.nan), "NaN or infinite"),
    ],
)
def test_unusable_signals_are_refused(y, message):
    with pytest.raises(features.FeatureError, match=message):
        features.tabular(y)


def test_log_mel_is_librosas():
    y = music(2.0)
    S = features.log_mel(y, sr=SR, n_mels=64)
    expected = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR, n_mels=64))
    assert S.shape == (64, 1 + len(y) // 512) and S.dtype == np.float32
    np.testing.assert_allclose(S, expected, rtol=1e-3, atol=1e-3)
    assert S.min() >= S.max() - 80.001


def test_mfcc_series_is_librosas():
    y = music(2.0)
    series = features.mfcc_series(y, sr=SR, hop_length=256)
    assert series.shape == (1 + len(y) // 256, 13) and series.dtype == np.float32
    expected = librosa.feature.mfcc(y=y, sr=SR, n_mfcc=13, hop_length=256)
    np.testing.assert_allclose(series, expected.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("n_fft", "hop_length"),
    [
        (2048, 128),
        (2048, 256),
        (2048, 512),
        (2048, 2048),
        (2048, 64),
        (2048, 500),
        (512, 128),
        (1024, 256),
        (8192, 2048),
    ],
)
@pytest.mark.parametrize("n_samples", [1, 700, 33000])
@pytest.mark.filterwarnings("ignore:n_fft=")
def test_log_mel_is_librosas_with_any_frame(n_fft, hop_length, n_samples):
    given = {"sr": SR, "n_fft": n_fft, "hop_length": hop_length, "n_mels": 40}
    y = music(2.0)[:n_samples]
    expected = librosa.power_to_db(librosa.feature.melspectrogram(y=y, **given))
    np.testing.assert_allclose(features.log_mel(y, **given), expected, rtol=1e-3, atol=2e-3)


def test_log_mel_takes_samples_as_they_lie_in_memory():
    y = music(2.0)
    expected = features.log_mel(y, sr=SR)
    twice = np.repeat(y, 2)
    twice.flags.writeable = False
    np.testing.assert_array_equal(features.log_mel(twice[::2], sr=SR), expected)
    y.flags.writeable = False
    np.testing.assert_array_equal(features.log_mel(y, sr=SR), expected)


def test_log_mel_of_many_signals_is_that_of_each():
    signals = np.stack([music(1.0, seed=seed) for seed in range(3)])
    S = features.log_mel_batch(signals, sr=SR, n_mels=40)
    assert S.shape == (3, 40, 44)
    for y, one in zip(signals, S, strict=True):
        np.testing.assert_array_equal(one, features.log_mel(y, sr=SR, n_mels=40))


def test_many_signals_together_give_what_each_gives_alone():
    signals = [music(seconds, seed=k) for k, seconds in enumerate([3.0, 0.1, 40.0, 2.0])]
    together = features.tabular_batch(signals)
    alone = np.stack([features.tabular(y) for y in signals])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_extra_features_are_librosas():
    y = music(2.0)
    extra = ("spectral_contrast", "tonnetz")
    names = features.feature_names(extra)
    values = pd.Series(features.tabular(y, extra=extra), names)
    np.testing.assert_array_equal(values[NAMES], features.tabular(y))
    contrast = librosa.feature.spectral_contrast(y=y, sr=SR)
    tonnetz = librosa.feature.tonnetz(chroma=librosa.feature.chroma_stft(y=y, sr=SR))
    for name, rows in (("spectral_contrast", contrast), ("tonnetz", tonnetz)):
        for number, row in enumerate(rows, start=1):
            np.testing.assert_allclose(
                values[f"{name}{number}_mean"], row.mean(), rtol=1e-3, atol=1e-4
            )
            np.testing.assert_allclose(
                values[f"{name}{number}_var"], row.var(), rtol=1e-3, atol=1e-4
            )
    assert len(values) == 57 + 2 * (7 + 6)
    with pytest.raises(features.FeatureError, match="unknown extra features .'timbre'."):
        features.tabular(y, extra=("timbre",))


def test_costs_name_every_group():
    costs = features.milliseconds_per_feature(music(1.0), SR, repeats=1)
    assert list(costs) == ["feature_group", "milliseconds"]
    assert costs["feature_group"].is_unique and len(costs) == 8
    assert (costs["milliseconds"] > 0).all()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """Make a data set of two genres with two tracks of 2.99 s each."""
    for k, name in enumerate(["blues.00000", "blues.00001", "pop.00000", "pop.00001"]):
        path = tmp_path / "data" / name.split(".")[0] / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, music(2.99, pitch=200 + 40 * k, seed=k), SR)
    return tmp_path / "data"


def table(folder, segment_s=1.0, jobs=1):
    return features.table(datasets.load(str(folder)), segment_s=segment_s, jobs=jobs)


def count_computations(monkeypatch, stop_after=None):
    calls, compute = [], features.tabular_batch

    def counting(signals, **given):
        if len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.extend(len(y) for y in signals)
        return compute(signals, **given)

    monkeypatch.setattr(features, "tabular_batch", counting)
    return calls


def test_table_has_a_row_for_each_segment_in_order(folder):
    found = table(folder)
    items = found.items
    assert list(items) == [
        *("track_id", "genre", "artist_id", "artist_fold", "fault_filtered_split"),
        *("segment_index", "segment_start_s", "segment_s"),
    ]
    tracks = ["blues.00000", "blues.00001", "pop.00000", "pop.00001"]
    assert items["track_id"].tolist() == np.repeat(tracks, 3).tolist()
    assert items["segment_index"].tolist() == [0, 1, 2] * 4
    assert items["segment_start_s"].tolist() == [0.0, 1.0, 2.0] * 4
    assert set(items["segment_s"]) == {1.0}
    assert items["genre"].tolist() == ["blues"] * 6 + ["pop"] * 6
    assert found.X.shape == (12, 57) and found.X.dtype == np.float64
    assert found.names == features.FEATURE_NAMES
    assert found.source == "audio"
    assert found.failures.empty and list(found.failures) == ["track_id", "file", "reason"]


def test_each_row_is_of_its_segment_alone(folder):
    found = table(folder)
    y = audio.load(folder / "blues" / "blues.00001.wav")
    np.testing.assert_allclose(found.X[4], features.tabular(y[SR : 2 * SR]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.X[5], features.tabular(y[2 * SR :]), rtol=1e-5, atol=1e-5)


def test_processes_give_what_one_process_gives(folder, cache):
    one = table(folder, jobs=1)
    for file in cache.rglob("*.npy"):
        file.unlink()
    two = table(folder, jobs=2)
    np.testing.assert_array_equal(one.X, two.X)
    assert one.digest == two.digest


def test_bad_tracks_are_reported_and_the_others_go_on(folder):
    blues = folder / "blues"
    (blues / "empty.wav").write_bytes(b"")
    (blues / "text.wav").write_text("no music here\n" * 100)
    sf.write(blues / "silent.wav", np.zeros(2 * SR), SR)
    sf.write(blues / "short.wav", music(0.3), SR)
    sf.write(blues / "cut.wav", music(3.0), SR)
    (blues / "cut.wav").write_bytes((blues / "cut.wav").read_bytes()[:60_000])
    y = music(2.0)
    y[5] = np.nan
    sf.write(blues / "nan.wav", y, SR, subtype="FLOAT")
    found = table(folder)
    reasons = found.failures.set_index("track_id")["reason"]
    assert sorted(reasons.index) == [f"blues.{n}" for n in ("cut", "empty", "nan", "short", "text")]
    assert "is cut off: 1.36 s are there of the 3.00 s" in reasons["blues.cut"]
    assert "0 bytes" in reasons["blues.empty"]
    assert "NaN" in reasons["blues.nan"]
    assert "is 0.30 s long; expected at least half a segment of 1 s" in reasons["blues.short"]
    assert "cannot decode it" in reasons["blues.text"] or "can decode it" in reasons["blues.text"]
    assert "blues/text.wav" in set(found.failures["file"])
    assert not found.failures["reason"].str.contains(str(folder), regex=False).any()
    assert (found.items["track_id"] == "blues.silent").sum() == 2
    assert found.items["track_id"].nunique() == 5
    assert np.isfinite(found.X).all()


def test_a_file_that_went_away_is_a_failure(folder):
    dataset = datasets.load(str(folder))
    (folder / "pop" / "pop.00001.wav").unlink()
    found = features.table(dataset, segment_s=1.0, jobs=1)
    assert found.failures["track_id"].tolist() == ["pop.00001"]
    assert len(found.items) == 9


def test_no_usable_track_is_an_error(folder):
    for path in folder.rglob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(features.FeatureError, match="none of the 4 sound files .*0 bytes"):
        table(folder)


def test_second_run_only_reads(folder, monkeypatch):
    calls = count_computations(monkeypatch)
    first = table(folder)
    assert len(calls) == 12
    second = table(folder)
    assert len(calls) == 12
    np.testing.assert_array_equal(first.X, second.X)
    assert first.digest == second.digest


def test_new_content_is_computed_anew(folder, monkeypatch):
    first = table(folder)
    calls = count_computations(monkeypatch)
    sf.write(folder / "pop" / "pop.00000.wav", music(2.99, pitch=333), SR)
    second = table(folder)
    assert len(calls) == 3
    changed = (first.X != second.X).any(axis=1)
    assert set(first.items.loc[changed, "track_id"]) == {"pop.00000"}
    assert first.digest != second.digest


def test_a_digest_in_the_track_table_is_used(folder, monkeypatch):
    first = table(folder)
    dataset = datasets.load(str(folder))
    digests = dataset.tracks["audio_path"].map(project.file_digest)
    dataset = replace(dataset, tracks=dataset.tracks.assign(sha256=digests))
    monkeypatch.setattr(project, "file_digest", None)
    assert features.table(dataset, segment_s=1.0, jobs=1).digest == first.digest


def test_one_pass_decodes_each_file_once_for_all_that_is_wanted(folder, monkeypatch):
    loaded, load = [], audio.load
    monkeypatch.setattr(
        audio, "load", lambda *args, **given: loaded.append(1) or load(*args, **given)
    )
    dataset = datasets.load(str(folder))
    wanted = {"segment_lengths": [3.0, 1.0], "series_kinds": ["log_mel", "mfcc"]}
    features.prepare(dataset, **wanted, jobs=1)
    assert len(loaded) == 4
    features.prepare(dataset, **wanted, jobs=1)
    assert len(table(folder, 3.0).items) == 4 and len(table(folder, 1.0).items) == 12
    assert len(features.series(dataset, kind="mfcc", jobs=1).files) == 4
    assert len(loaded) == 4


def test_extra_features_have_a_cache_of_their_own(folder):
    plain = table(folder)
    more = features.table(datasets.load(str(folder)), segment_s=1.0, extra=("tonnetz",), jobs=1)
    assert more.names[57:59] == ("tonnetz1_mean", "tonnetz1_var")
    assert more.X.shape == (12, 57 + 12)
    np.testing.assert_array_equal(more.X[:, :57], plain.X)
    assert more.digest != plain.digest


def test_another_segment_length_is_computed_anew(folder, monkeypatch):
    calls = count_computations(monkeypatch)
    table(folder, segment_s=1.0)
    whole = table(folder, segment_s=3.0)
    assert len(calls) == 12 + 4
    assert len(whole.items) == 4 and set(whole.items["segment_s"]) == {3.0}


def test_another_recipe_is_computed_anew(folder, monkeypatch):
    table(folder)
    calls = count_computations(monkeypatch)
    monkeypatch.setattr(features, "RECIPE", "another")
    table(folder)
    assert len(calls) == 12


def test_a_run_that_was_cut_off_goes_on_where_it_was(folder, monkeypatch):
    with monkeypatch.context() as patch:
        count_computations(patch, stop_after=6)
        with pytest.raises(KeyboardInterrupt):
            table(folder)
    calls = count_computations(monkeypatch)
    resumed = table(folder)
    assert len(calls) == 6  # two of four tracks were finished
    assert len(resumed.items) == 12


def test_half_written_and_spoilt_cache_files_are_not_used(folder, cache, monkeypatch):
    first = table(folder)
    whole, spoilt, alien, _ = sorted(cache.rglob("*.npy"))
    whole.rename(whole.with_name(f".{whole.name}.1234.partial"))
    spoilt.write_bytes(spoilt.read_bytes()[:300])
    np.save(alien, np.zeros((3, 5)))
    calls = count_computations(monkeypatch)
    second = table(folder)
    assert len(calls) == 9
    np.testing.assert_array_equal(first.X, second.X)


def with_csv(folder, rows):
    """Give the data set in `folder` a table of features at 10 s with these segments."""
    dataset = datasets.load(str(folder))
    file = folder.parent / "features_10_sec.csv"
    values = np.arange(len(rows) * 57, dtype=float).reshape(len(rows), 57)
    frame = pd.DataFrame(values, columns=NAMES)
    frame.insert(0, "filename", rows)
    frame.sample(frac=1, random_state=0).to_csv(file, index=False)
    return replace(dataset, tables={10.0: file})


def test_public_table_is_used_where_it_covers_the_audio(folder, monkeypatch):
    tracks = ["blues.00000", "blues.00001", "pop.00000", "pop.00001"]
    rows = [f"{track}.{index}.wav" for track in tracks for index in range(3)]
    calls = count_computations(monkeypatch)
    found = features.table(with_csv(folder, rows), segment_s=10)
    assert found.source == "table" and not calls
    assert found.items["track_id"].tolist() == np.repeat(tracks, 3).tolist()
    assert found.items["segment_start_s"].tolist() == [0.0, 10.0, 20.0] * 4
    np.testing.assert_array_equal(found.X, np.arange(12 * 57).reshape(12, 57))
    assert found.failures.empty


def test_audio_is_used_where_the_public_table_covers_less(folder):
    dataset = with_csv(folder, ["blues.00000.0.wav", "pop.00000.0.wav", "rock.00000.0.wav"])
    with pytest.raises(features.FeatureError, match="2.99 s long"):
        features.table(dataset, segment_s=10, jobs=1)
    assert features.table(dataset, segment_s=3, jobs=1).source == "audio"


def test_tracks_that_the_table_lacks_are_reported(folder):
    dataset = with_csv(folder, ["blues.00000.0.wav", "pop.00000.0.wav"])
    dataset = replace(dataset, tracks=dataset.tracks.assign(audio_path=None))
    found = features.table(dataset, segment_s=10)
    assert found.source == "table" and len(found.items) == 2
    assert found.failures["track_id"].tolist() == ["blues.00001", "pop.00001"]
    assert set(found.failures["file"]) == {"features_10_sec.csv"}


def test_neither_table_nor_audio_is_an_error(folder):
    dataset = datasets.load(str(folder))
    dataset = replace(dataset, tracks=dataset.tracks.assign(audio_path=None))
    with pytest.raises(features.FeatureError, match="no audio and no table of features at 10 s"):
        features.table(dataset, segment_s=10)


def real_clips(gtzan_root):
    """Return one sound file a genre."""
    folder = gtzan_root / "genres_original"
    found = [next(iter(sorted(folder.glob(f"{g}/{g}.*.*"))), None) for g in GENRES]
    clips = [path for path in found if path is not None]
    if not clips:
        pytest.skip("GTZAN is here without its audio")
    return clips


def public_table(gtzan_root, name):
    if not (gtzan_root / name).is_file():
        pytest.skip(f"GTZAN is here without {name}")
    return pd.read_csv(gtzan_root / name).set_index("filename")[NAMES]


@pytest.mark.real_data
def test_equal_to_plain_librosa_on_real_clips(gtzan_root):
    for path, seconds in zip(real_clips(gtzan_root), (30, 10, 10, 3, 3, 3), strict=False):
        assert_equals_librosa(audio.load(path)[: seconds * SR])


@pytest.mark.real_data
def test_equal_to_the_public_10_s_table(gtzan_root):
    rows = public_table(gtzan_root, "features_10_sec.csv")
    ours, theirs = [], []
    for path in real_clips(gtzan_root):
        y = audio.load(path)
        for index in range(2):
            ours.append(features.tabular(y[index * 10 * SR : (index + 1) * 10 * SR]))
            theirs.append(rows.loc[f"{path.stem}.{index}.wav"])
    ours, theirs = pd.DataFrame(ours, columns=NAMES), pd.DataFrame(theirs).reset_index(drop=True)
    assert (abs(ours["tempo"] - theirs["tempo"]) < 1e-4).all()
    close = [n for n in NAMES if n not in (*WAVEFORM_MEANS, "perceptr_var")]
    np.testing.assert_allclose(ours[close], theirs[close], rtol=1e-4)
    # The table writes small numbers with three digits.
    rounded = [*WAVEFORM_MEANS, "perceptr_var"]
    np.testing.assert_allclose(ours[rounded], theirs[rounded], rtol=5e-3, atol=1e-7)


@pytest.mark.real_data
def test_near_the_public_30_s_table(gtzan_root):
    rows = public_table(gtzan_root, "features_30_sec.csv")
    clips = real_clips(gtzan_root)
    ours = pd.DataFrame([features.tabular(audio.load(path)) for path in clips], columns=NAMES)
    theirs = rows.loc[[f"{path.stem}.wav" for path in clips]].reset_index(drop=True)
    assert (abs(ours["tempo"] - theirs["tempo"]) < 1e-4).all()
    # It was made by a librosa that padded the ends of a clip by reflection.
    rest = [name for name in NAMES if name not in WAVEFORM_MEANS]
    difference = abs(ours[rest] - theirs[rest]) / abs(theirs[rest])
    assert difference.median().max() < 1e-2
    assert np.median(difference) < 1e-3


@pytest.mark.parametrize("kind", ["log_mel", "mfcc"])
def test_series_of_whole_clips_are_kept_and_read_back(folder, cache, kind):
    found = features.series(datasets.load(str(folder)), kind=kind)
    y = audio.load(folder / "blues" / "blues.00001.wav")
    function = {"log_mel": features.log_mel, "mfcc": features.mfcc_series}[kind]
    np.testing.assert_allclose(found.load("blues.00001"), function(y, sr=SR), rtol=1e-4, atol=1e-3)
    assert list(found.files) == ["blues.00000", "blues.00001", "pop.00000", "pop.00001"]
    assert found.failures.empty


def test_an_unknown_series_is_refused(folder):
    with pytest.raises(features.FeatureError, match="unknown kind of series 'chroma'"):
        features.series(datasets.load(str(folder)), kind="chroma")


def assert_agrees(found, n):
    """Every value within a thousandth (0.0001 near 0), ties of the tempo alike."""
    assert len(found) == 57 + 2 and found["n"].min() >= n
    worst = found.sort_values("of_allowed").iloc[-1]
    assert worst["of_allowed"] <= 1, worst
    assert found.set_index("feature").loc["tempo", "share_equal"] >= 0.99


def test_words_on_agreement_explain_large_relative_differences():
    found = pd.DataFrame(
        {
            "feature": ["tempo", "MFCC series"],
            "n": 40,
            "relative": [0.0, 0.038],
            "of_allowed": [0.0, 0.38],
            "share_equal": [1.0, 0.9],
        }
    )
    text = words.librosa_agreement(found)
    assert "every value is librosa's to within 0.0001 and a thousandth" in text
    assert "up to 0.038 (MFCC series, at values near zero)" in text
    assert "value alone" not in words.librosa_agreement(found.assign(relative=[0.0, 1e-5]))
    wrong = words.librosa_agreement(found.assign(of_allowed=[0.0, 1.2]))
    assert wrong.startswith("Not every value") and "near zero" not in wrong


def test_agreement_with_librosa_on_the_demo_set(demo):
    assert_agrees(feature_report.librosa_agreement(demo, n_tracks=5, segment_s=3.0), 10)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "n_tracks"), [("gtzan", 10), ("gtzan-short", 50)])
def test_agreement_with_librosa_on_real_clips(gtzan_root, name, n_tracks):
    folder = gtzan_root.parent / name
    if not folder.is_dir():
        pytest.skip(f"DATA_ROOT has no folder {name}")
    where = "gtzan" if name == "gtzan" else str(folder)
    dataset = datasets.load(where, data_root=gtzan_root.parent)
    if not dataset.tracks["audio_path"].notna().any():
        pytest.skip("GTZAN is here without its audio")
    found = feature_report.librosa_agreement(dataset, n_tracks=n_tracks, segment_s=3.0)
    assert_agrees(found, n_tracks)


def odd_signals():
    t = np.arange(2 * SR) / SR
    square = np.sign(np.sin(2 * np.pi * 50 * t))
    late = np.where(t > 1.5, 0.1 * np.sin(2 * np.pi * 440 * t), 0)
    return {
        "2,048 samples": music(1.0)[:2048],
        "2,049 samples": music(1.0)[:2049],
        "clipped": np.clip(30 * music(2.0), -1, 1),
        "offset": 0.5 + 0.01 * music(2.0),
        "square": square,
        "late": late,
        "quiet": 1e-4 * music(2.0),
        "click": np.where(np.arange(SR) == 9000, 1.0, 0.0),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * t),
        "constant": np.full(2 * SR, 0.5),
    }


@pytest.mark.parametrize("name", list(odd_signals()))
@pytest.mark.filterwarnings("ignore:Trying to estimate tuning from empty")
def test_odd_signals_equal_librosas(name):
    y = odd_signals()[name].astype(np.float32)
    ours, theirs = features.tabular(y), feature_report.plain_librosa(y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR))
    np.testing.assert_allclose(features.log_mel(y, sr=SR), mel, rtol=1e-3, atol=2e-3)
