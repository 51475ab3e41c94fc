import numpy as np
import pytest

from genre_utils import alterations, audio, datasets, fingerprint

SR = 22050


def melody(seed, seconds=20):
    """Chords and beats by chance: a stand-in for music that any test can make."""
    rng = np.random.default_rng(seed)
    y = rng.normal(scale=0.003, size=seconds * SR)
    for start in np.arange(0, seconds - 0.6, 0.22):
        at, n = round(start * SR), round(rng.uniform(0.2, 0.5) * SR)
        t = np.arange(n) / SR
        for f in rng.uniform(150, 3000, 3):
            y[at : at + n] += 0.08 * np.sin(2 * np.pi * f * t) * np.exp(-6 * t)
    return y.astype(np.float32)


def test_the_mp3_has_about_64_kbit_a_second():
    y = melody(0)
    assert 56e3 <= len(alterations.mp3(y, SR)) * 8 / (len(y) / SR) <= 66e3


def test_altered_copies_of_made_clips_are_found_and_others_are_not():
    table = fingerprint.trial([melody(seed) for seed in range(6)], sr=SR)
    assert list(table["alteration"]) == list(alterations.ALTERATIONS)
    assert (table["n_found"] == 6).all() and (table["n_unrelated"] == 30).all()
    assert table["n_wrong"].sum() == 0


@pytest.mark.real_data
def test_altered_copies_of_real_clips_are_found_and_others_are_not(gtzan_root):
    tracks = datasets.load("gtzan").tracks
    paths = tracks.loc[tracks["audio_path"].notna(), "audio_path"].iloc[::8]
    table = fingerprint.trial([audio.load(path, sr=SR) for path in paths], sr=SR)
    print(table.to_string(index=False))
    sums = table.sum(numeric_only=True)
    assert sums["n_found"] >= 0.95 * sums["n_copies"]
    assert sums["n_wrong"] <= sums["n_unrelated"] / 1000


def test_the_shift_and_the_overlap_are_told():
    y = melody(1)
    index = fingerprint.Index([fingerprint.landmarks(y, sr=SR)])
    row = index.search(fingerprint.landmarks(alterations.cut(y, SR), sr=SR)).iloc[0]
    assert row["shift_s"] == pytest.approx(7.31, abs=0.05)
    assert row["overlap_s"] == pytest.approx(5, abs=0.7)
    assert 0 < row["score"] <= 1


def test_pairs_are_listed_once_and_a_clip_is_not_its_own_copy():
    y = melody(2)
    clips = [fingerprint.landmarks(z, sr=SR) for z in (y[: 12 * SR], melody(3), y[6 * SR :])]
    pairs = fingerprint.repeated_pairs(clips)
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 2]]
    assert pairs["shift_s"].iloc[0] == pytest.approx(-6, abs=0.05)


@pytest.mark.parametrize(
    "y",
    [np.zeros(5 * SR), np.zeros(0), np.ones(100), np.ones(3 * SR), np.r_[1.0, np.zeros(SR)]],
    ids=["silence", "nothing", "short", "constant", "click"],
)
def test_what_has_no_music_matches_nothing(y):
    nothing = fingerprint.landmarks(y.astype(np.float32), sr=SR)
    index = fingerprint.Index([nothing, nothing, fingerprint.landmarks(melody(4), sr=SR)])
    assert index.search(nothing).empty


def test_two_noises_do_not_match():
    rng = np.random.default_rng(0)
    noises = [fingerprint.landmarks(rng.normal(size=20 * SR), sr=SR) for _ in range(4)]
    assert fingerprint.repeated_pairs(noises).empty
    assert fingerprint.repeated_pairs([]).empty
