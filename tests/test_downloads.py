"""Downloads from a server on this machine that does everything a server should not.

No test talks to a real mirror.
"""

import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import pandas as pd
import pytest

from genre_utils import datasets, downloads, project
from genre_utils.downloads import DownloadError, Mirror, ResumingDownloader, Source

MINI = datasets.gtzan_index().query("mini")["track_id"].tolist()
QUICK = {"timeout_s": (2, 0.5), "attempts": 3, "pause_s": 0.01}
CONTENT = os.urandom(1_500_000)


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Server:
    """Answers each request with the next of its `plan`, and the last one from then on."""

    def __init__(self):
        self.requests, self.plan, self.content, self.tag = [], [whole], CONTENT, '"1"'
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.requests.append((self.path, dict(self.headers)))
                answer = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
                self.close_connection = True
                # The client may have had enough.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    answer(self, server)

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def asked(self, name):
        return [headers.get(name) for _, headers in self.requests]


def head(handler, status, length, **headers):
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    for name, value in headers.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Connection", "close")
    handler.end_headers()


def part(handler, server, *, stop=None, after=None, tag=None, length=None):
    """Send the range that was asked for, up to byte `stop` of it; then call `after`."""
    content, tag = server.content, tag or server.tag
    asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    start = int(asked[6:-1]) if asked and condition in (None, tag) else 0
    if start >= len(content):
        head(handler, 416, 0, Content_Range=f"bytes */{len(content)}", ETag=tag)
        return
    ranged = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else None
    head(
        handler,
        206 if start else 200,
        length or len(content) - start,
        Content_Range=ranged,
        ETag=tag,
    )
    handler.wfile.write(content[start:][:stop])
    handler.wfile.flush()
    if after:
        after()


whole = part
break_off = functools.partial(part, stop=400_000)
stall = functools.partial(part, stop=400_000, after=functools.partial(time.sleep, 3))


def no_ranges(handler, server, stop=None):
    head(handler, 200, len(server.content))
    handler.wfile.write(server.content[:stop])


def status(code, content=b"", **headers):
    def answer(handler, server):
        head(handler, code, len(content), **headers)
        handler.wfile.write(content)

    return answer


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def transfer(server, tmp_path):
    """Fetch one file as pooch would call it; return what arrived."""

    def fetch(*plan, verified_later=True, **options):
        server.plan = list(plan)
        download = ResumingDownloader(
            tmp_path / "file.partial", verified_later=verified_later, **QUICK | options
        )
        download(f"{server.url}/file", str(tmp_path / "file"), None)
        assert not list(tmp_path.glob("file.partial*"))
        return (tmp_path / "file").read_bytes()

    return fetch


# ------------------------------------------------------------------ one file


def test_a_good_server(transfer, server):
    assert transfer(whole) == CONTENT
    assert server.asked("Range") == [None] and server.asked("Accept-Encoding") == ["identity"]


def test_a_transfer_that_breaks_off_goes_on(transfer, server):
    assert transfer(break_off, break_off, break_off, whole) == CONTENT
    assert (
        server.asked("Range")
        == [
            None,
            "bytes=400000-",
            "bytes=800000-",
            "bytes=1200000-",
        ][: len(server.requests)]
    )
    assert server.asked("If-Range")[1:] == ['"1"'] * (len(server.requests) - 1)


def test_a_server_that_falls_silent(transfer, server):
    assert transfer(stall, whole) == CONTENT
    assert server.asked("Range") == [None, "bytes=400000-"]


def test_a_server_that_trickles(transfer, server):
    def trickle(handler, server):
        head(handler, 200, len(server.content), ETag=server.tag)
        for position in range(40):
            handler.wfile.write(server.content[position : position + 1])
            handler.wfile.flush()
            time.sleep(0.05)

    assert transfer(trickle, whole, slow=(1000, 0.5)) == CONTENT
    sent = int(server.asked("Range")[1][6:-1])
    assert 5 <= sent < 40


