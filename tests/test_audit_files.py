import shutil
import struct

import numpy as np
import pytest
import soundfile

from genre_utils import audit, datasets
from genre_utils.cli import main

SR = 22050


def music(seed, seconds=6, sr=SR):
    rng = np.random.default_rng(seed)
    y = rng.normal(scale=0.003, size=round(seconds * sr))
    for start in np.arange(0, seconds - 0.6, 0.2):
        at, t = round(start * sr), np.arange(round(0.4 * sr)) / sr
        for f in rng.uniform(150, 3000, 3):
            y[at : at + len(t)] += 0.1 * np.sin(2 * np.pi * f * t) * np.exp(-6 * t)
    return np.clip(y, -0.95, 0.95)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with every kind of bad file, and good ones with odd names."""
    root = tmp_path_factory.mktemp("corpus")
    a, b = root / "rock", root / "pop"
    a.mkdir(), b.mkdir()

    def write(path, y, sr=SR, subtype="PCM_16"):
        soundfile.write(path, y, sr, subtype=subtype)

    for number in range(6):
        write(a / f"good{number}.wav", music(number))
    write(b / "with space.wav", music(10))
    write(b / "Köln ß.wav", music(11))
    write(b / "line\nbreak.wav", music(12))

    whole = (a / "good0.wav").read_bytes()
    write(b / "source.wav", music(13))
    source = (b / "source.wav").read_bytes()
    (b / "source.wav").unlink()
    (b / "truncated.wav").write_bytes(source[: len(source) // 3])
    (b / "zero.wav").write_bytes(b"")
    (b / "text.wav").write_text("no sound, only words\n" * 50)
    write(b / "nosamples.wav", np.zeros(0))
    (b / "._good0.wav").write_bytes(b"\0\5\26\7" + bytes(100))
    four_gb = bytearray((b / "nosamples.wav").read_bytes()[:44] + source[44:])
    struct.pack_into("<I", four_gb, 4, 0xFFFFFFFF)
    struct.pack_into("<I", four_gb, 40, 4_000_000_000)
    (b / "fourgb.wav").write_bytes(four_gb)
    spoilt = music(14).astype(np.float32)
    spoilt[100:200] = np.nan
    write(b / "nan.wav", spoilt, subtype="FLOAT")
    write(b / "eight.wav", music(15), subtype="PCM_U8")
    write(b / "twentyfour.wav", music(16), subtype="PCM_24")
    write(b / "stereo.wav", np.stack([music(17), music(17)], axis=1))
    write(b / "fast.wav", music(18, sr=96000), sr=96000)
    write(b / "silent.wav", np.zeros(6 * SR))
    write(b / "clipped.wav", np.clip(music(19) * 60, -1, 1))
    write(b / "noise.wav", np.random.default_rng(999).normal(scale=0.1, size=6 * SR))
    write(b / "short.wav", music(20, seconds=1.2))
    write(b / "offset.wav", music(21) * 0.5 + 0.2)
    (b / "same.wav").write_bytes(whole)
    write(b / "part.wav", 0.5 * music(1)[SR // 2 :])
    return root


EXPECTED = {
    "pop.truncated": ("undecodable", "fault", "cut off"),
    "pop.text": ("undecodable", "fault", ""),
    "pop.zero": ("empty", "fault", "0 bytes"),
    "pop.nosamples": ("empty", "fault", "no samples"),
    "pop.nan": ("nan", "fault", "100 of"),
    "pop.fourgb": ("header", "warning", "4,000,000,000"),
    "pop.eight": ("bit_depth", "warning", "PCM_U8"),
    "pop.twentyfour": ("bit_depth", "warning", "PCM_24"),
    "pop.stereo": ("channels", "warning", "2 channel"),
    "pop.fast": ("sample_rate", "warning", "96000 Hz"),
    "pop.silent": ("silent", "fault", "100%"),
    "pop.clipped": ("clipped", "fault", "%"),
    "pop.noise": ("noise", "fault", "0.5"),
    "pop.short": ("short", "fault", "1.20 s"),
    "pop.offset": ("dc_offset", "fault", "+0.20"),
}
UNUSABLE = {f"pop.{name}" for name in ("truncated", "text", "zero", "nosamples", "nan")}


@pytest.fixture(scope="module")
def findings(corpus, isolated_from_results, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_ROOT", str(tmp_path_factory.mktemp("cache")))
        dataset = datasets.load(str(corpus))
        found = audit.audit(dataset, jobs=1)
        again = audit.audit(dataset, jobs=1)
        measured = audit.measurements(dataset, jobs=1)
    assert found.equals(again)
    return dataset, found, measured


@pytest.mark.parametrize("track_id", EXPECTED)
def test_each_bad_file_is_a_row_with_its_reason(findings, track_id):
    fault, severity, says = EXPECTED[track_id]
    rows = findings[1][findings[1]["track_id"] == track_id]
    rows = rows[rows["fault"] == fault]
    assert rows["severity"].tolist() == [severity]
    assert says in rows["reason"].iloc[0]


def test_the_good_ones_are_all_used_and_nothing_else_is_said(findings):
    dataset, found, measured = findings
    assert set(measured["track_id"]) == set(dataset.tracks["track_id"]) - UNUSABLE
    alone = found[found["partner"].isna() & found["track_id"].notna()]
    assert set(alone["track_id"]) == set(EXPECTED)
    assert measured["duration_s"].median() == pytest.approx(6, abs=0.01)


def test_repetitions_are_found(findings):
    found = findings[1]
    pairs = found[found["partner"].notna()]
    assert set(zip(pairs["fault"], pairs["track_id"], pairs["partner"], strict=True)) == {
        ("exact_duplicate", "pop.same", "rock.good0"),
        ("near_duplicate", "pop.part", "rock.good1"),
    }


def test_leftovers_are_named_and_names_are_safe_to_print(findings):
    dataset, found, _ = findings
    assert found.loc[found["fault"] == "leftover", "file"].tolist() == ["pop/._good0.wav"]
    assert tuple(found.columns) == audit.FINDING_COLUMNS
    assert not found["file"].str.contains("\n").any()


def test_the_command_writes_a_table_and_tells_by_its_exit_code(
    corpus, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("JOBS", "1")
    assert main(["audit", str(corpus), "-o", str(tmp_path / "audit.csv")]) == 1
    out = capsys.readouterr().out
    assert "pop/zero.wav" in out and "2 empty" in out
    table = datasets.read_csv(tmp_path / "audit.csv")
    assert set(EXPECTED) <= set(table["track_id"])
    clean = tmp_path / "clean"
    for genre, name in (("rock", "good0.wav"), ("pop", "line\nbreak.wav")):
        (clean / genre).mkdir(parents=True)
        shutil.copy(corpus / genre / name, clean / genre / name)
    assert main(["audit", str(clean)]) == 0
    assert "no fault found" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "nowhere")]) == 2
    assert main(["audit", str(clean), "-o", str(clean / "pop")]) == 2


def test_a_file_that_breaks_the_decoder_is_a_row_too(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    for genre in ("rock", "pop"):
        (tmp_path / "in" / genre).mkdir(parents=True)
        soundfile.write(tmp_path / "in" / genre / "a.flac", music(ord(genre[0])), SR)
    flac = bytearray((tmp_path / "in" / "pop" / "a.flac").read_bytes())
    flac[21] |= 0x0F  # 2^36 samples are promised: more than memory has
    flac[22:26] = b"\xff" * 4
    (tmp_path / "in" / "pop" / "a.flac").write_bytes(flac)
    found = audit.audit(datasets.load(str(tmp_path / "in")), jobs=1)
    assert found["track_id"].tolist() == ["pop.a"]
    assert found["fault"].tolist() == ["undecodable"]
