import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_utils.archives import ArchiveError, Limits, unpack

KINDS = (".wav", ".csv")
SMALL = Limits(total_bytes=1 << 20, members=50, ratio=100, ratio_from_bytes=1 << 18)
NOISE = os.urandom(3000)
GOOD = {"genres/blues/blues.00000.wav": NOISE, "genres/rock/rock.00000.wav": NOISE[:512]}


def tar(path, files=(), *members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in dict(files).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in members:
            archive.addfile(info)
    return path


def zipped(path, files=(), **attributes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in dict(files).items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return path


@pytest.fixture(params=[tar, zipped], ids=["tar.gz", "zip"])
def pack(request, tmp_path):
    return lambda files: request.param(tmp_path / "packed", files)


def refused(archive, match, limits=SMALL):
    """Assert that an archive is refused and that nothing of it is anywhere."""
    before = set(archive.parent.parent.rglob("*"))
    with pytest.raises(ArchiveError, match=match) as error:
        unpack(archive, archive.parent / "out", kinds=KINDS, limits=limits)
    assert str(archive) in str(error.value) and "Nothing of it was unpacked" in str(error.value)
    assert set(archive.parent.parent.rglob("*")) == before


def test_music_is_unpacked_and_nothing_else(pack, tmp_path):
    others = {
        "genres/blues/._blues.00000.wav": b"resource fork",
        "__MACOSX/genres/blues/a.wav": b"litter",
        "genres/.hidden/a.wav": b"hidden",
        "genres/bextract_single.mf": b"list",
        "genres/run.sh": b"rm -rf /",
        "genres/README": b"text",
    }
    written = unpack(pack(GOOD | others), tmp_path / "out", kinds=KINDS)
    assert [path.as_posix() for path in written] == sorted(GOOD)
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*.*")}
    assert {name: path.read_bytes() for name, path in found.items()} == GOOD
    assert not any(path.stat().st_mode & stat.S_IXUSR for path in found.values())
    assert {path.name for path in tmp_path.iterdir()} == {"packed", "out"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.wav", "leads out"),
        ("genres/../../evil.wav", "leads out"),
        ("/tmp/evil.wav", "absolute"),
        ("C:/evil.wav", "absolute"),
        ("..\\evil.wav", "backslash"),
        ("a\nb.wav", "control character"),
        ("a/" * 20 + "a.wav", "folders deep"),
        ("a" * 300 + ".wav", "more than 255 bytes"),
    ],
)
def test_names_that_lead_astray(pack, name, reason):
    refused(pack(GOOD | {name: b"x"}), reason)
    refused(pack({name.replace(".wav", ".txt"): b"x"} | GOOD), reason)


def test_a_name_that_ends_at_a_null_byte(tmp_path):
    archive = zipped(tmp_path / "packed", {"evilX.txt.wav": b"x"} | GOOD)
    archive.write_bytes(archive.read_bytes().replace(b"evilX.txt.wav", b"evil\0.txt.wav"))
    refused(archive, "control character")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "genres/blues/blues.00000.wav"])
def test_links_in_tar(tmp_path, kind, target):
    link = tarfile.TarInfo("genres/link.wav")
    link.type, link.linkname = kind, target
    refused(tar(tmp_path / "packed", GOOD, link), "is a link to")


def test_a_folder_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "victim").mkdir()
    link = tarfile.TarInfo("genres")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "victim")
    with tarfile.open(tmp_path / "packed", "w:gz") as archive:
        archive.addfile(link)
        inside = tarfile.TarInfo("genres/a.wav")
        inside.size = 3
        archive.addfile(inside, io.BytesIO(b"abc"))
    refused(tmp_path / "packed", "is a link to")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_in_tar(tmp_path, kind):
    device = tarfile.TarInfo("genres/zero.wav")
    device.type, device.devmajor, device.devminor = kind, 1, 5
    refused(tar(tmp_path / "packed", GOOD, device), "is a device")