def test_a_server_that_ignores_ranges(transfer, server):
    cut = functools.partial(no_ranges, stop=400_000)
    assert transfer(cut, no_ranges) == CONTENT
    assert server.asked("Range") == [None, "bytes=400000-"]


def test_without_checksum_and_version_nothing_is_put_together(transfer, server):
    cut = functools.partial(no_ranges, stop=400_000)
    assert transfer(cut, no_ranges, verified_later=False) == CONTENT
    assert server.asked("Range") == [None, None]


def test_weak_tags_are_not_quoted(transfer, server):
    server.tag = 'W/"1"'
    assert transfer(break_off, whole, verified_later=False) == CONTENT
    assert server.asked("Range") == [None, None] == server.asked("If-Range")


def test_a_file_that_changes_between_two_attempts(transfer, server):
    new = os.urandom(1_600_000)

    def change():
        server.content, server.tag = new, '"2"'

    assert transfer(functools.partial(break_off, after=change), whole) == new
    assert server.asked("If-Range") == [None, '"1"']


def test_a_server_that_sends_a_part_of_another_version(transfer, server):
    """It ignores If-Range: the answer's own tag tells."""
    new = os.urandom(1_600_000)

    def liar(handler, server):
        server.content, server.tag = new, '"2"'
        start = int(handler.headers["Range"][6:-1])
        full = f"bytes {start}-{len(new) - 1}/{len(new)}"
        head(handler, 206, len(new) - start, Content_Range=full, ETag='"2"')
        handler.wfile.write(new[start:])

    assert transfer(break_off, liar, whole) == new
    assert server.asked("Range") == [None, "bytes=400000-", None]


def test_a_server_that_sends_another_range(transfer, server):
    def elsewhere(handler, server):
        size = len(CONTENT)
        head(handler, 206, size - 9, Content_Range=f"bytes 9-{size - 1}/{size}", ETag='"1"')
        handler.wfile.write(CONTENT[9:])

    assert transfer(break_off, elsewhere, whole) == CONTENT


def test_a_file_that_was_there_but_for_its_name(transfer, server, tmp_path):
    (tmp_path / "file.partial").write_bytes(CONTENT)
    note = {"url": f"{server.url}/file", "version": '"1"'}
    (tmp_path / "file.partial.json").write_text(json.dumps(note))
    assert transfer(whole) == CONTENT
    assert server.asked("Range") == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": "http://other/", "version": "1"}'])
def test_a_beginning_of_something_else_is_not_used(transfer, server, tmp_path, note):
    (tmp_path / "file.partial").write_bytes(b"another file")
    (tmp_path / "file.partial.json").write_text(note)
    assert transfer(whole) == CONTENT
    assert server.asked("Range") == [None]


def test_a_server_that_promises_more_than_it_has(transfer, server):
    """Asked for the rest, it says that there is none, or sends all of it once more."""
    promise = functools.partial(part, length=len(CONTENT) + 1000)
    assert transfer(promise) == CONTENT
    assert server.asked("Range") == [None, f"bytes={len(CONTENT)}-"]

    def liar(handler, server):
        head(handler, 200, len(CONTENT) + 1000)
        handler.wfile.write(CONTENT)

    server.requests.clear()
    with pytest.raises(downloads._MirrorError, match=r"broke off \(3 attempts\)"):
        transfer(liar)
    assert len(server.requests) < 6


def test_a_server_that_promises_less_than_it_has(transfer, server):
    assert transfer(functools.partial(part, length=1000)) == CONTENT[:1000]


def test_a_busy_server_gets_time(transfer):
    assert transfer(status(503), status(429), whole) == CONTENT


