"""Archives from the network unpacked without trusting a word of them.

An archive may try to write outside its folder, to plant links and devices, or to fill
the disk from a few kilobytes. Nothing is extracted by name here: every member is
checked, then its bytes are copied, counted, into a new folder.
"""

import gzip
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from genre_utils.project import ProjectError

_CHUNK = 1 << 20
_LONGEST_PART = 255  # bytes; what file systems allow
_DEEPEST = 12
_LITTER = re.compile(r"^(\._.*|\.DS_Store|__MACOSX|Thumbs\.db|desktop\.ini)$")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"^[A-Za-z]:")

# The last four are what Python's readers raise at bytes that nobody expected.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    LookupError,
    RuntimeError,
)


class ArchiveError(ProjectError):
    """An archive that is damaged, or that asks for more than music files."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to.

    Attributes
    ----------
    total_bytes : int
        All members together, those that are left out included.
    members : int
        Files and folders.
    ratio : float
        Unpacked bytes for each byte of the archive. Music hardly shrinks; what shrinks
        a hundredfold is no music.
    ratio_from_bytes : int
        Size from which on `ratio` counts: a small table may be all zeros.
    """

    total_bytes: int = 4 << 30
    members: int = 20_000
    ratio: float = 100.0
    ratio_from_bytes: int = 16 << 20


