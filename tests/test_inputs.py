"""What networks read: from pictures, from sound, whole, cut, damaged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from PIL import Image

from genre_utils import (
    audio,
    bundle,
    datasets,
    features,
    gtzan_spectrogram,
    images,
    inputs,
    project,
)
from genre_utils.models.layers import Cepstrum

SPECTROGRAMS = ("spectrogram", "picture")
SR = 22050


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")


def tone(hz: float, seconds: float = 4.0) -> np.ndarray:
    t = np.arange(round(seconds * SR)) / SR
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(t))
    return (0.4 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(4 * np.pi * t)) + noise).astype("f4")


def collection(
    folder, *, sound: bool, picture: bool, n: int = 4, seconds: float = 4.0
) -> datasets.Dataset:
    """Tracks of two genres: low tones and high tones."""
    rows = []
    for genre, hz in (("blues", 300.0), ("metal", 4000.0)):
        for number in range(n // 2):
            track_id, y = f"{genre}.{number:05d}", tone(hz + 50 * number, seconds)
            row = {"track_id": track_id, "genre": genre, "artist_id": track_id}
            if sound:
                row["audio_path"] = folder / f"{track_id}.wav"
                sf.write(row["audio_path"], y, SR)
            if picture:
                row["image_path"] = folder / f"{track_id}.png"
                Image.fromarray(images.gtzan_picture(y)).save(row["image_path"])
            rows.append(row)
    tracks = pd.DataFrame(rows).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks = tracks.astype(object).where(tracks.notna(), None)
    tracks["duration_s"] = 4.0
    return datasets.Dataset(
        "tiny", "tiny", folder, tracks, {}, ("blues", "metal"), False, "none", "none"
    )


def loudest_hz(data: inputs.Input, item: int) -> float:
    return data.band_hz[data.x[item, 0].astype(float).mean(axis=1).argmax()]


def test_pictures_are_read_as_spectrograms_with_the_right_frequencies(tmp_path):
    data = inputs.load(collection(tmp_path, sound=False, picture=True), "spectrogram")
    assert data.source == "picture"
    assert data.x.shape == (4, 1, 80, 496) and data.x.dtype == np.uint8
    assert loudest_hz(data, 0) == pytest.approx(300, rel=0.2)
    assert loudest_hz(data, 2) == pytest.approx(4000, rel=0.05)


def test_sound_is_preferred_where_all_tracks_have_it(tmp_path):
    data = inputs.load(collection(tmp_path, sound=True, picture=True), "spectrogram")
    assert data.source == "audio" and data.x.shape[1:3] == (1, 128)
    assert data.x.shape[3] == pytest.approx(30 * SR / 1024, abs=1)
    assert loudest_hz(data, 0) == pytest.approx(300, rel=0.1)
    assert loudest_hz(data, 2) == pytest.approx(4000, rel=0.05)


def test_segments_are_consecutive_pieces_of_the_whole(tmp_path):
    dataset = collection(tmp_path, sound=False, picture=True)
    whole = inputs.load(dataset, "spectrogram")
    for segment_s, n_segments in ((3.0, 10), (9.0, 3), (15.0, 2)):
        cut = inputs.load(dataset, "spectrogram", segment_s=segment_s)
        assert len(cut.items) == n_segments * 4 == len(cut.x)
        width = cut.x.shape[-1]
        assert width == int(segment_s * 496 / 30)
        starts = (cut.items["segment_start_s"][:n_segments] * 496 / 30).round().astype(int)
        for piece, start in zip(cut.x[:n_segments], starts, strict=True):
            start = min(start, 496 - width)
            np.testing.assert_array_equal(piece, whole.x[0][..., start : start + width])


def test_a_damaged_picture_is_named_and_the_others_are_read(tmp_path):
    dataset = collection(tmp_path, sound=False, picture=True)
    (tmp_path / "blues.00001.png").write_bytes(b"no picture")
    Image.new("L", (20, 20)).save(tmp_path / "metal.00000.png")
    data = inputs.load(dataset, "spectrogram")
    assert list(data.items["track_id"]) == ["blues.00000", "metal.00001"]
    reasons = data.failures.set_index("track_id")["reason"]
    assert "cannot be read as a picture" in reasons["blues.00001"]
    assert "(20, 20)" in reasons["metal.00000"] and "(370, 496)" in reasons["metal.00000"]


def test_a_data_set_without_any_says_so(tmp_path):
    dataset = collection(tmp_path, sound=False, picture=True)
    for name in ("waveform", "zcr", "mfcc", "waveform samples"):
        with pytest.raises(inputs.InputError, match="needs sound"):
            inputs.load(dataset, name, segment_s=3.0 if name[0] in "m" else 30.0)
    nothing = replace(dataset, tracks=dataset.tracks.assign(image_path=None))
    with pytest.raises(inputs.InputError, match="no track has sound or a picture"):
        inputs.load(nothing, "spectrogram")


@pytest.mark.parametrize("name", ["picture", "waveform", "zcr", "spectrogram+features"])
def test_what_is_made_of_whole_clips_is_not_cut(tmp_path, name):
    dataset = collection(tmp_path, sound=True, picture=False)
    with pytest.raises(inputs.InputError, match="whole clips"):
        inputs.load(dataset, name, segment_s=3.0)


def test_an_unknown_input_lists_those_there_are(tmp_path):
    with pytest.raises(inputs.InputError, match="spectrogram"):
        inputs.load(collection(tmp_path, sound=False, picture=True), "colours")


def test_features_stand_beside_the_spectrogram_of_the_same_track(tmp_path):
    dataset = collection(tmp_path, sound=True, picture=False, seconds=16.0)
    (tmp_path / "blues.00000.wav").write_bytes(b"no sound")
    data = inputs.load(dataset, "spectrogram+features")
    table = features.table(dataset, segment_s=30.0)
    assert list(data.items["track_id"]) == ["blues.00001", "metal.00000", "metal.00001"]
    assert data.shape == data.x[0].shape[1:]
    np.testing.assert_allclose(data.x[1], table.X, rtol=1e-6)


def test_pydub_cuts_at_exact_milliseconds():
    y = tone(440.0)
    cuts = inputs.cut_with_pydub(y, [(0.0, 1.0), (1.5, 2.5)])
    assert [len(cut) for cut in cuts] == [SR, SR]
    np.testing.assert_allclose(cuts[1], y[round(1.5 * SR) : round(2.5 * SR)], atol=2 / 32768)


def test_a_clip_that_ends_early_is_repeated():
    y = tone(440.0, seconds=1.2)
    (cut,) = inputs.cut_with_pydub(y, [(1.0, 2.0)])
    expected = np.concatenate([y[SR:], y])[:SR]
    np.testing.assert_allclose(cut, expected, atol=2 / 32768)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("mfcc", (1, 13, 44)), ("mfcc+rms", (1, 14, 44)), ("waveform samples", (SR,))],
)
def test_segments_cut_from_sound(tmp_path, name, shape):
    data = inputs.load(collection(tmp_path, sound=True, picture=False), name, segment_s=1.0)
    assert data.x.shape == (4 * 30, *shape) and data.source == "audio"
    if name == "mfcc":
        y = inputs.cut_with_pydub(audio.load(tmp_path / "blues.00000.wav"), [(2.0, 3.0)])[0]
        expected = features.mfcc_series(y, sr=SR).T
        np.testing.assert_allclose(data.x[2, 0], expected, rtol=1e-4, atol=1e-3)


def test_cepstrum_equals_the_discrete_cosine_transform():
    from scipy.fft import dct

    x = np.random.default_rng(0).uniform(0, 255, (2, 1, 80, 7)).astype(np.float32)
    ours = Cepstrum(80, 13)(torch.from_numpy(x)).numpy()
    expected = dct(x[:, 0], axis=1, norm="ortho")[:, :13].transpose(0, 2, 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-2)


def test_equal_content_has_an_equal_digest_and_other_content_another(tmp_path):
    dataset = collection(tmp_path, sound=False, picture=True)
    first = inputs.load(dataset, "spectrogram")
    assert first.digest == inputs.load(dataset, "spectrogram").digest
    assert first.digest != inputs.load(dataset, "spectrogram", segment_s=10.0).digest
    Image.fromarray(images.gtzan_picture(tone(900.0))).save(tmp_path / "blues.00000.png")
    assert first.digest != inputs.load(dataset, "spectrogram").digest


@pytest.mark.real_data
def test_a_picture_agrees_with_the_sound_it_was_made_from(gtzan_root):
    """The same track as GTZAN's own picture and as we draw it: nearly the same mel bands."""
    dataset = datasets.load("gtzan")
    track = dataset.tracks[dataset.tracks["audio_path"].notna()].iloc[0]
    stored = inputs.mel_of_picture(images.load_picture(track["image_path"]))
    y = audio.load(track["audio_path"])
    drawn = inputs.mel_of_picture(
        images.gtzan_picture(y, n_frames=images.gtzan_frames(track["track_id"], y))
    )
    assert np.corrcoef(stored.ravel(), drawn.ravel())[0, 1] > 0.97
    assert project.data_root().is_dir()


def test_a_drawn_picture_is_what_a_bundle_reads():
    # A bundle rounds to 16 bits before it looks for the quietest point, and so does the study.
    rng = np.random.default_rng(3)
    fade = np.linspace(0, 1, 30 * SR) ** 4
    y = (0.5 * fade * rng.standard_normal(len(fade))).clip(-1, 1).astype(np.float32)
    drawn = gtzan_spectrogram.mel_of_sound(y)
    np.testing.assert_array_equal(drawn, bundle.Preprocessing().spectrogram(y))


@pytest.mark.real_data
def test_stored_runs_are_found_by_what_gtzans_pictures_say_at_every_length():
    kept = Path(__file__).parents[1] / "results" / "gtzan" / "predictions"
    stored = {}
    for name in ("05_sequence_models", "06_segment_length"):
        runs = json.loads((kept / f"{name}.json").read_text())["runs"]
        of_pictures = [run for run in runs if (run["input"], run["source"]) == SPECTROGRAMS]
        stored |= {run["segment_s"]: run["input_digest"] for run in of_pictures}
    whole = inputs.load(datasets.load("gtzan"), "spectrogram")
    found = {segment_s: inputs.cut(whole, segment_s).digest for segment_s in stored}
    assert found == stored and len(found) == 9