@pytest.mark.parametrize(
    ("answer", "reason", "n_requests"),
    [
        (status(404), "answers 404 Not Found", 1),
        (status(403), "answers 403", 1),
        (status(500), "answers 500.*3 attempts", 3),
        (status(200, b"<html>log in</html>", Content_Type="text/html; charset=utf-8"), "web", 1),
        (status(302, Location="ftp://127.0.0.1/x"), "No connection adapters", 1),
        (functools.partial(stall, stop=0), "fell silent", 3),
    ],
)
def test_a_mirror_is_given_up(transfer, server, answer, reason, n_requests):
    with pytest.raises(downloads._MirrorError, match=reason):
        transfer(answer, timeout_s=(1, 0.2))
    assert n_requests == len(server.requests)


def test_a_redirect_is_followed_with_the_range(transfer, server):
    def elsewhere(handler, server):
        head(handler, 302, 0, Location=f"{server.url}/there")

    assert transfer(elsewhere, break_off, elsewhere, whole) == CONTENT
    assert [path for path, _ in server.requests] == ["/file", "/there"] * 2
    assert server.asked("Range")[2:] == ["bytes=400000-"] * 2


def test_size_is_bounded(transfer, server, tmp_path):
    with pytest.raises(downloads._MirrorError, match="announces"):
        transfer(whole, max_bytes=1_000_000)

    def endless(handler, server):
        head(handler, 200, None)
        handler.wfile.write(CONTENT)

    with pytest.raises(downloads._MirrorError, match="more than"):
        transfer(endless, max_bytes=1_000_000)
    assert not list(tmp_path.glob("file*"))


def test_a_full_disk_is_told_before(transfer, monkeypatch):
    usage = downloads.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match="Make room or set DATA_ROOT"):
        transfer(whole)


