import io
import time

import librosa
import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from genre_utils import audio, datasets, images

SR = 22050


def music(seconds=3.0):
    t = np.arange(round(seconds * SR)) / SR
    beat = np.exp(-6 * (t % 0.5))
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (beat * (0.3 * np.sin(2 * np.pi * 330 * t) + 0.1 * noise)).astype(np.float32)


def drawn(draw, height, width):
    """Return what matplotlib saves, in grey, without axes."""
    figure = matplotlib.figure.Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    draw(axes)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return np.array(Image.open(file).convert("L"))


def correlation(a, b):
    return np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1]


def test_waveform_looks_like_the_plot():
    y = music()

    def draw(axes):
        axes.plot(y, color="black", linewidth=0.7)
        axes.set_xlim(0, len(y))

    picture = images.waveform_picture(y, height=100, width=300)
    assert picture.shape == (100, 300) and picture.dtype == np.uint8
    assert correlation(picture, drawn(draw, 100, 300)) > 0.9


def test_zero_crossing_rate_looks_like_the_plot():
    y = music()
    rate = librosa.feature.zero_crossing_rate(y)[0]

    def draw(axes):
        axes.plot(rate, color="black", linewidth=1.1)
        axes.set_xlim(0, len(rate) - 1)

    picture = images.zcr_picture(y, height=100, width=300)
    assert correlation(picture, drawn(draw, 100, 300)) > 0.8


@pytest.mark.parametrize("kind", ["mel", "mfcc"])
def test_spectrograms_look_like_the_plot(kind):
    y = music()
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR))
    values = mel if kind == "mel" else librosa.feature.mfcc(S=mel, n_mfcc=20)
    function = getattr(images, f"{kind}_picture")
    plot = drawn(lambda axes: axes.pcolormesh(values, cmap="gray"), 120, 300)
    assert correlation(function(y, height=120, width=300, cmap=None), plot) > 0.95
    colours = function(y, height=120, width=300)
    assert colours.shape == (3, 120, 300) and colours.dtype == np.uint8


@pytest.mark.parametrize("name", ["waveform", "zcr", "mel", "mfcc", "gtzan"])
@pytest.mark.parametrize(
    "y", [np.zeros(SR), np.full(SR, 0.5), np.ones(2048), np.sign(np.sin(np.arange(SR)))]
)
def test_odd_signals_have_pictures(name, y):
    picture = getattr(images, f"{name}_picture")(y.astype(np.float32))
    assert picture.dtype == np.uint8 and picture.size


@pytest.mark.parametrize("name", ["waveform", "zcr", "mel", "mfcc", "gtzan"])
@pytest.mark.parametrize("y", [np.zeros(0), np.full(SR, np.nan), np.zeros((2, SR))])
def test_unusable_signals_are_refused(name, y):
    with pytest.raises(images.ImageError, match="expected one channel of finite samples"):
        getattr(images, f"{name}_picture")(y)


def test_gtzan_picture_needs_two_frames():
    with pytest.raises(images.ImageError, match="has 479 samples; expected at least 480"):
        images.gtzan_picture(np.zeros(479))
    assert images.gtzan_picture(music()[:480]).shape == images.GTZAN_SHAPE


def test_gtzan_picture_does_not_depend_on_loudness():
    y = music()
    difference = images.gtzan_picture(y).astype(int) - images.gtzan_picture(y / 8)
    assert abs(difference).max() <= 1


def test_low_tones_are_low_and_late_sound_is_right():
    t = np.arange(2 * SR) / SR
    y = np.where(t > 1, np.sin(2 * np.pi * 1000 * t), 0) + 1e-3 * music(2.0)
    picture = images.gtzan_picture(y)
    loudest = picture[:-1, 300:].mean(axis=1).argmax()
    assert abs((369 - loudest) * 11025 / 370 - 1000) < 150
    assert picture[loudest, :200].mean() < picture[loudest, 300:].mean() - 50


def test_a_stored_picture_is_read_as_the_same_array(tmp_path):
    picture = images.gtzan_picture(music())
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.load_picture(tmp_path / "a.png"), picture)
    Image.fromarray(np.stack([picture] * 3, axis=-1)).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(images.load_picture(tmp_path / "colour.png"), picture)


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(images.ImageError, match=r"a\.png: cannot be read as a picture"):
        images.load_picture(path)


@pytest.mark.real_data
def test_gtzan_pictures_from_audio_are_those_that_are_stored(gtzan_root):
    tracks = datasets.load("gtzan", data_root=gtzan_root.parent).tracks
    both = tracks.dropna(subset=["audio_path", "image_path"])
    if both.empty:
        pytest.skip("GTZAN is here without audio or without pictures")
    found, seconds = [], 0.0
    for track in both.itertuples():
        y = audio.load(track.audio_path)
        start = time.process_time()
        picture = images.gtzan_picture(y, n_frames=images.gtzan_frames(track.track_id, y))
        seconds += time.process_time() - start
        found.append(correlation(picture, images.load_picture(track.image_path)))
    assert np.mean(found) >= 0.97
    assert seconds / len(both) < 0.05
