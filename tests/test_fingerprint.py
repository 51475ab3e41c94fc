import io
import itertools

import numpy as np
import pytest
import soundfile
from scipy import signal

from genre_utils import audio, datasets, fingerprint

SR = 22050


def cut(y):
    return y[round(7.31 * SR) : round(12.31 * SR)]


def shift(y):
    return y[round(3.777 * SR) :]


def louder(y):
    return np.clip(y * 10 ** (12 / 20), -1, 1)


def softer(y):
    return np.round(y * 10 ** (-12 / 20) * 32768) / 32768


def mp3(y):
    stream = io.BytesIO()
    soundfile.write(
        stream, y, SR, format="MP3", bitrate_mode="CONSTANT", compression_level=MP3_LEVEL
    )
    stream.seek(0)
    return soundfile.read(stream)[0]


def telephone(y):
    sos = signal.butter(4, [300, 3400], "bandpass", fs=SR, output="sos")
    return signal.sosfilt(sos, y)


def everything(y):
    return mp3(louder(telephone(cut(y))))


MP3_LEVEL = 0.65
ALTERED = (cut, shift, louder, softer, mp3, telephone, everything)


def found_share(clips):
    """Share of altered copies that are found, and how many wrong pairs there are of how many."""
    index = fingerprint.Index([fingerprint.landmarks(y, sr=SR) for y in clips])
    found, wrong, n = 0, 0, 0
    for alter, (number, y) in itertools.product(ALTERED, enumerate(clips)):
        items = index.search(fingerprint.landmarks(alter(y), sr=SR))["item"].tolist()
        found += number in items
        wrong += len(set(items) - {number})
        n += 1
    return found / n, wrong, n * (len(clips) - 1)


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
    stream = io.BytesIO()
    y = melody(0)
    soundfile.write(
        stream, y, SR, format="MP3", bitrate_mode="CONSTANT", compression_level=MP3_LEVEL
    )
    assert 56e3 <= len(stream.getvalue()) * 8 / (len(y) / SR) <= 66e3


def test_altered_copies_of_made_clips_are_found_and_others_are_not():
    share, wrong, pairs = found_share([melody(seed) for seed in range(6)])
    assert share == 1
    assert wrong == 0 and pairs > 200


@pytest.mark.real_data
def test_altered_copies_of_real_clips_are_found_and_others_are_not(gtzan_root):
    tracks = datasets.load("gtzan").tracks
    paths = tracks.loc[tracks["audio_path"].notna(), "audio_path"].iloc[::8]
    share, wrong, pairs = found_share([audio.load(path, sr=SR) for path in paths])
    print(f"found {share:.1%} of the altered copies; {wrong} wrong in {pairs} unrelated pairs")
    assert share >= 0.95
    assert wrong <= pairs / 1000


def test_the_shift_and_the_overlap_are_told():
    y = melody(1)
    index = fingerprint.Index([fingerprint.landmarks(y, sr=SR)])
    row = index.search(fingerprint.landmarks(cut(y), sr=SR)).iloc[0]
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
