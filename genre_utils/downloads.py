"""GTZAN and GTZAN mini fetched from where they still are.

The first link to GTZAN has been dead for years, so each data set has several mirrors.
Every archive is compared with a checksum before it is unpacked: a published one where
there is one, else the one that was received the first time.
"""

import contextlib
import csv
import fcntl
import io
import json
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pooch
import requests
import urllib3
from tqdm.auto import tqdm

from genre_utils import GENRES, archives, datasets, progress, project
from genre_utils.project import ProjectError

CHECKSUMS_FILE = "checksums.csv"
"""Written beside the files of a data set: what they were when they arrived."""

_KINDS = (*datasets.AUDIO_EXTENSIONS, *datasets.IMAGE_EXTENSIONS, ".csv")
_MAX_ARCHIVE_BYTES = 4 << 30
_ENOUGH = 0.99  # of the tracks; GTZAN is about without its one broken file, too


class DownloadError(ProjectError):
    """A data set that could not be fetched.

    Attributes
    ----------
    instructions : str
        How to put the files in place by hand; several lines, empty where it does not help.
    """

    def __init__(self, message: str, instructions: str = ""):
        super().__init__(message)
        self.instructions = instructions


@dataclass(frozen=True)
class Mirror:
    """One address of an archive.

    Attributes
    ----------
    url : str
        Address.
    checksum : str or None
        ``sha256:`` or ``md5:`` and the digest, where somebody has published one.
    checksum_source : str
        Who says so.
    """

    url: str
    checksum: str | None = None
    checksum_source: str = ""


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes
    ----------
    mirrors : tuple of Mirror
        Tried one after the other.
    n_tracks : int
        Sound files that a complete archive holds.
    pages : tuple of str
        Addresses for a person with a browser.
    """

    mirrors: tuple[Mirror, ...]
    n_tracks: int
    pages: tuple[str, ...]


SOURCES = {
    "gtzan": Source(
        mirrors=(
            Mirror(
                "https://huggingface.co/datasets/marsyas/gtzan/resolve/"
                "d2146561ecc7df707d9e6b8318885fe6a39668a2/data/genres.tar.gz",
                "sha256:b28cc067ff6199bd826f5d1a6931458586d64acae7f44b2e882b7a97af057531",
                "Git LFS details of the file on huggingface.co/datasets/marsyas/gtzan",
            ),
            Mirror(
                "http://opihi.cs.uvic.ca/sound/genres.tar.gz",
                "md5:5b3d6dddb579ab49814ab86dba69e7c7",
                "mirdata, mirdata/datasets/gtzan_genre.py",
            ),
        ),
        n_tracks=1000,
        pages=(
            "https://huggingface.co/datasets/marsyas/gtzan (data/genres.tar.gz)",
            "https://www.kaggle.com/datasets/andradaolteanu/"
            "gtzan-dataset-music-genre-classification (asks for a login; with pictures and tables)",
        ),
    ),
    # Its genres.zip (Git LFS) is smaller than 100 such tracks can be: the folder is taken.
    "gtzan-mini": Source(
        mirrors=(
            Mirror(
                "https://github.com/TempoBeatDownbeat/gtzan_mini/archive/refs/heads/main.zip",
                "md5:44f7f23af8363d96c59663a987f29a4c",
                "mirdata, mirdata/datasets/gtzan_genre.py",
            ),
            Mirror(
                "https://github.com/TempoBeatDownbeat/gtzan_mini/archive/"
                "a61439e86c13037011fde8e0f0743ec55c50bce3.zip",
            ),
        ),
        n_tracks=100,
        pages=("https://github.com/TempoBeatDownbeat/gtzan_mini (Code, Download ZIP)",),
    ),
}
"""Where each data set that can be fetched comes from."""


# ------------------------------------------------------------------ one file


class _Interrupted(Exception):
    """A transfer that broke off and may go on."""


class _MirrorError(Exception):
    """A mirror that will not give the file, however often it is asked."""


class ResumingDownloader:
    """A downloader for pooch that goes on where a transfer broke off.

    What has arrived stays in ``PARTIAL`` beside a note of which version of which file it
    is the beginning of (``ETag`` or ``Last-Modified``), so that another process can go
    on, too. A server that has another version by then, or knows no ranges, sends the
    whole file again (RFC 9110, sections 13.1.5 and 14).

    Parameters
    ----------
    partial : Path
        File that collects what arrives.
    verified_later : bool
        Whether the file's checksum is known. If not, a file whose version the server
        does not state is never put together from two transfers.
    timeout_s : (float, float)
        Longest wait for a connection, and for the next bytes.
    attempts : int
        Attempts without a MiB of progress until it is given up.
    pause_s : float
        Pause after the first failed attempt; it doubles with each.
    slow : (int, float)
        Bytes that have to arrive in so many seconds; a slower transfer is broken off.
    max_bytes : int
        Size of the largest file that is taken.
    """

    def __init__(
        self,
        partial: Path,
        *,
        verified_later: bool,
        timeout_s: tuple[float, float] = (10, 30),
        attempts: int = 5,
        pause_s: float = 1.0,
        slow: tuple[int, float] = (1 << 16, 60.0),
        max_bytes: int = _MAX_ARCHIVE_BYTES,
    ):
        self._partial = partial
        self._note = partial.with_name(partial.name + ".json")
        self._verified_later = verified_later
        self._timeout_s, self._attempts, self._pause_s = timeout_s, attempts, pause_s
        self._slow_bytes, self._slow_s = slow
        self._max_bytes = max_bytes

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False):
        """Fetch `url` to `output_file`; the signature is that of pooch's downloaders."""
        if check_only:
            return requests.head(url, timeout=self._timeout_s, allow_redirects=True).ok
        failed, mark = 0, self._size()
        while True:
            try:
                self._transfer(url)
                break
            except (
                _Interrupted,
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
                urllib3.exceptions.HTTPError,
            ) as error:
                failed += 1
                if self._size() >= mark + (1 << 20):
                    failed, mark = 1, self._size()
                if failed >= self._attempts:
                    raise _MirrorError(f"{_reason(error)} ({self._attempts} attempts)") from error
            except requests.RequestException as error:
                raise _MirrorError(_reason(error)) from error
            time.sleep(self._pause_s * 2 ** (failed - 1))
        self._note.unlink(missing_ok=True)
        self._partial.replace(output_file)
        return None

    def _size(self) -> int:
        return self._partial.stat().st_size if self._partial.is_file() else 0

    def _discard(self) -> None:
        self._partial.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _begun(self, url: str) -> tuple[int, str | None]:
        """Return how much is there of this file, and which version of it that is."""
        try:
            note = json.loads(self._note.read_text())
            known = note["url"] == url and (note["version"] or self._verified_later)
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            self._discard()
            return 0, None
        return self._size(), note["version"]

    def _transfer(self, url: str) -> None:
        have, version = self._begun(url)
        # Not compressed once more on the way: a range counts the bytes that are sent.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if version:
                headers["If-Range"] = version
        with requests.get(url, headers=headers, stream=True, timeout=self._timeout_s) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                if _content_range(response)[1] == have and version == _version(response):
                    return
                self._discard()
                raise _Interrupted("the file has changed on the server")
            have, total = self._agreed(response, have, version)
            if not have:
                self._discard()
                note = {"url": url, "version": _version(response)}
                project.write_atomic(self._note, json.dumps(note))
            self._receive(response, have, total)

    def _agreed(
        self, response: requests.Response, have: int, version: str | None
    ) -> tuple[int, int | None]:
        """Return from which byte on, and up to which, the server sends the file."""
        status = response.status_code
        if status >= 500 or status in (408, 425, 429):
            raise _Interrupted(f"the server answers {status} {response.reason}")
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise _MirrorError(f"the server answers {status} {response.reason}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _MirrorError("the server sends a web page instead of the file")
        if status == HTTPStatus.PARTIAL_CONTENT:
            start, total = _content_range(response)
            if start != have or not have or (version and _version(response) not in (None, version)):
                self._discard()
                raise _Interrupted("the server sends another part than the one asked for")
        else:
            have, total = 0, _whole_number(response.headers.get("Content-Length"))
        if total is not None and total > self._max_bytes:
            raise _MirrorError(
                f"the server announces {total / 2**20:,.0f} MiB; at most "
                f"{self._max_bytes / 2**20:,.0f} MiB are taken"
            )
        free = shutil.disk_usage(self._partial.parent).free
        if total is not None and total - have > free:
            raise DownloadError(
                f"{self._partial.parent}: {(total - have) / 2**20:,.0f} MiB are to come and "
                f"{free / 2**20:,.0f} MiB are free. Make room or set DATA_ROOT to a larger disk"
            )
        return have, total

    def _receive(self, response: requests.Response, have: int, total: int | None) -> None:
        arrived = deque([(time.monotonic(), have)])
        bar = tqdm(
            desc=_file_name(response.url),
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,
        )
        # Unbuffered, so that what has arrived stays even if this process is killed.
        with bar, open(self._partial, "ab" if have else "wb", buffering=0) as stream:
            while chunk := response.raw.read1(1 << 18, decode_content=False):
                have += len(chunk)
                if have > self._max_bytes or (total is not None and have > total):
                    self._discard()
                    raise _MirrorError("the server sends more than it announced, or than is taken")
                stream.write(chunk)
                bar.update(len(chunk))
                now = time.monotonic()
                arrived.append((now, have))
                while now - arrived[0][0] > self._slow_s:
                    if have - arrived.popleft()[1] < self._slow_bytes:
                        raise _Interrupted("the server sends too slowly")
        if total is not None and have < total:
            raise _Interrupted(f"the server broke off after {have:,} of {total:,} bytes")


def _version(response: requests.Response) -> str | None:
    """Return what identifies a version of a file byte by byte, as a request may quote it."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    match = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "")
    )
    return (_whole_number(match[1]), _whole_number(match[2])) if match else (None, None)


def _whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _file_name(url: str) -> str:
    return url.partition("?")[0].rstrip("/").rpartition("/")[2]


def _reason(error: Exception) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server fell silent"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | urllib3.exceptions.HTTPError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error) or type(error).__name__


# ------------------------------------------------------------------ one data set


def fetch(
    dataset: str,
    *,
    data_root: Path | None = None,
    archive: Path | None = None,
    source: Source | None = None,
    **transfer: object,
) -> Path | None:
    """Fetch a data set's archive and unpack it, where its sound files are not there yet.

    A call that was cut off goes on where it was. The sound files get their place last,
    when all the rest is there; `CHECKSUMS_FILE` beside them lists their digests.

    Parameters
    ----------
    dataset : str
        ``gtzan`` or ``gtzan-mini``.
    data_root : Path, optional
        Folder of all data sets, instead of `project.data_root`.
    archive : Path, optional
        An archive that is on this machine already, instead of a mirror's. It is kept.
    source : Source, optional
        Where from, instead of `SOURCES`.
    **transfer
        Options of `ResumingDownloader`.

    Returns
    -------
    Path or None
        The data set's folder; None if sound files are there already and nothing was done.

    Raises
    ------
    DownloadError
        If no mirror gives a complete archive with the right checksum, if files are in
        the way, or if another process is fetching.
    ArchiveError
        If `archive` is damaged or hostile.
    """
    source = source or SOURCES[dataset]
    found = datasets.load(dataset, data_root=data_root, missing_ok=True)
    if found.tracks["audio_path"].notna().any():
        return None
    if archive is not None and not Path(archive).is_file():
        raise DownloadError(
            f"{archive}: no such file; expected a zip or tar.gz archive; check the path"
        )
    data_root = project.data_root() if data_root is None else Path(data_root)
    root, downloads = data_root / dataset, data_root / "downloads"
    try:
        with _locked(downloads):
            unpacked = downloads / f"{dataset}.unpacked"
            shutil.rmtree(unpacked, ignore_errors=True)
            if archive is not None:
                _unpack(archive, unpacked, dataset, source)
            else:
                _from_mirrors(dataset, source, downloads, unpacked, transfer)
            _move_in(unpacked, root)
            for mirror in source.mirrors:
                name = _local_name(dataset, mirror)
                for suffix in ("", ".partial", ".partial.json"):
                    (downloads / f"{name}{suffix}").unlink(missing_ok=True)
    except _MirrorError as error:
        raise DownloadError(f"{archive}: {error}", by_hand(dataset, root, source)) from error
    except OSError as error:
        raise DownloadError(
            f"{error.filename or data_root}: {error.strerror}. Fetching writes to {data_root}; "
            "set DATA_ROOT to a folder with room, or mend this one"
        ) from error
    return root


def by_hand(dataset: str, root: Path, source: Source | None = None) -> str:
    """Return, in several lines, how a data set's files are put in place by hand.

    Parameters
    ----------
    dataset : str
        ``gtzan`` or ``gtzan-mini``.
    root : Path
        Folder that the files belong in.
    source : Source, optional
        Where from, instead of `SOURCES`.
    """
    pages = "\n".join(f"       {page}" for page in (source or SOURCES[dataset]).pages)
    return (
        "To place the files by hand:\n"
        f"  1. Get the archive with a browser, on any machine:\n{pages}\n"
        f"  2. python -m genre_utils fetch {dataset} --archive FILE\n"
        "     unpacks it; or unpack it yourself, so that these files are there:\n"
        f"       {root / 'genres' / 'blues' / 'blues.00000.wav'}   (and so on; the folder may\n"
        "       be called genres_original, too, and the files be .wav, .flac or .au)\n"
        f"       {root / 'images_original' / 'blues' / 'blues00000.png'}   (optional)\n"
        f"       {root / 'features_30_sec.csv'}   (optional)\n"
        f"  3. python -m genre_utils validate {dataset}\n"
        "  Another folder than this one: set DATA_ROOT. No data at all: DATASET=demo."
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out; the lock of a process that is killed goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(
                f"another process is fetching to {folder}; wait until it is done"
            ) from None
        yield


def _from_mirrors(
    dataset: str, source: Source, downloads: Path, unpacked: Path, transfer: dict
) -> None:
    """Unpack what the first mirror gives that gives the right thing."""
    failures = []
    for mirror in source.mirrors:
        try:
            _from_mirror(dataset, source, mirror, downloads, unpacked, transfer)
            return
        except (_MirrorError, archives.ArchiveError) as error:
            shutil.rmtree(unpacked, ignore_errors=True)
            failures.append(f"{mirror.url}: {error}")
    raise DownloadError(
        f"{dataset} could not be fetched from any of {len(failures)} mirror(s). "
        + "; ".join(failures)
        + ". What has arrived of an unbroken file is kept: run the same command again to go on",
        by_hand(dataset, downloads.parent / dataset, source),
    )


def _from_mirror(
    dataset: str,
    source: Source,
    mirror: Mirror,
    downloads: Path,
    unpacked: Path,
    transfer: dict,
) -> None:
    received_file = downloads / "received.json"
    received = json.loads(received_file.read_text()) if received_file.is_file() else {}
    checksum = mirror.checksum or received.get(mirror.url)
    name = _local_name(dataset, mirror)
    downloader = ResumingDownloader(
        downloads / f"{name}.partial", verified_later=checksum is not None, **transfer
    )
    pooch.get_logger().setLevel("WARNING")
    try:
        file = Path(
            pooch.retrieve(mirror.url, checksum, fname=name, path=downloads, downloader=downloader)
        )
    except ValueError as error:  # what pooch raises at a wrong checksum
        origin = f"according to {mirror.checksum_source}"
        if mirror.checksum is None:
            origin = (
                "received before from the same address; remove its line from "
                f"{received_file} to accept what it sends now"
            )
        raise _MirrorError(
            f"what arrived has another checksum than {checksum} ({origin})"
        ) from error
    digest = project.file_digest(file)
    try:
        _unpack(file, unpacked, dataset, source)
    except (archives.ArchiveError, _MirrorError):
        file.unlink()
        raise
    if checksum is None:
        # Trusted on first use, and only now that it has turned out to be what was wanted.
        received[mirror.url] = f"sha256:{digest}"
        project.write_atomic(received_file, json.dumps(received, indent=1) + "\n")
        print(
            f"Nobody has published a checksum for {mirror.url}; received sha256:{digest}, "
            f"noted in {received_file} for the next time"
        )


def _local_name(dataset: str, mirror: Mirror) -> str:
    """Name an archive here; two mirrors may have two archives of one name."""
    return f"{dataset}-{project.text_digest(mirror.url)[:8]}-{_file_name(mirror.url)}"


def _unpack(archive: Path, unpacked: Path, dataset: str, source: Source) -> None:
    archives.unpack(archive, unpacked, kinds=_KINDS)
    index = datasets.gtzan_index()
    known = set(index["track_id"] if dataset == "gtzan" else index["track_id"][index["mini"]])
    parsed = [
        datasets.parse_filename(path.name)
        for path in unpacked.rglob("*")
        if path.suffix.lower() in datasets.AUDIO_EXTENSIONS
    ]
    found = known & {track_and_segment[0] for track_and_segment in parsed if track_and_segment}
    if len(found) < _ENOUGH * source.n_tracks:
        raise _MirrorError(
            f"the archive holds {len(found)} of the {source.n_tracks} tracks, named such as "
            "blues.00000.wav"
        )


def _move_in(unpacked: Path, root: Path) -> None:
    """Give what was unpacked its place, the sound files last: they are what counts."""
    sounds = next(folder for folder in _by_depth(unpacked) if _holds_genres(folder))
    base, name = sounds.parent, sounds.name
    if sounds == unpacked or name not in ("genres_original", "genres"):
        name = "genres"
    others = [] if sounds == unpacked else [*base.glob("images*"), *base.glob("features_*.csv")]
    moves = [(path, root / path.name) for path in others if not (root / path.name).exists()]
    moves.append((sounds, root / name))
    if (root / name).exists():
        raise DownloadError(
            f"{root / name} is there and holds no track. Move it away and run this again"
        )
    root.mkdir(parents=True, exist_ok=True)
    _write_checksums(moves, root)
    for old, new in moves:
        old.rename(new)
    shutil.rmtree(unpacked, ignore_errors=True)


def _by_depth(folder: Path) -> list[Path]:
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    return sorted(folders, key=lambda path: (len(path.parts), path.as_posix()))


def _holds_genres(folder: Path) -> bool:
    """Tell whether a folder has sub-folders of sound files named after genres."""
    return any(
        path.suffix.lower() in datasets.AUDIO_EXTENSIONS
        and datasets.normalise_genre(path.parent.name) in GENRES
        for path in folder.glob("*/*")
    )


def _write_checksums(moves: list[tuple[Path, Path]], root: Path) -> None:
    files = {
        (new / path.relative_to(old)).relative_to(root).as_posix(): path
        for old, new in moves
        for path in ([old] if old.is_file() else old.rglob("*"))
        if path.is_file()
    }
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "sha256"])
    for name in progress.track(sorted(files), total=len(files), desc="checksums"):
        writer.writerow([name, project.file_digest(files[name])])
    project.write_atomic(root / CHECKSUMS_FILE, table.getvalue())