def test_no_server(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    download = ResumingDownloader(tmp_path / "p", verified_later=True, **QUICK)
    with pytest.raises(downloads._MirrorError, match="no connection"):
        download(url, str(tmp_path / "file"), None)


# ------------------------------------------------------------------ one data set


def music(tracks=MINI, *, top="gtzan_mini-main/genres", extra=()):
    """Pack something like GTZAN mini: the tracks are 64 bytes of noise each."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for track in tracks:
            genre = track.split(".")[0]
            archive.writestr(f"{top}/{genre}/{track}.wav", hashlib.sha512(track.encode()).digest())
        for name, content in dict(extra).items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def mini(server, tmp_path):
    """Fetch GTZAN mini from mirrors on this machine."""

    def fetch(*checksums, **options):
        mirrors = tuple(
            Mirror(f"{server.url}/{number}/main.zip", checksum, "the test")
            for number, checksum in enumerate(checksums)
        )
        source = Source(mirrors, n_tracks=100, pages=("http://page",))
        return downloads.fetch("gtzan-mini", data_root=tmp_path, source=source, **QUICK | options)

    return fetch


def left(folder):
    return sorted(p.name for p in (folder / "downloads").iterdir() if p.name != ".lock")


def test_the_tracks_arrive(server, mini, tmp_path):
    server.content = music(extra={"gtzan_mini-main/README.md": b"text"})
    root = mini(sha256(server.content))
    assert root == tmp_path / "gtzan-mini"
    found = datasets.load("gtzan-mini", data_root=tmp_path)
    assert found.root == root and found.tracks["audio_path"].notna().all()
    assert {path.name for path in root.iterdir()} == {"genres", "checksums.csv"}
    sums = pd.read_csv(root / "checksums.csv")
    assert len(sums) == 100
    for row in sums.itertuples():
        assert project.file_digest(root / row.file) == row.sha256
    assert left(tmp_path) == []

    server.requests.clear()
    assert mini(sha256(server.content)) is None
    assert server.requests == []


def test_the_next_mirror_is_asked(server, mini, tmp_path):
    server.content = music()
    right, wrong = sha256(server.content), sha256(b"other")
    server.plan = [status(404), whole]
    assert mini(right, right)
    assert [path for path, _ in server.requests] == ["/0/main.zip", "/1/main.zip"]
    downloads.shutil.rmtree(tmp_path / "gtzan-mini")
    assert mini(wrong, right)


def test_a_wrong_checksum_places_nothing(server, mini, tmp_path):
    server.content = music()
    with pytest.raises(DownloadError, match="has another checksum than sha256.*the test") as error:
        mini(sha256(b"other"))
    assert left(tmp_path) == [] and not (tmp_path / "gtzan-mini").exists()
    for words in ("--archive FILE", "http://page", str(tmp_path / "gtzan-mini"), "validate"):
        assert words in error.value.instructions


def test_trust_on_first_use(server, mini, tmp_path, capsys):
    server.content = music()
    assert mini(None)
    assert sha256(server.content) in capsys.readouterr().out
    noted = json.loads((tmp_path / "downloads" / "received.json").read_text())
    assert noted == {f"{server.url}/0/main.zip": sha256(server.content)}

    downloads.shutil.rmtree(tmp_path / "gtzan-mini")
    assert mini(None)  # the same again
    downloads.shutil.rmtree(tmp_path / "gtzan-mini")
    server.content = music(extra={"note.csv": b"changed"})
    with pytest.raises(DownloadError, match="received before from the same address.*received.json"):
        mini(None)
    assert not (tmp_path / "gtzan-mini").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (music(MINI[:50]), "holds 50 of the 100 tracks"),
        (music()[:-100], "damaged"),
        (music(extra={"../../evil.wav": b"x"}), "leads out"),
        (b"version https://git-lfs.github.com/spec/v1\n", "neither a zip"),
    ],
)
def test_a_wrong_archive_is_neither_placed_nor_trusted(server, mini, tmp_path, content, reason):
    server.content = content
    with pytest.raises(DownloadError, match=reason):
        mini(None)
    assert left(tmp_path) == [] and not (tmp_path / "gtzan-mini").exists()
    assert not (tmp_path.parent / "evil.wav").exists()


def test_offline(mini, server, tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise downloads.requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(downloads.requests, "get", no_network)
    with pytest.raises(DownloadError, match=r"any of 2 mirror\(s\).*no connection") as error:
        mini(None, None)
    assert "genres/blues/blues.00000.wav" in error.value.instructions


def test_an_archive_with_pictures_and_tables(tmp_path):
    """As Kaggle packs GTZAN; the user's own files are kept."""
    packed = tmp_path / "archive.zip"
    extra = {
        "Data/images_original/blues/blues00000.png": b"png",
        "Data/features_30_sec.csv": b"filename\n",
        "Data/features_3_sec.csv": b"new",
    }
    packed.write_bytes(music(top="Data/genres_original", extra=extra))
    root = tmp_path / "gtzan-mini"
    root.mkdir()
    (root / "features_3_sec.csv").write_text("own")
    assert downloads.fetch("gtzan-mini", data_root=tmp_path, archive=packed) == root
    assert packed.exists() and (root / "features_3_sec.csv").read_text() == "own"
    found = datasets.load("gtzan-mini", data_root=tmp_path)
    assert set(found.tables) == {30.0, 3.0}
    assert found.tracks[["audio_path", "image_path"]].notna().sum().tolist() == [100, 1]
    listed = pd.read_csv(root / "checksums.csv")["file"]
    assert {"features_30_sec.csv", "images_original/blues/blues00000.png"} < set(listed)
    assert "features_3_sec.csv" not in set(listed)


def test_an_archive_of_the_genres_alone(tmp_path):
    with tarfile.open(tmp_path / "own.tar.gz", "w:gz") as archive:
        for track in MINI:
            info = tarfile.TarInfo(f"{track.split('.')[0]}/{track}.wav")
            info.size = 4
            archive.addfile(info, io.BytesIO(b"RIFF"))
    root = downloads.fetch("gtzan-mini", data_root=tmp_path, archive=tmp_path / "own.tar.gz")
    assert len(list((root / "genres").glob("*/*.wav"))) == 100


def test_wrong_archives_and_files_in_the_way(tmp_path):
    def fetch(name="a.zip"):
        return downloads.fetch("gtzan-mini", data_root=tmp_path, archive=tmp_path / name)

    (tmp_path / "a.zip").write_bytes(music(MINI[:5]))
    with pytest.raises(DownloadError, match="a.zip: the archive holds 5 of the 100"):
        fetch()
    with pytest.raises(DownloadError, match="none.zip: no such file"):
        fetch("none.zip")
    (tmp_path / "a.zip").write_bytes(music())
    (tmp_path / "gtzan-mini" / "genres").mkdir(parents=True)
    with pytest.raises(DownloadError, match="Move it away"):
        fetch()


def test_two_processes_at_once(tmp_path):
    with (
        downloads._locked(tmp_path / "downloads"),
        pytest.raises(DownloadError, match="another process"),
    ):
        downloads.fetch("gtzan-mini", data_root=tmp_path)


KILLED = """
import sys
from pathlib import Path
from genre_utils import downloads
url, checksum, root = sys.argv[1:]
source = downloads.Source((downloads.Mirror(url, checksum or None),), 100, ())
downloads.fetch("gtzan-mini", data_root=Path(root), source=source)
"""


@pytest.mark.parametrize("known", [True, False], ids=["checksum", "first use"])
def test_a_killed_download_goes_on_in_another_process(server, tmp_path, known):
    server.content = music(extra={"noise.csv": os.urandom(1_000_000)})
    more, hold = threading.Event(), threading.Event()

    def half(handler, server):
        part(handler, server, stop=700_000, after=lambda: (more.set(), hold.wait(60)))

    server.plan = [half, whole]
    checksum = sha256(server.content) if known else ""
    command = [sys.executable, "-c", KILLED, f"{server.url}/main.zip", checksum, str(tmp_path)]
    first = subprocess.Popen(command)
    assert more.wait(60)
    deadline = time.monotonic() + 30

    def begun():
        return sum(p.stat().st_size for p in (tmp_path / "downloads").glob("*.partial"))

    while begun() < 700_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    hold.set()
    assert not (tmp_path / "gtzan-mini").exists()

    subprocess.run(command, check=True, timeout=120)
    assert server.asked("Range") == [None, "bytes=700000-"]
    assert server.asked("If-Range") == [None, '"1"']
    found = datasets.load("gtzan-mini", data_root=tmp_path).tracks["audio_path"]
    for track, path in zip(MINI, found, strict=True):
        assert path.read_bytes() == hashlib.sha512(track.encode()).digest()


def test_a_fetch_killed_while_unpacking_is_finished_without_the_network(server, mini, tmp_path):
    server.content = music()
    name = f"gtzan-mini-{project.text_digest(f'{server.url}/0/main.zip')[:8]}-main.zip"
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / name).write_bytes(server.content)
    (tmp_path / "downloads" / ".gtzan-mini.unpacked.unpacking" / "genres").mkdir(parents=True)
    (tmp_path / "downloads" / "gtzan-mini.unpacked" / "old").mkdir(parents=True)
    assert mini(sha256(server.content))
    assert server.requests == [] and left(tmp_path) == []


def test_a_fetch_that_stops_at_the_last_step_needs_no_network_again(
    server, mini, tmp_path, monkeypatch
):
    server.content = music()
    with monkeypatch.context() as patch:

        def stop(*_):
            raise KeyboardInterrupt

        patch.setattr(downloads, "_write_checksums", stop)
        with pytest.raises(KeyboardInterrupt):
            mini(sha256(server.content))
    server.requests.clear()
    assert mini(sha256(server.content))
    assert server.requests == [] and left(tmp_path) == []


def test_the_real_mirrors_are_well_formed():
    for source in downloads.SOURCES.values():
        assert len(source.mirrors) >= 2 and source.pages
        for mirror in source.mirrors:
            assert mirror.url.startswith("http") and mirror.url.endswith((".tar.gz", ".zip"))
            if mirror.checksum:
                kind, digest = mirror.checksum.split(":")
                assert len(bytes.fromhex(digest)) == {"sha256": 32, "md5": 16}[kind]
                assert mirror.checksum_source