@pytest.mark.parametrize(("mode", "reason"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device")])
def test_links_and_devices_in_zip(tmp_path, mode, reason):
    archive = zipped(tmp_path / "packed", GOOD, create_system=3, external_attr=(mode | 0o777) << 16)
    refused(archive, reason)


def test_encrypted_and_unusual_zips(tmp_path):
    archive = zipped(tmp_path / "packed", GOOD)
    content = bytearray(archive.read_bytes())
    central = content.find(b"PK\x01\x02")
    content[central + 8] |= 1
    archive.write_bytes(content)
    refused(archive, "encrypted")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as lzma:
        lzma.writestr("a.wav", b"x" * 100)
    refused(archive, "unusual way")


def test_bombs(pack):
    refused(pack({"a.wav": bytes(900_000)}), "100 times")
    refused(pack({"unwanted.txt": bytes(900_000)} | GOOD), "100 times")
    refused(pack({"a.wav": os.urandom(1 << 20), "b.wav": b"x"}), "more than 1 MiB")
    refused(pack({f"{number}.wav": b"x" for number in range(51)}), "more than 50 members")
    refused(pack({f"{number}.txt": b"x" for number in range(51)}), "more than 50 members")


def test_a_zip_that_states_too_small_a_size(tmp_path):
    archive = zipped(tmp_path / "packed", {"a.wav": bytes(900_000)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((900_000).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    refused(archive, "damaged|not of the size")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [200 << 20, -512, -(1 << 40)])
def test_a_tar_header_that_states_an_impossible_length(tmp_path, kind, size):
    """`tarfile` of itself would fill the memory, or go round in circles."""
    info = tarfile.TarInfo("a.wav")
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % (1 << 96)).to_bytes(12, "big")
    header[124] = 0x80 if size > 0 else 0xFF
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with tarfile.open(tmp_path / "packed", "w:gz") as archive:
        archive.fileobj.write(header + bytes(4096))
    refused(tmp_path / "packed", "damaged")


def test_a_tar_that_goes_on_for_ever(tmp_path):
    with tarfile.open(tmp_path / "packed", "w:gz", compresslevel=1) as archive:
        archive.fileobj.write(bytes(80 << 20))
    refused(tmp_path / "packed", "goes on behind")


def test_one_name_twice(tmp_path):
    for name in ("genres/a.wav", "genres/A.WAV", "./genres/a.wav"):
        twice = tarfile.TarInfo(name)
        refused(tar(tmp_path / "packed", GOOD | {"genres/a.wav": b"x"}, twice), "twice")
    refused(tar(tmp_path / "packed", {"a.wav": b"x", "a.wav/b.wav": b"x"}), "a file and a folder")


def test_damaged_archives(pack):
    archive = pack(GOOD)
    content = archive.read_bytes()
    for damaged in (
        content[: len(content) // 2],
        content[:-3],
        content[:60] + bytes(40) + content[100:],
    ):
        archive.write_bytes(damaged)
        refused(archive, "damaged")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "neither a zip"),
        (b"<!DOCTYPE html>", "like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "neither a zip"),
        (b"PK\x05\x06" + bytes(18), "no file that ends in .csv, .wav"),
    ],
)
def test_what_is_no_archive(tmp_path, content, reason):
    (tmp_path / "packed").write_bytes(content)
    refused(tmp_path / "packed", reason)


def test_an_archive_without_music_and_a_place_that_is_taken(pack, tmp_path):
    refused(pack({"genres/readme.txt": b"x"}), "no file that ends in")
    (tmp_path / "out").mkdir()
    with pytest.raises(ArchiveError, match="exists already"):
        unpack(pack(GOOD), tmp_path / "out", kinds=KINDS)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0), value=st.integers(0, 255), kind=st.sampled_from([tar, zipped]))
def test_any_changed_byte_is_harmless(tmp_path, position, value, kind):
    archive = kind(tmp_path / "packed", GOOD)
    content = bytearray(archive.read_bytes())
    content[position % len(content)] = value
    archive.write_bytes(content)
    out = tmp_path / "out"
    try:
        unpack(archive, out, kinds=KINDS, limits=SMALL)
    except ArchiveError:
        assert not out.exists()
    else:
        assert set(map(bytes, GOOD.values())) >= {p.read_bytes() for p in out.rglob("*.wav")}
        shutil.rmtree(out)
    assert {path.name for path in tmp_path.iterdir()} == {"packed"}


def test_a_killed_unpacking_leaves_nothing_that_counts(tmp_path):
    files = {f"genres/blues/{number}.wav": os.urandom(1 << 16) for number in range(400)}
    archive = tar(tmp_path / "packed", files)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom genre_utils import archives\n"
        "copy = archives._copy\n"
        "archives._copy = lambda *a: (time.sleep(0.02), copy(*a))\n"
        f"archives.unpack(Path({str(archive)!r}), Path({str(tmp_path / 'out')!r}), kinds=['.wav'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    partial = tmp_path / ".out.unpacking"
    deadline = time.monotonic() + 60
    while len(list(partial.rglob("*.wav"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert partial.is_dir() and not (tmp_path / "out").exists()
    assert len(unpack(archive, tmp_path / "out", kinds=KINDS)) == 400
    assert not partial.exists()
