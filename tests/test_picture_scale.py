"""The range of a picture in decibels: measured of sound, told from a table of features."""

import numpy as np
import pandas as pd
import pytest

from genre_utils import audio, datasets, features, gtzan_spectrogram, inputs, picture_scale

SR = 22050


def clip(seed, *, seconds=3.0, loudness=0.3):
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * SR)) / SR
    tilt = rng.uniform(0.5, 3)
    spectrum = np.fft.rfft(rng.normal(size=len(t)))
    spectrum /= np.maximum(np.fft.rfftfreq(len(t), 1 / SR), 50) ** (tilt / 2)
    y = np.fft.irfft(spectrum, len(t)) * (0.3 + np.abs(np.sin(2 * np.pi * rng.uniform(1, 3) * t)))
    return (loudness * y / np.abs(y).max()).astype(np.float32)


def test_the_extent_of_a_clip_is_its_loudest_and_quietest_point():
    y = clip(0)
    range_db, peak_db = gtzan_spectrogram.extent_db(y)
    louder = gtzan_spectrogram.extent_db(2 * y)
    assert louder[0] == pytest.approx(range_db, abs=0.05)
    assert louder[1] == pytest.approx(peak_db + 20 * np.log10(2), abs=0.05)
    levels = gtzan_spectrogram.levels(y)
    assert levels.max() >= 250 and 60 < range_db < 200
    silence, floor = gtzan_spectrogram.extent_db(np.zeros(SR, np.float32))
    assert silence == 0 and floor < -90


def test_features_of_a_picture_grow_darker_with_its_range():
    described = picture_scale.described(gtzan_spectrogram.levels(clip(1)))
    assert described.shape == (len(picture_scale.RANGES_DB), len(picture_scale.STATISTICS) + 1)
    assert np.isfinite(described).all()
    centroid = described[:, 0]
    assert (np.diff(centroid) < 0).all()


def test_scales_are_told_from_features_of_the_sound():
    clips = {f"blues.{i:05d}": clip(i, loudness=0.1 + 0.02 * (i % 30)) for i in range(60)}
    truth = pd.DataFrame.from_dict(
        {track: gtzan_spectrogram.extent_db(y) for track, y in clips.items()},
        orient="index",
        columns=["range_db", "peak_db"],
    )
    names = features.feature_names()
    stated = pd.DataFrame(
        [features.tabular(y) for y in clips.values()], index=list(clips), columns=list(names)
    )
    shown = np.stack([picture_scale.described(gtzan_spectrogram.levels(y)) for y in clips.values()])
    told = picture_scale.told(stated, shown, truth.iloc[:30])
    unseen = truth.index[30:]
    error = (told - truth).loc[unseen]
    assert list(told.index) == list(clips)
    assert error["range_db"].abs().mean() < 0.5 * truth.loc[unseen, "range_db"].std()
    assert told["peak_db"].corr(truth["peak_db"]) > 0.9


def test_pictures_without_sound_or_table_have_no_scale(tmp_path):
    tracks = pd.DataFrame(
        [{"track_id": "blues.00000", "genre": "blues", "image_path": tmp_path / "a.png"}]
    ).reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["audio_path"] = None
    data = datasets.Dataset("tiny", "tiny", tmp_path, tracks, {}, ("blues",), False, "-", "-")
    with pytest.raises(picture_scale.ScaleError, match="ranges of pictures are unknown"):
        picture_scale.of_dataset(data, source="picture")


def test_scales_of_sound_are_measured(demo):
    for source in ("audio", "picture"):
        scales = picture_scale.of_dataset(demo, source=source)
        assert list(scales.columns) == ["range_db", "peak_db"]
        assert scales.index.isin(demo.tracks["track_id"]).all() and len(scales) > 10
        assert (scales["range_db"] > 0).all()


def test_levels_of_sound_stand_for_the_decibels_that_they_were_made_of(demo):
    data = inputs.load(demo, "spectrogram")
    scale = picture_scale.of_dataset(demo, source=data.source).iloc[0]
    path = demo.tracks["audio_path"].iloc[0]
    S = features.log_mel(audio.load(path, sr=SR), sr=SR, n_fft=1024, hop_length=256)
    db = (data.x[0, 0] / 255.0 - 1) * scale["range_db"] + scale["peak_db"]
    assert np.abs(db - inputs.averaged(S)).max() <= 0.51 * scale["range_db"] / 255


@pytest.mark.real_data
def test_gtzans_scales_are_told_within_a_few_decibels(gtzan_root):
    data = datasets.load("gtzan")
    told = picture_scale.of_dataset(data, source="picture")
    assert len(told) == data.tracks["image_path"].notna().sum()
    heard = features.each_clip(data, name="scale of picture", function=picture_scale._of_picture)
    parts = data.tracks.set_index("track_id")["fault_filtered_split"]
    unseen = [t for t in heard.files if t in told.index and parts[t] != "train"]
    truth = pd.DataFrame(
        [heard.load(t)[0] for t in unseen], index=unseen, columns=["range_db", "peak_db"]
    )
    assert len(unseen) > 40
    assert told.loc[unseen, "range_db"].corr(truth["range_db"]) > 0.95
    assert (told.loc[unseen] - truth)["range_db"].abs().mean() < 6
    assert told.loc[unseen, "peak_db"].corr(truth["peak_db"]) > 0.9