def unpack(
    archive: Path,
    destination: Path,
    *,
    kinds: Collection[str],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> list[Path]:
    """Unpack a zip or tar.gz archive into a new folder, whole or not at all.

    The folder gets its name when everything is in it. What an earlier unpacking that
    was killed left behind is removed first, so no two processes may unpack to the same
    place at once.

    Parameters
    ----------
    archive : Path
        The archive; its first bytes tell which kind it is, not its name.
    destination : Path
        Folder that does not exist yet.
    kinds : collection of str
        Endings of the files that are wanted, in lower case, such as ``.wav``. Files of
        other kinds, hidden ones and what file managers leave are not written.
    limits : Limits
        How much the archive may unpack to.

    Returns
    -------
    list of Path
        The files that were written, relative to `destination`, sorted.

    Raises
    ------
    ArchiveError
        If the archive is damaged, encrypted or of another kind, holds a link, a device,
        an absolute name, a name with ``..``, a control character or a backslash, or one
        name twice, exceeds a limit, or has no file of the wanted kinds.
    """
    if destination.exists():
        raise ArchiveError(f"{destination} exists already; unpacking needs a new folder")
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        written = sorted(_copy_members(archive, partial, frozenset(kinds), limits))
        if not written:
            raise _refusal(archive, f"it has no file that ends in {', '.join(sorted(kinds))}")
        partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written


def _refusal(archive: Path, reason: str) -> ArchiveError:
    return ArchiveError(
        f"{archive}: {reason}. Nothing of it was unpacked; get the archive again, from a "
        "source that you trust"
    )


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    fault: str | None
    content: BinaryIO | None  # None for a folder


def _copy_members(
    archive: Path, folder: Path, kinds: frozenset[str], limits: Limits
) -> Iterator[Path]:
    packed_bytes = archive.stat().st_size
    seen: set[str] = set()
    total = 0
    try:
        for number, member in enumerate(_members(archive, limits), start=1):
            if number > limits.members:
                raise _refusal(archive, f"it has more than {limits.members} members")
            total += member.size
            if total > limits.total_bytes:
                raise _refusal(
                    archive, f"it unpacks to more than {limits.total_bytes / 2**20:.0f} MiB"
                )
            if total > max(limits.ratio_from_bytes, limits.ratio * packed_bytes):
                raise _refusal(
                    archive,
                    f"its {packed_bytes} bytes unpack to more than {limits.ratio:g} times as "
                    "many, as no music does",
                )
            path = _checked_name(archive, member)
            # Two names that differ in case only are one file on macOS.
            key = unicodedata.normalize("NFC", path.as_posix()).casefold()
            if member.content is None:
                continue
            if key in seen:
                raise _refusal(archive, f"it holds {member.name!r} twice")
            seen.add(key)
            if path.suffix.lower() in kinds and not any(p.startswith(".") for p in path.parts):
                _copy(archive, member, folder / path)
                yield Path(path)
    except _DAMAGE as error:
        raise _refusal(archive, f"it is damaged ({error})") from error


def _checked_name(archive: Path, member: _Member) -> PurePosixPath:
    name = member.name
    path = PurePosixPath(name)
    fault = member.fault
    if fault is None:
        if not path.parts or _UNSAFE.search(name):
            fault = "has a name with a backslash or a control character, or none"
        elif path.is_absolute() or _DRIVE.match(name):
            fault = "has an absolute name"
        elif ".." in path.parts:
            fault = "leads out of its folder"
        elif len(path.parts) > _DEEPEST:
            fault = f"is more than {_DEEPEST} folders deep"
        elif any(len(part.encode(errors="replace")) > _LONGEST_PART for part in path.parts):
            fault = f"has a name of more than {_LONGEST_PART} bytes"
    if fault is not None:
        raise _refusal(archive, f"its member {name[:80]!r} {fault}")
    if any(_LITTER.match(part) for part in path.parts):
        return PurePosixPath(".litter", *path.parts)
    return path


def _copy(archive: Path, member: _Member, path: Path) -> None:
    copied = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as target:
            while chunk := member.content.read(_CHUNK):
                copied += len(chunk)
                target.write(chunk)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _refusal(archive, f"it uses one name for a file and a folder: {path.name}") from error
    if copied != member.size:
        raise _refusal(archive, f"its member {member.name!r} is not of the size that it states")


def _members(archive: Path, limits: Limits) -> Iterator[_Member]:
    with open(archive, "rb") as stream:
        magic = stream.read(4)
        stream.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield from _tar_members(stream, limits)
        elif magic in (b"PK\x03\x04", b"PK\x05\x06"):
            yield from _zip_members(stream)
        else:
            begins = " (it begins like a web page)" if magic.lstrip()[:1] == b"<" else ""
            raise _refusal(archive, f"it is neither a zip nor a tar.gz archive{begins}")


class _BoundedGzip:
    """A gzip stream for `tarfile` that only goes forward, and not without end.

    A tar header of a few bytes may announce a name of gigabytes, which `tarfile` would
    read in one go, or a negative length, which would lead it round in circles.
    """

    def __init__(self, stream: BinaryIO, total_bytes: int):
        self._gzip = gzip.GzipFile(fileobj=stream)
        # Padding and headers come on top of the members' sizes.
        self._left = 2 * total_bytes + (64 << 20)
        self._position = 0
        self._last = b""
        self._again = False  # the last byte is to be read a second time

    def read(self, size: int) -> bytes:
        if not 0 <= size <= 16 * _CHUNK:
            raise tarfile.ReadError(f"a header states a length of {size} bytes")
        if self._again and size:
            self._again = False
            return self._last + self.read(size - 1)
        data = self._gzip.read(size)
        self._position += len(data)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError("it unpacks to more than is allowed")
        self._last = data[-1:] or self._last
        return data

    def seek(self, position: int) -> None:
        # tarfile looks at the byte before the next header: going back would mean to
        # decompress everything again.
        self._again = position == self._position - 1
        if position < self._position - 1:
            raise tarfile.ReadError("a header leads backwards")
        while position > self._position and self.read(min(_CHUNK, position - self._position)):
            pass

    def tell(self) -> int:
        return self._position - self._again

    def read_rest(self) -> None:
        """Read to the end, where gzip's checksum is, through the padding of the tape."""
        for _ in range(64):
            if not self.read(_CHUNK):
                return
        raise tarfile.ReadError("it goes on behind its last member")


def _tar_members(stream: BinaryIO, limits: Limits) -> Iterator[_Member]:
    source = _BoundedGzip(stream, limits.total_bytes)
    with tarfile.open(fileobj=source, mode="r:", errorlevel=2) as archive:
        while (info := archive.next()) is not None:
            fault = None
            if info.issym() or info.islnk():
                fault = f"is a link to {info.linkname[:80]!r}"
            elif info.isdev():
                fault = "is a device"
            elif info.issparse() or not (info.isreg() or info.isdir()):
                fault = "is neither a plain file nor a folder"
            elif info.size < 0:
                fault = f"states a length of {info.size} bytes"
            content = archive.extractfile(info) if fault is None and info.isreg() else None
            yield _Member(info.name, info.size, fault, content)
            archive.members = []  # a member is needed once; a million of them fill the memory
        source.read_rest()


def _zip_members(stream: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            file_type = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
            fault = None
            if stat.S_ISLNK(file_type):
                fault = "is a link"
            elif file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
                fault = "is a device"
            elif info.flag_bits & 0x1:
                fault = "is encrypted"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                fault = "is compressed in an unusual way"
            if fault is not None or info.is_dir():
                yield _Member(info.orig_filename, info.file_size, fault, None)
                continue
            with archive.open(info) as content:
                yield _Member(info.orig_filename, info.file_size, None, content)
