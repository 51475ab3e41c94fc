import select
import socket
import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile as sf

from genre_utils import audio


def tones(seconds, sr, n_channels=1):
    t = np.arange(round(seconds * sr)) / sr
    channels = [0.3 * np.sin(2 * np.pi * 220 * (k + 1) * t) / (k + 1) for k in range(n_channels)]
    return np.stack(channels, axis=1)


@pytest.mark.parametrize(
    ("name", "sr", "n_channels", "subtype"),
    [
        ("eight_bit.wav", 22050, 1, "PCM_U8"),
        ("deep.wav", 22050, 1, "PCM_24"),
        ("float.wav", 22050, 1, "FLOAT"),
        ("stereo.wav", 22050, 2, "PCM_16"),
        ("surround.wav", 22050, 5, "PCM_16"),
        ("studio.wav", 48000, 2, "PCM_16"),
        ("cd.flac", 44100, 2, "PCM_16"),
        ("telephone.wav", 8000, 1, "PCM_16"),
        ("web.ogg", 44100, 2, "VORBIS"),
        ("web.mp3", 44100, 2, "MPEG_LAYER_III"),
        ("old.au", 22050, 1, "PCM_16"),
        ("studio.aiff", 22050, 1, "PCM_16"),
    ],
)
def test_loads_as_librosa_does(tmp_path, name, sr, n_channels, subtype):
    path = tmp_path / name
    sf.write(path, tones(1.5, sr, n_channels), sr, subtype=subtype)
    y = audio.load(path)
    assert y.dtype == np.float32 and y.ndim == 1
    np.testing.assert_array_equal(y, librosa.load(path, sr=22050)[0])
    assert len(y) == pytest.approx(1.5 * 22050, abs=1200 if name == "web.mp3" else 0)
    assert audio.duration(path) == pytest.approx(1.5, abs=0.06 if name == "web.mp3" else 1e-9)


def test_resamples_to_any_rate(tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, tones(1, 22050), 22050)
    y = audio.load(path, sr=16000)
    np.testing.assert_array_equal(y, librosa.load(path, sr=16000)[0])
    assert len(y) == 16000


def test_silence_is_audio(tmp_path):
    sf.write(tmp_path / "silence.wav", np.zeros(22050), 22050)
    assert not audio.load(tmp_path / "silence.wav").any()


def shorten(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * fraction)])


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.au", "cut.aiff"])
def test_a_file_that_was_cut_off_is_told(tmp_path, name):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / name, 0.1 * rng.standard_normal(66150), 22050)
    shorten(tmp_path / name, 0.6)
    with pytest.raises(audio.AudioError, match=f"{name}: .*fetch it again"):
        audio.load(tmp_path / name)


def test_a_streamed_wav_file_is_not_taken_for_cut_off(tmp_path):
    path = tmp_path / "streamed.wav"
    sf.write(path, tones(1, 22050), 22050)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))
    assert len(audio.load(path)) == 22050


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, bad):
    y = tones(0.5, 22050)
    y[100] = bad
    sf.write(tmp_path / "nan.wav", y, 22050, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="1 of 11025 samples are NaN or infinite"):
        audio.load(tmp_path / "nan.wav")


def test_an_impossible_sample_rate_is_refused(tmp_path):
    sf.write(tmp_path / "slow.wav", np.zeros(100), 2)
    with pytest.raises(audio.AudioError, match="sample rate of 2 Hz"):
        audio.load(tmp_path / "slow.wav")


def bad_files(folder):
    (folder / "nothing.wav").write_bytes(b"")
    (folder / "text.wav").write_text("these are words, not sounds\n" * 50)
    (folder / "header.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVE")
    sf.write(folder / "no_samples.wav", np.zeros(0), 22050)
    return ["missing.wav", "nothing.wav", "text.wav", "header.wav", "no_samples.wav"]


def test_bad_files_give_clear_errors(tmp_path):
    for name in bad_files(tmp_path):
        with pytest.raises(audio.AudioError) as caught:
            audio.load(tmp_path / name)
        assert caught.value.path == tmp_path / name
        assert str(caught.value) == f"{tmp_path / name}: {caught.value.reason}"
        assert str(tmp_path) not in caught.value.reason


def test_duration_of_bad_files_gives_clear_errors(tmp_path):
    for name in bad_files(tmp_path)[:-1]:
        with pytest.raises(audio.AudioError, match=name):
            audio.duration(tmp_path / name)


