"""Music of one's own: formats, bad files, long files, samples, the command line."""

import csv
import io
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf
import tiny_bundle

import genre_utils
from genre_utils import audio, bundle, cli, gtzan_spectrogram, inference
from genre_utils.inference import InferenceError

SR = 22050
NOT_CORE = ("torch", "librosa", "scipy", "sklearn", "numba", "matplotlib", "joblib", "onnx")


def tone(hz=300.0, seconds=3.0, sr=SR, n_channels=1):
    t = np.arange(round(seconds * sr)) / sr
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(t))
    y = 0.3 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(11 * t)) + noise
    return np.stack([y * (0.9**k) for k in range(n_channels)], axis=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_bundle.write(tmp_path_factory.mktemp("model") / "tiny")


def as_said(prediction):
    return np.array(list(prediction.probabilities.values()))


@pytest.mark.parametrize(
    ("name", "sr", "n_channels", "subtype"),
    [
        ("eight.wav", SR, 1, "PCM_U8"),
        ("sixteen.wav", 44100, 2, "PCM_16"),
        ("deep.wav", 96000, 2, "PCM_24"),
        ("float.wav", 48000, 6, "FLOAT"),
        ("telephone.wav", 8000, 1, "PCM_16"),
        ("cd.flac", 44100, 2, "PCM_16"),
        ("web.mp3", 44100, 2, "MPEG_LAYER_III"),
        ("web.ogg", 44100, 2, "VORBIS"),
        ("call.opus", 48000, 1, "OPUS"),
        ("studio.aiff", 44100, 2, "PCM_24"),
    ],
)
def test_formats(model, tmp_path, name, sr, n_channels, subtype):
    kind = {"opus": "OGG"}.get(name.rpartition(".")[2])
    y = tone(300, 3.0, sr, n_channels)
    sf.write(tmp_path / name, y, sr, subtype=subtype, format=kind)
    found = inference.predict(tmp_path / name, model=model)
    assert found.genre == "low" and found.source == str(tmp_path / name)
    assert found.duration_s == pytest.approx(3.0, abs=0.1)
    assert as_said(found).sum() == pytest.approx(1)
    assert [pair[1] for pair in found.top] == sorted(as_said(found), reverse=True)
    assert any("only 3.0 s of sound" in warning for warning in found.warnings)
    assert any("sampled at 8,000 Hz" in warning for warning in found.warnings) == (sr == 8000)
    # Other ways of storing the same sound change little.
    plain = inference.predict(tone()[:, 0], sr=SR, model=model)
    if name in ("sixteen.wav", "deep.wav", "float.wav", "cd.flac", "studio.aiff"):
        np.testing.assert_allclose(as_said(found), as_said(plain), atol=0.1)


def test_m4a_through_ffmpeg(model, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    sf.write(tmp_path / "a.wav", tone(), SR)
    command = [ffmpeg, "-v", "error", "-i", "a.wav", "-b:a", "96k", "a.m4a"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert inference.predict(tmp_path / "a.m4a", model=model).genre == "low"


@pytest.mark.parametrize("sr", [16000, 22050, 44100])
@pytest.mark.parametrize("seconds", [1.0, 12.0, 47.0])
def test_samples_and_file_give_the_same(model, tmp_path, sr, seconds):
    y = tone(2500, seconds, sr, 2)
    sf.write(tmp_path / "a.wav", y, sr, subtype="FLOAT")
    of_file = inference.predict(tmp_path / "a.wav", model=model)
    for samples in (y, y.T, y.astype(np.float32)):
        of_samples = inference.predict(samples, sr=sr, model=model)
        np.testing.assert_allclose(as_said(of_samples), as_said(of_file), atol=1e-3)
        assert of_samples.duration_s == of_file.duration_s
    assert of_samples.source == "samples"


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32])
def test_whole_numbers_have_the_full_scale_of_their_type(model, dtype):
    y = np.clip(tone()[:, 0], -0.99, 0.99)
    bits = 8 * np.dtype(dtype).itemsize
    whole = np.rint(y * (2 ** (bits - 1) - 1))
    whole = (whole + 128 if dtype == np.uint8 else whole).astype(dtype)
    expected = inference.predict(np.rint(y * 127) / 127 if bits == 8 else y, sr=SR, model=model)
    found = inference.predict(whole, sr=SR, model=model)
    np.testing.assert_allclose(as_said(found), as_said(expected), atol=0.02)


def test_a_clip_is_read_as_the_training_data_is(model, tmp_path):
    y = np.rint(32768 * 0.9 * tone(800, 30.0)[:, 0] / 0.7) / 32768
    x = gtzan_spectrogram.mel_of_sound(y.astype(np.float32))
    np.testing.assert_array_equal(model.preprocessing.spectrogram(y.astype(np.float32)), x)
    expected = model.probabilities(x[None, None])[0]
    sf.write(tmp_path / "a.flac", y, SR, subtype="PCM_16")
    np.testing.assert_allclose(
        as_said(inference.predict(tmp_path / "a.flac", model=model)), expected, rtol=1e-6
    )


def test_a_long_recording_is_the_mean_of_its_windows(model):
    y = np.concatenate([tone(300, 30.0), tone(9000, 30.0), tone(9000, 10.0)])[:, 0]
    found = inference.predict(y, sr=SR, model=model)
    spans = [(segment.start_s, segment.end_s) for segment in found.segments]
    assert spans == [(0, 30), (30, 60), (40, 70)]
    parts = np.array([list(segment.probabilities.values()) for segment in found.segments])
    assert list(parts.argmax(axis=1)) == [0, 2, 2]
    np.testing.assert_allclose(as_said(found), parts.mean(axis=0))
    assert found.genre == "high" and found.duration_s == 70 and not found.warnings
    # A rest of less than a second is no window.
    assert len(inference.predict(y[: 60 * SR + SR // 2], sr=SR, model=model).segments) == 2


def test_segments_show_the_course_of_time(model):
    y = np.concatenate([tone(300, 20.0), tone(9000, 15.0), np.zeros((8 * SR, 1))])[:, 0]
    found = inference.predict(y, sr=SR, model=model, segment_s=5)
    starts = [segment.start_s for segment in found.segments]
    np.testing.assert_allclose(starts, [0, 5, 10, 15, 20, 25, 30, 35, 38])
    said = [max(s.probabilities, key=s.probabilities.get, default=None) for s in found.segments]
    assert said == ["low"] * 4 + ["high"] * 3 + [None] * 2
    short = inference.predict(y[: 12 * SR], sr=SR, model=model, segment_s=5)
    np.testing.assert_allclose([s.start_s for s in short.segments], [0, 5, 7])
    assert short.segments[-1].end_s == pytest.approx(12)
    whole = inference.predict(y, sr=SR, model=model)
    assert whole.probabilities == found.probabilities
    for length in (1, 31, float("nan")):
        with pytest.raises(InferenceError, match="expected 3 to 30 seconds"):
            inference.predict(y, sr=SR, model=model, segment_s=length)


def test_silent_windows_are_left_out(model):
    y = np.concatenate([tone(300, 30.0), np.zeros((30 * SR, 1))])[:, 0]
    found = inference.predict(y, sr=SR, model=model)
    assert found.segments[1].probabilities == {}
    assert found.probabilities == found.segments[0].probabilities
    assert found.warnings == ("1 of 2 windows are silent and were left out",)


def test_what_sounds_like_nothing_known_is_told(tmp_path):
    x = np.stack([bundle.Preprocessing().spectrogram(tone(hz)[:, 0]) for hz in range(200, 900, 50)])
    familiar = bundle.Familiar.of(x[::2, None], x[1::2, None])
    model = tiny_bundle.write(tmp_path / "b", familiar=familiar)
    noise = 0.1 * np.random.default_rng(0).standard_normal(31 * SR)
    assert "unlike the music" in inference.predict(noise, sr=SR, model=model).warnings[0]
    assert not inference.predict(tone(410, 31.0), sr=SR, model=model).warnings


def bad_files(folder):
    (folder / "words.wav").write_text("these are words, not sounds\n" * 50)
    (folder / "empty.mp3").write_bytes(b"")
    sf.write(folder / "silence.wav", np.zeros(5 * SR), SR)
    sf.write(folder / "blink.wav", tone(seconds=0.3), SR)
    sf.write(folder / "cut.wav", tone(seconds=40.0), SR)
    content = (folder / "cut.wav").read_bytes()
    (folder / "cut.wav").write_bytes(content[: len(content) // 2])
    return {
        "words.wav": "damaged or no audio",
        "empty.mp3": "the file is empty",
        "silence.wav": "is silent; expected music",
        "blink.wav": "0.30 s of sound; expected at least 1 s",
        "cut.wav": "is cut off: 20.00 s are there of the 40.00 s",
        "missing.wav": "no such file",
    }


def test_bad_files_say_what_is_wrong(model, tmp_path):
    for name, message in bad_files(tmp_path).items():
        with pytest.raises(genre_utils.project.ProjectError) as error:
            inference.predict(tmp_path / name, model=model)
        assert str(error.value).startswith(f"{tmp_path / name}: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("samples", "sr", "message"),
    [
        (np.zeros(SR), None, "samples: sr is None; expected their sample rate"),
        (np.zeros(SR), 0.5, "samples: sr is 0.5"),
        (np.zeros(0), SR, r"samples: shape \(0,\)"),
        (np.zeros((2, 2, 2)), SR, r"samples: shape \(2, 2, 2\)"),
        (np.zeros(SR, complex), SR, "complex128; expected numbers of one signal"),
        (np.full(2 * SR, np.nan), SR, "samples: some samples are NaN"),
        (np.zeros(2 * SR), SR, "samples: is silent"),
    ],
)
def test_bad_samples_say_what_is_wrong(model, samples, sr, message):
    with pytest.raises(InferenceError, match=message):
        inference.predict(samples, sr=sr, model=model)


def test_the_package_itself_predicts(model, tmp_path):
    sf.write(tmp_path / "a.wav", tone(), SR)
    found = genre_utils.predict(str(tmp_path / "a.wav"), model=model.folder, top=1)
    assert found.top == ((found.genre, found.probabilities[found.genre]),) and found.elapsed_s > 0
    with pytest.raises(AttributeError, match="no attribute 'predictions'"):
        _ = genre_utils.predictions


def test_two_hours_take_little_memory_and_longer_ones_are_heard_in_part(model, tmp_path):
    """Decoded whole, the file would take 635 MB; each window here takes 3."""
    with sf.SoundFile(tmp_path / "long.wav", "w", 8000, 1, "PCM_U8") as file:
        for _ in range(130):
            file.write(tone(440, 60.0, 8000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = inference.predict(tmp_path / "long.wav", model=model)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 100
    assert found.duration_s == 7200 and len(found.segments) == 240
    assert found.warnings[0] == "only the first 2:00:00 of a longer recording were heard"
    found = inference.predict(tmp_path / "long.wav", model=model, longest_s=45.0)
    assert found.duration_s == 45 and found.segments[-1].end_s == 45
    assert found.warnings[0].startswith("only the first 0:00:45")


def test_core_dependencies_are_enough(model, tmp_path):
    sf.write(tmp_path / "a.flac", tone(), SR)
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_CORE!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Blocked())
from genre_utils import predict
found = predict(sys.argv[1], model=sys.argv[2])
from genre_utils.cli import main
assert main(["predict", sys.argv[1], "--model", sys.argv[2], "--segments"]) == 0
assert "pandas" not in sys.modules  # half of the time that a first answer takes
print(found.genre)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.flac"), str(model.folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "low"


@pytest.fixture
def run(model, capsys):
    def run_with(*arguments):
        code = cli.main(["predict", *map(str, arguments), "--model", str(model.folder)])
        return code, capsys.readouterr().out

    return run_with


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "my album"
    (folder / "cd 2").mkdir(parents=True)
    sf.write(folder / "a, first.wav", tone(300), SR)
    sf.write(folder / "cd 2" / "b.flac", tone(9000, 31.0), SR)
    (folder / "broken.mp3").write_text("no music")
    (folder / "notes.txt").write_text("not even named like music")
    return folder


def test_a_folder_is_a_row_a_file_and_others_go_on(run, album):
    code, out = run(album)
    assert code == 1
    rows = [line for line in out.splitlines() if not line.startswith(" ")]
    assert len(rows) == 3 and "notes" not in out
    assert "a, first.wav" in rows[0] and "low" in rows[0]
    assert "broken.mp3" in rows[1] and "not read: " in rows[1]
    assert "b.flac" in rows[2] and rows[2].index("high") < rows[2].index("low")
    (album / "broken.mp3").unlink()
    assert run(album)[0] == 0


def test_rows_as_json(run, album):
    code, out = run(album, album / "no.wav", "--json", "--top", 2)
    rows = {os.path.basename(row["file"]): row for row in json.loads(out)}
    assert code == 1 and len(rows) == 4
    first = rows["a, first.wav"]
    assert first["genre"] == "low" and len(first["top"]) == 2 and first["model"] == "tiny"
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert rows["no.wav"].keys() == {"file", "error"} and "no such file" in rows["no.wav"]["error"]
    code, out = run(album / "cd 2", "--json", "--segments")
    (row,) = json.loads(out)
    assert code == 0
    assert [segment["start_s"] for segment in row["segments"]] == [0, 10, 20, 21]


def test_rows_as_csv(run, album):
    _, out = run(album, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["genre"] for row in rows] == ["low", "", "high"]
    assert rows[0]["file"].endswith("a, first.wav") and float(rows[0]["p_low"]) > 0.34
    assert "only 3.0 s" in rows[0]["warnings"] and "no audio" in rows[1]["error"]
    _, out = run(album / "cd 2", "--csv", "--segments")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["start_s"], row["end_s"]) for row in rows][-1] == ("21.0", "31.0")


def test_text_shows_segments_and_notes(run, album):
    _, out = run(album, "--segments", "--top", 1)
    assert "0:10-0:20" in out and "note: only 3.0 s of sound" in out


def test_what_cannot_be_heard_at_all(run, album, tmp_path, capsys):
    (tmp_path / "nothing here").mkdir()
    code, out = run(tmp_path / "nothing here")
    assert code == 1 and "not read: holds no sound file" in out
    assert cli.main(["predict", str(album), "--model", str(tmp_path / "no model")]) == 2
    assert "no such folder; expected a model bundle" in capsys.readouterr().err
    for wrong in (
        ["predict"],
        ["predict", "a.wav", "--top", "0"],
        ["predict", "a", "--json", "--csv"],
    ):
        with pytest.raises(SystemExit) as error:
            cli.main(wrong)
        assert error.value.code == 2


@pytest.mark.real_data
def test_real_clips_are_heard_in_time(model, gtzan_root):
    files = sorted(gtzan_root.glob("genres_original/*/*.flac"))
    if not files:
        pytest.skip("GTZAN is here without sound")
    for file in files[::20]:
        started = time.process_time()  # other work on the machine does not count
        found = inference.predict(file, model=model)
        seconds = time.process_time() - started
        assert len(found.segments) == 1 and audio.duration(file) - found.duration_s < 0.01
    assert seconds < 0.15
