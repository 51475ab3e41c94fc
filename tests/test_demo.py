"""The demo page: what it shows, what it refuses, what it keeps, and how many it serves at once."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile as sf
import tiny_bundle

from genre_utils import (
    answer_page,
    audio,
    bundle,
    cli,
    hearing,
    inference,
    occlusion,
    plots_demo,
    tables_demo,
    words_demo,
)
from genre_utils.project import ProjectError

page = pytest.importorskip("genre_utils.demo")
gradio_client = pytest.importorskip("gradio_client")

SR = 22050
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aiff")


def tone(hz=300.0, seconds=3.0, sr=SR):
    t = np.arange(round(seconds * sr)) / sr
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * hz * t) * (1 + np.sin(11 * t)) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_bundle.write(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """The same song in seven formats."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    folder = tmp_path_factory.mktemp("songs")
    sf.write(folder / "song.wav", tone(sr=48000), 48000)
    for ending in FORMATS[1:]:
        codec = ["-c:a", "libopus"] if ending == "opus" else []
        command = [ffmpeg, "-v", "error", "-i", "song.wav", *codec, f"song.{ending}"]
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Five files without an answer, and what is said of each."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "words.txt").write_text("these are words, not sounds\n" * 50)
    (folder / "empty.mp3").write_bytes(b"")
    sf.write(folder / "silence.wav", np.zeros(5 * SR), SR)
    sf.write(folder / "blink.wav", tone(seconds=0.3), SR)
    sf.write(folder / "cut.wav", tone(seconds=9.0), SR)
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[: 5 * SR])
    return {
        folder / "words.txt": "damaged or no audio",
        folder / "empty.mp3": "the file is empty",
        folder / "silence.wav": "is silent",
        folder / "blink.wav": "0.30 s of sound",
        folder / "cut.wav": "is cut off",
    }


@pytest.fixture(scope="module")
def server(model):
    with page.serving(model) as (blocks, url):
        yield blocks, url


@pytest.fixture(scope="module")
def client(server):
    return gradio_client.Client(server[1], verbose=False)


def ask(client, file):
    return client.predict(gradio_client.handle_file(file), api_name=page.ENDPOINT)


def uploads(blocks):
    """Files that the server holds."""
    return [path for path in Path(blocks.GRADIO_CACHE).rglob("*") if path.is_file()]