def test_without_ffmpeg_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    (tmp_path / "song.m4a").write_bytes(b"\x00\x00\x00\x20ftypM4A " + bytes(200))
    with pytest.raises(audio.AudioError, match="install ffmpeg and put it on PATH, or pip inst"):
        audio.load(tmp_path / "song.m4a")


def in_pieces(path):
    with audio.reading(path) as (native_sr, blocks):
        return list(audio.resampled(blocks, native_sr, 22050))


@pytest.fixture
def m4a(tmp_path):
    """Two seconds in a format that libsndfile does not know, beside the same as a wav file."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    sf.write(tmp_path / "song.wav", tones(2, 44100, 2), 44100)
    command = [ffmpeg, "-loglevel", "error", "-i", "song.wav", "-b:a", "128k", "song.m4a"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path / "song.m4a"


def test_ffmpeg_reads_what_libsndfile_cannot(m4a):
    y, expected = audio.load(m4a), audio.load(m4a.with_suffix(".wav"))
    assert y.dtype == np.float32
    assert audio.duration(m4a) == pytest.approx(2, abs=0.1)
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.05)
    np.testing.assert_allclose(np.concatenate(in_pieces(m4a)), y, atol=1e-6)


def test_ffmpeg_reads_a_file_whose_name_looks_like_an_option(m4a, monkeypatch):
    monkeypatch.chdir(m4a.parent)
    m4a.rename("-v.m4a")
    assert len(audio.load("-v.m4a")) > 22050


def test_ffmpeg_fetches_nothing_that_a_playlist_names(m4a):
    playlist = m4a.with_name("list.m3u8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/song.m4a"
        playlist.write_text(f"#EXTM3U\n#EXTINF:2,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(audio.AudioError, match="neither libsndfile"):
            audio.load(playlist)
        assert not select.select([server], [], [], 0)[0]


@pytest.mark.parametrize("sr", [8000, 22050, 44100, 96000])
def test_blocks_are_the_file_in_pieces(tmp_path, sr):
    sf.write(tmp_path / "a.wav", tones(23.456, sr, 2), sr)
    blocks = in_pieces(tmp_path / "a.wav")
    assert max(map(len, blocks)) <= 10.5 * 22050
    y = audio.load(tmp_path / "a.wav")
    assert sum(map(len, blocks)) == len(y)
    np.testing.assert_allclose(np.concatenate(blocks), y, atol=2e-6)


def test_blocks_of_bad_files_give_the_same_errors(tmp_path):
    for name in bad_files(tmp_path):
        with pytest.raises(audio.AudioError) as whole:
            audio.load(tmp_path / name)
        with pytest.raises(audio.AudioError) as piecewise:
            in_pieces(tmp_path / name)
        assert str(piecewise.value) == str(whole.value)
    sf.write(tmp_path / "cut.wav", tones(30, 22050), 22050)
    shorten(tmp_path / "cut.wav", 0.6)
    with pytest.raises(audio.AudioError, match=r"cut off: 18.00 s are there of the 30.00 s"):
        in_pieces(tmp_path / "cut.wav")


@pytest.mark.parametrize(
    ("duration_s", "segment_s", "n_segments"),
    [(29.93, 10, 3), (30.01, 30, 1), (30.01, 10, 3), (30.01, 3, 10), (30, 3, 10), (29.9, 3, 9)],
)
def test_number_of_segments(duration_s, segment_s, n_segments):
    bounds = audio.segment_bounds(duration_s, segment_s)
    assert len(bounds) == n_segments
    assert bounds[0][0] == 0
    assert bounds[-1][1] <= duration_s
    for (_, end), (start, _) in zip(bounds, bounds[1:], strict=False):
        assert end == start
    for start, end in bounds[: n_segments - 1]:
        assert end - start == pytest.approx(segment_s)
    assert bounds[-1][1] - bounds[-1][0] >= 0.97 * segment_s


def test_a_clip_with_room_for_one_segment_is_taken_whole():
    assert audio.segment_bounds(30.01, 30) == [(0.0, 30.01)]
    assert audio.segment_bounds(16.0, 30) == [(0.0, 16.0)]
    assert audio.segment_bounds(55.0, 30) == [(0.0, 55.0)]
    assert audio.segment_bounds(14.9, 30) == []


@pytest.mark.parametrize("segment_s", [0, -3, float("nan"), float("inf")])
def test_an_impossible_segment_length_is_refused(segment_s):
    with pytest.raises(ValueError, match="expected a length in seconds above 0"):
        audio.segment_bounds(30, segment_s)