def text_of(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize("ending", FORMATS)
def test_seven_formats_through_the_page(client, server, songs, ending):
    shown = text_of(ask(client, songs / f"song.{ending}"))
    assert "Most like low" in shown and f"song.{ending} · 0:03 heard in" in shown
    assert "only 3.0 s of sound" in shown
    assert not uploads(server[0])


@pytest.mark.parametrize("ending", FORMATS)
def test_seven_formats_through_the_command_line(model, songs, capsys, ending):
    file = songs / f"song.{ending}"
    assert cli.main(["predict", str(file), "--model", str(model.folder), "--top", "1"]) == 0
    assert re.search(rf"song\.{ending}\s+low\s+\d+%", capsys.readouterr().out)


def test_five_bad_files_through_the_page(client, server, bad):
    for file, message in bad.items():
        html = ask(client, file)
        assert 'role="alert"' in html and f"No answer for {file.name}" in html
        assert message in html or message.capitalize() in html
        assert str(file.parent) not in html and "genre-demo" not in html
    assert not uploads(server[0])


def test_five_bad_files_through_the_command_line(model, bad, capsys):
    for file, message in bad.items():
        assert cli.main(["predict", str(file), "--model", str(model.folder)]) == 1
        out = capsys.readouterr().out
        assert f"{file.name}  not read: " in out and message in out


def test_fifty_at_once_are_answered_and_nothing_is_kept(client, server, songs, tmp_path):
    """Half of them send the very same file, which must not be deleted under another's nose."""
    files = [songs / "song.flac"] * 25
    for number in range(25):
        files.append(tmp_path / f"{number}.wav")
        sf.write(files[-1], tone(300 if number % 2 else 9000, 2.0), SR)
    with ThreadPoolExecutor(50) as pool:
        shown = list(pool.map(lambda file: text_of(ask(client, file)), files))
    for file, text in zip(files, shown, strict=True):
        high = file.suffix == ".wav" and int(file.stem) % 2 == 0
        assert f"Most like {'high' if high else 'low'}" in text and file.name in text
    assert not uploads(server[0])


def test_too_large_a_file_is_refused_and_not_kept(server):
    blocks, url = server

    def content():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        yield from (bytes(10**6) for _ in range(500))
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = requests.post(f"{url}gradio_api/upload", data=content(), headers=headers)
        assert answer.status_code == 413 and "maximum allowed size" in answer.text
    except requests.ConnectionError:
        pass  # the server hung up, having had enough
    assert not uploads(blocks)


def test_a_long_recording_is_heard_in_part(client, tmp_path):
    """Two hours, of which the page says that it heard ten minutes."""
    with sf.SoundFile(tmp_path / "long.wav", "w", 8000, 1, "PCM_U8") as file:
        minute = tone(440, 60.0, 8000)
        for _ in range(120):
            file.write(minute)
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shown = text_of(ask(client, tmp_path / "long.wav"))
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert "10:00 heard in" in shown
    assert "only the first 0:10:00 of a longer recording were heard" in shown
    assert time.process_time() - started < 10 and grown_mb < 150


def test_only_uploads_are_heard(server, songs, tmp_path):
    """A file of the server's own machine is none of its visitors' business."""
    _, url = server
    call = f"{url}gradio_api/call{page.ENDPOINT}"

    def answer(path):
        given = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        event = requests.post(call, json={"data": [given]}).json()["event_id"]
        return requests.get(f"{call}/{event}", timeout=30).text

    sf.write(tmp_path / "secret.wav", tone(), SR)
    refused = answer(tmp_path / "secret.wav")
    assert "event: error" in refused and "low" not in refused
    assert (tmp_path / "secret.wav").exists()
    sent = {"files": (songs / "song.wav").read_bytes()}
    (path,) = requests.post(f"{url}gradio_api/upload", files=sent).json()
    assert "Most like" in answer(path)


def test_the_page_listens_here_alone_and_names_no_other_host(server):
    blocks, url = server
    assert blocks.server_name == "127.0.0.1" and not blocks.share
    assert not blocks.analytics_enabled and not blocks.run_history
    answer = requests.get(url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "://" not in policy and "*" not in policy
    assert "fonts.googleapis" not in answer.text
    assert list(blocks.get_api_info()["named_endpoints"]) == [page.ENDPOINT]


def test_a_name_cannot_smuggle_in_html(model):
    shown = page.classify(tone(), sr=SR, name="<img src=x onerror=alert(1)>.mp3", model=model)
    assert "<img src=x" not in shown and "&lt;img src=x" in shown
    shown = answer_page.refusal("a <b>", name="<i>", hint="<u>")
    assert "<i>" not in shown and "<b>" not in shown and "<u>" not in shown


def test_the_answer_tells_all_that_was_asked_for(model):
    y = np.concatenate([tone(300, 30.0), tone(9000, 30.0), tone(9000, 15.0)])
    html = answer_page.answer(hearing.hear(y, sr=SR, model=model), name="mine", model=model)
    text = text_of(html)
    for said in ("Most like high", "calibrated", "right 50 times in 100", "1:15 heard in"):
        assert said in text
    assert re.search(r"From 0:(30|45) to 1:(00|15) the music speaks most clearly for high", text)
    for part in ("Waveform", "Mel spectrogram of 1:15", "high over time", "data:audio/mpeg"):
        assert part in html
    assert "0:00–0:05 low" in text and "1:10–1:15 high" in text
    # Every row of pixels and every lane spans the same time.
    assert html.count('viewBox="0 0 75.00 1"') == len(model.genres)


def test_music_unlike_the_training_data_is_told_first(tmp_path):
    x = np.stack([bundle.Preprocessing().spectrogram(tone(hz)) for hz in range(200, 900, 50)])
    familiar = bundle.Familiar.of(x[::2, None], x[1::2, None])
    model = tiny_bundle.write(tmp_path / "b", familiar=familiar)
    noise = 0.1 * np.random.default_rng(0).standard_normal(12 * SR)
    shown = text_of(page.classify(noise, sr=SR, name="noise", model=model))
    assert ", if anything" in shown and "Unfamiliar music: sounds unlike" in shown
    assert shown.index("Unfamiliar music") < shown.index("only 12.0 s")
    assert "if anything" not in page.classify(tone(410, 31.0), sr=SR, name="known", model=model)


@pytest.mark.parametrize("seconds", [1.0, 3.3, 30.0, 31.0, 95.4])
def test_what_is_seen_has_the_length_of_what_was_heard(model, seconds):
    heard = hearing.hear(tone(440, seconds), sr=SR, model=model)
    assert len(heard.envelope) == pytest.approx(20 * seconds, abs=1.5)
    assert heard.S.shape == (80, pytest.approx(496 / 30 * seconds, abs=1.5))
    assert heard.envelope.min() >= -1 and heard.envelope.max() <= 1
    close = heard.closeup
    assert close.end_s - close.start_s == pytest.approx(min(seconds, 30.0), abs=0.01)
    assert close.genre == heard.prediction.genre and close.drop.shape == (8, 15)
    assert len(close.y) == pytest.approx(SR * min(seconds, 30.0), abs=1)
    same = inference.predict(tone(440, seconds), sr=SR, model=model)
    assert same.probabilities == heard.prediction.probabilities


def test_silence_within_a_recording_is_seen_as_such(model):
    y = np.concatenate([tone(300, 30.0), np.zeros(30 * SR, np.float32)])
    heard = hearing.hear(y, sr=SR, model=model)
    assert heard.S.shape == (80, 992) and not heard.S[:, 496:].any()
    assert heard.closeup.end_s == 30
    assert "silent" in text_of(answer_page.answer(heard, name="half", model=model))


def test_occlusion_finds_what_a_network_listens_to(model):
    """The tiny network hears levels: hiding the loud low third costs, the rest helps."""
    S = np.full((80, 90), 20, np.uint8)
    S[:27] = 200
    drop = occlusion.probability_lost(model.probabilities, S, 0)
    assert drop.shape == occlusion.PATCHES
    assert (drop[:2] > 0).all() and (drop[3:] <= 0).all()
    # A sound that is repeated is hidden in each repetition: that costs as much as in one.
    S[:, 45:] = S[:, :45] = np.where(np.arange(45) < 9, 250, S[:, :45])
    once = occlusion.probability_lost(model.probabilities, S[:, :45], 0)
    again = occlusion.probability_lost(model.probabilities, S, 0, n_frames=45)
    np.testing.assert_allclose(again, once, atol=1e-6)


def test_examples_are_heard(model, server):
    blocks, _ = server
    y, sr = page._example("disco")
    assert len(y) / sr == 30
    assert "Most like" in page.classify(y, sr=sr, name="disco", model=model)


def test_the_command_serves_until_it_is_stopped_and_needs_no_pytorch(model, tmp_path):
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "librosa", "sklearn", "matplotlib", "onnx"):
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Blocked())
from genre_utils import cli
sys.exit(cli.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "demo", "--model", str(model.folder)]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        client = gradio_client.Client(url, verbose=False)
        sf.write(tmp_path / "a.wav", tone(), SR)
        assert "Most like" in ask(client, tmp_path / "a.wav")
        assert list(tmp_path.glob("genre-demo-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert not list(tmp_path.glob("genre-demo-*"))


def test_a_taken_port_is_told(server, model, capsys):
    blocks, _ = server
    taken = page.serving(model, port=blocks.server_port)
    with pytest.raises(ProjectError, match="name another with --port"), taken:
        pass
    port = ["--port", str(blocks.server_port)]
    assert cli.main(["demo", "--model", str(model.folder), *port]) == 2
    assert "error: the page cannot be served on 127.0.0.1" in capsys.readouterr().err
    assert cli.main(["demo", "--model", "no such model"]) == 2


def test_tables_and_words_of_the_notebook(model, demo, tmp_path):
    files = tables_demo.songs(demo, model, n_songs=3)
    assert [file.name for file in files["file"]] == [
        "blues.00004.wav", "classical.00004.wav", "country.00004.wav"
    ]  # fmt: skip
    assert list(files["true_genre"]) == ["blues", "classical", "country"]
    assert files["part"].isna().all()  # the network did not learn from this data set
    assert words_demo.label_line(files.iloc[0]) == "Its label in the data set: blues."
    sf.write(tmp_path / "a {song}.wav", tone(300, 40.0), SR)
    (tmp_path / "b.mp3").write_text("no music")
    own = tables_demo.songs(demo, model, str(tmp_path), n_songs=9)
    table = tables_demo.several(own, model)
    assert list(table["answer"]) == ["low", "–"] and "no audio" in table["remarks"][1]
    assert words_demo.several_line(table) == words_demo.label_line(own.iloc[0]) == ""
    with pytest.raises(ProjectError, match="no such file or folder.*give the whole path"):
        tables_demo.songs(demo, model, str(tmp_path / "c.wav"))
    heard = hearing.hear(tmp_path / "a {song}.wav", model=model)
    assert list(tables_demo.genres(heard)["genre"])[0] == "low"
    assert words_demo.answer(heard, name="a").startswith("**a** sounds most like **low**")
    assert "Most probable: low from 0 s." in words_demo.course_alt(heard)
    assert "s between 41 and 411 Hz: without it" in words_demo.attended_line(heard)
    assert "is lost when a patch is hidden" in words_demo.attended_alt(heard)
    assert words_demo.limits(model) == "many"
    for draw in (plots_demo.course, plots_demo.attended):
        figure = draw(heard, title="a")
        assert len(figure.axes) >= 3


def test_songs_say_of_which_part_they_are_where_the_network_learnt_from_their_data(demo, tmp_path):
    card = bundle.Card(f"{demo.title}: tiny", {"Data": "none"})
    own = tiny_bundle.write(tmp_path / "own", card=card)
    files = tables_demo.songs(demo, own, n_songs=2)
    assert list(files["part"]) == ["validation"] * 2
    line = words_demo.label_line(files.iloc[0])
    assert "It is of the validation part, which chose the network's epoch" in line
    table = tables_demo.several(files, own)
    assert list(table["true_genre"]) == ["blues", "classical"]
    said = words_demo.several_line(table.assign(answer=["blues", "–"]))
    assert said.startswith("1 of 1 answer is the label") and "1 file is of the validation" in said
    said = words_demo.several_line(table.assign(answer="blues", part=["training", "–"]))
    assert said.startswith("1 of 2 answers is the label")
    assert "1 file is of the training part, which the network learnt from." in said


def test_the_formats_are_those_that_folders_are_searched_for():
    assert {f".{ending}" for ending in FORMATS} <= set(audio.EXTENSIONS)
