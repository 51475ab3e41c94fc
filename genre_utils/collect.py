"""A folder of whole songs made into a data set: clips, a track table, a split by artist.

The result is a folder that `datasets.load` reads. Clips of one artist never sit on both
sides of the split: a model that knows the artist's other songs would look better than
it is (Flexer 2007, "A closer look on artist filters for musical genre classification").
"""

import hashlib
import io
import json
import math
import shutil
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from genre_utils import audio, datasets, progress, project
from genre_utils.project import ProjectError

SR = 22_050
TRACK_COLUMNS = (
    "track_id",
    "genre",
    "artist_id",
    "kind",
    "source_file",
    "start_s",
    "duration_s",
    "fault_filtered_split",
    "sha256",
)
FAILURE_COLUMNS = ("source_file", "genre", "artist_id", "reason")

_RECIPE = "1"  # changes whenever the same options would give other clips
_MAY_LACK = 0.02  # of a clip's length; 29.9 s are 30 s
_SONG_COLUMNS = ("file", "genre", "artist", "kind", "part")


class CollectError(ProjectError):
    """Songs that cannot be made into a data set as they are."""


@dataclass(frozen=True)
class Collection:
    """What `collect` made.

    Attributes
    ----------
    tracks : DataFrame
        One row a clip, with `TRACK_COLUMNS`; times in seconds, files relative to the
        folder of songs, ``fault_filtered_split`` the part (``train``, ``valid``, ``test``).
    failures : DataFrame
        One row a song that was left out, with `FAILURE_COLUMNS`.
    warnings : list of str
        What the user should know about.
    """

    tracks: pd.DataFrame
    failures: pd.DataFrame
    warnings: list[str] = field(default_factory=list)


def collect(
    folder: Path,
    output: Path,
    *,
    clips: int = 1,
    seconds: float = 30.0,
    where: str = "middle",
    seed: int = 0,
    test_share: float = 0.3,
) -> Collection:
    """Cut clips from whole songs and split them by artist.

    A run that was cut off goes on where it was; songs that were added since are added,
    and clips of songs that are gone are removed. The clips of a song depend on that
    song and on the options, not on the other songs.

    Parameters
    ----------
    folder : Path
        Folder with one sub-folder a genre, or with a ``songs.csv`` that has the columns
        ``file`` (relative to `folder`) and, where wanted, ``genre`` (else the
        sub-folder), ``artist`` (else the file's own tag, else the folder between genre
        and file), ``kind`` (free text) and ``part`` (train, valid or test).
    output : Path
        New folder, or one that this function made with the same options. Gets
        ``GENRE/*.flac`` (22,050 Hz, one channel, 16 bits), ``tracks.csv`` and
        ``failures.csv``.
    clips : int
        Clips a song, not overlapping; a shorter song gives fewer.
    seconds : float
        Length of a clip.
    where : str
        ``middle``: evenly spread, a single clip in the middle; ``random``; ``start``.
    seed : int
        Of random places and of the split.
    test_share : float
        Share of the clips that is aimed at for the test part, between 0 and 1, where
        ``songs.csv`` gives no parts. Whole artists are dealt, so it is met roughly.

    Returns
    -------
    Collection
        The track table, the songs that were left out, and warnings.

    Raises
    ------
    CollectError
        If an option is out of range, `output` holds something else, there are fewer
        than two genres, ``songs.csv`` is faulty, its parts share an artist, or no song
        could be used.
    """
    options = {
        "clips": clips,
        "seconds": float(seconds),
        "where": where,
        "seed": seed,
        "recipe": _RECIPE,
    }
    _check_options(options, test_share)
    folder, output = Path(folder).expanduser(), Path(output).expanduser()
    if not folder.is_dir():
        raise CollectError(f"{folder}: no such folder; expected one with a sub-folder a genre")
    warnings: list[str] = []
    songs = _list_songs(folder, output, warnings)
    _claim(output, options)

    cut, failures = _cut_all(songs, folder, output, options)
    if not cut:
        raise CollectError(
            f"{folder}: none of {len(songs)} songs could be used; the first: "
            f"{failures[0]['source_file']}: {failures[0]['reason']}"
        )
    tracks = pd.DataFrame(cut)
    given = "part" in songs and songs["part"].notna().any()
    if not given:
        tracks["fault_filtered_split"] = _deal(tracks, test_share, seed, warnings)
    tracks = tracks.sort_values("track_id", ignore_index=True)[list(TRACK_COLUMNS)]
    left_out = pd.DataFrame(failures, columns=list(FAILURE_COLUMNS))
    _publish_clips(output, set(tracks["track_id"]))
    project.write_atomic(output / "failures.csv", left_out.to_csv(index=False))
    project.write_atomic(output / "tracks.csv", tracks.to_csv(index=False))
    return Collection(tracks, left_out, warnings)


def _check_options(options: dict, test_share: float) -> None:
    clips, seconds, where = options["clips"], options["seconds"], options["where"]
    if clips < 1:
        raise CollectError(f"clips is {clips}; expected 1 or more for each song")
    if not (math.isfinite(seconds) and seconds >= 1):
        raise CollectError(f"seconds is {seconds:g}; expected 1 or more for each clip")
    if where not in ("middle", "random", "start"):
        raise CollectError(f"where is {where!r}; expected middle, random or start")
    if options["seed"] < 0:
        raise CollectError(f"seed is {options['seed']}; expected a whole number from 0 on")
    if not 0 < test_share < 1:
        raise CollectError(f"test_share is {test_share:g}; expected more than 0 and less than 1")


def _claim(output: Path, options: dict) -> None:
    """Make the output folder this function's own, or see that it is."""
    marker = output / ".collect" / "options.json"
    if marker.is_file():
        before = json.loads(marker.read_text())
        if before != options:
            other = [name for name in options if before.get(name) != options[name]]
            raise CollectError(
                f"{output} was made with other options: "
                + ", ".join(f"{name} {before.get(name)!r}, not {options[name]!r}" for name in other)
                + ". Give these, or another folder"
            )
    elif output.exists() and project.data_files(output):
        raise CollectError(f"{output} holds files of yours; give a folder that is new or empty")
    else:
        project.write_atomic(marker, json.dumps(options))


# ------------------------------------------------------------------ songs


def _list_songs(folder: Path, output: Path, warnings: list[str]) -> pd.DataFrame:
    """Return ``file, genre, artist_id, kind`` and, where given, ``part``, sorted by file."""
    sounds = [
        path.relative_to(folder).as_posix()
        for path in project.data_files(folder)
        if path.suffix.lower() in datasets.AUDIO_EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.resolve().is_relative_to(output.resolve())
    ]
    table = folder / "songs.csv"
    songs = _read_table(table, folder) if table.is_file() else pd.DataFrame({"file": sounds})
    if table.is_file() and (others := sorted(set(sounds) - set(songs["file"]))):
        warnings.append(
            f"{len(others)} sound file(s) are not listed in {table.name} and left out, the first: "
            + others[0]
        )
    genres = songs["genre"] if "genre" in songs else pd.Series(pd.NA, index=songs.index)
    of_folder = [Path(name).parts[0] if "/" in name else None for name in songs["file"]]
    songs["genre"] = genres.fillna(pd.Series(of_folder, index=songs.index, dtype="str"))
    loose = songs.loc[songs["genre"].isna(), "file"]
    if len(loose) and table.is_file():
        raise CollectError(f"{table}: {loose.iloc[0]} has no genre; fill the column genre")
    if len(loose):
        warnings.append(
            f"{len(loose)} sound file(s) are in no genre's sub-folder and left out, the first: "
            + loose.iloc[0]
        )
        songs = songs.drop(index=loose.index)
    songs["genre"] = songs["genre"].map(datasets.normalise_genre)
    if songs["genre"].nunique() < 2:
        found = ", ".join(songs["genre"].unique()) or "none"
        raise CollectError(
            f"{folder}: found songs of these genres: {found}; expected two or more, one sub-folder "
            f"each, or a songs.csv with the columns {', '.join(_SONG_COLUMNS)}"
        )
    songs["artist_id"] = _artists(songs, folder, warnings)
    songs["kind"] = songs["kind"].fillna("") if "kind" in songs else ""
    if "part" in songs:
        _check_parts(songs, table)
    return songs.sort_values("file", ignore_index=True)


def _read_table(table: Path, folder: Path) -> pd.DataFrame:
    songs = datasets.read_csv(table, dtype="str")
    if "file" not in songs:
        raise CollectError(
            f"{table}: found the columns {', '.join(map(str, songs.columns))}; expected file and, "
            f"where known, {', '.join(_SONG_COLUMNS[1:])}"
        )
    songs = songs[[name for name in _SONG_COLUMNS if name in songs]]
    songs = songs.apply(lambda column: column.str.strip().replace("", None))
    datasets.fail_at(table, songs["file"].isna().to_numpy(), "an empty name", songs["file"])
    names = songs["file"].map(lambda name: Path(name).as_posix())
    inside = [not Path(name).is_absolute() and ".." not in Path(name).parts for name in names]
    datasets.fail_at(
        table, ~np.array(inside, dtype=bool), f"expected a file below {folder}", songs["file"]
    )
    datasets.fail_at(table, names.duplicated().to_numpy(), "a second row for this file", names)
    return songs.assign(file=names)


def _artists(songs: pd.DataFrame, folder: Path, warnings: list[str]) -> list[str]:
    """Name each song's artist, in one spelling for each."""
    given = songs["artist"] if "artist" in songs else pd.Series(None, index=songs.index)
    names, unknown, spelling = [], [], {}
    for file, name in zip(songs["file"], given, strict=True):
        if pd.isna(name):
            name = _tagged_artist(folder / file) or _artist_folder(file)
        if not name:
            unknown.append(file)
            names.append(f"unknown: {file}")
            continue
        name = " ".join(unicodedata.normalize("NFC", name).split())
        names.append(spelling.setdefault(name.casefold(), name))
    if unknown:
        warnings.append(
            f"{len(unknown)} song(s) have no known artist and count as one artist each, the first: "
            f"{unknown[0]}. If two of them are by one artist, the split may leak: list them in "
            "songs.csv"
        )
    return names


def _tagged_artist(path: Path) -> str | None:
    try:
        with soundfile.SoundFile(path) as sound:
            return sound.copy_metadata().get("artist", "").strip() or None
    except (soundfile.SoundFileError, OSError):
        return None  # cutting it will tell what is wrong


def _artist_folder(file: str) -> str | None:
    parts = Path(file).parts
    return parts[1] if len(parts) > 2 else None


def _check_parts(songs: pd.DataFrame, table: Path) -> None:
    parts = songs["part"]
    if parts.isna().all():
        return
    datasets.fail_at(
        table,
        (~parts.isin(datasets.SPLIT_PARTS)).to_numpy(),
        f"part is none of {', '.join(datasets.SPLIT_PARTS)} (leave the column out to have the "
        "songs dealt)",
        parts,
    )
    mixed = songs.groupby("artist_id")["part"].nunique()
    if (mixed > 1).any():
        artist = mixed.index[mixed > 1][0]
        where = songs[songs["artist_id"] == artist].groupby("part")["file"]
        listed = "; ".join(
            f"{part}: {', '.join(files.head(3))}{', ...' if len(files) > 3 else ''}"
            for part, files in where
        )
        more = f" (and {int((mixed > 1).sum()) - 1} more artists)" if (mixed > 1).sum() > 1 else ""
        raise CollectError(
            f"{table}: songs of one artist are in several parts, so the test would be no test: "
            f"{artist}: {listed}{more}. Give all songs of an artist the same part"
        )


# ------------------------------------------------------------------ clips


def _cut_all(
    songs: pd.DataFrame, folder: Path, output: Path, options: dict
) -> tuple[list[dict], list[dict]]:
    cut, failures = [], []
    first_with: dict[str, pd.Series] = {}
    rows = [row for _, row in songs.iterrows()]
    for song in progress.track(rows, total=len(rows), desc="cutting songs"):
        try:
            done = _cut(song, folder, output, options)
            twin = first_with.setdefault(done["sound"], song)
            if twin is not song:
                other = "" if twin["genre"] == song["genre"] else f", which is {twin['genre']}"
                raise CollectError(f"the same music as {twin['file']}{other}; keep one of them")
        except ProjectError as error:
            reason = getattr(error, "reason", str(error))
            failures.append(_facts(song, FAILURE_COLUMNS) | {"reason": reason})
            continue
        for clip in done["clips"]:
            row = _facts(song, ("genre", "artist_id", "kind", "source_file"))
            cut.append(row | clip | {"fault_filtered_split": song.get("part")})
    return cut, failures


def _facts(song: pd.Series, columns: tuple[str, ...]) -> dict:
    known = song.rename({"file": "source_file"})
    return {name: known[name] for name in columns if name in known}


def _cut(song: pd.Series, folder: Path, output: Path, options: dict) -> dict:
    """Write the clips of one song, unless they are there; return facts on them."""
    path = folder / song["file"]
    if not path.is_file():
        raise audio.AudioError(path, "no such file; mend its name in songs.csv")
    try:
        content = project.file_digest(path)
    except OSError as error:
        raise audio.AudioError(path, f"cannot be read ({error.strerror})") from error
    key = project.text_digest(song["file"], song["genre"])
    note = output / ".collect" / f"{key}.json"
    if note.is_file():
        done = json.loads(note.read_text())
        if done["song"] == content and all(_is_there(output, clip) for clip in done["clips"]):
            return done
        for clip in done["clips"]:
            _clip_path(output, clip["track_id"]).unlink(missing_ok=True)
    y = audio.load(path, sr=SR)
    name = _clip_name(song)
    sounds = []
    for number, start in enumerate(_starts(len(y), song["file"], options), start=1):
        clip = y[start : start + round(options["seconds"] * SR)]
        track_id = f"{song['genre']}.{name}" + (f"-{number}" if options["clips"] > 1 else "")
        encoded = io.BytesIO()
        soundfile.write(encoded, np.clip(clip, -1, 1), SR, format="FLAC", subtype="PCM_16")
        project.write_atomic(_clip_path(_waiting(output), track_id), encoded.getvalue())
        sounds.append(
            {
                "track_id": track_id,
                "start_s": round(start / SR, 3),
                "duration_s": round(len(clip) / SR, 3),
                "sha256": hashlib.sha256(encoded.getvalue()).hexdigest(),
            }
        )
    if not sounds:
        raise audio.AudioError(
            path, f"too short: {len(y) / SR:.1f} s; expected {options['seconds']:g} s or more"
        )
    done = {"song": content, "sound": hashlib.sha256(y.tobytes()).hexdigest(), "clips": sounds}
    project.write_atomic(note, json.dumps(done))
    return done


def _clip_name(song: pd.Series) -> str:
    """Name a song's clips after it, in letters that every file system takes."""
    stem = unicodedata.normalize("NFKD", Path(song["file"]).stem).encode("ascii", "ignore").decode()
    words = "-".join("".join(c if c.isalnum() else " " for c in stem.lower()).split())[:40]
    return f"{words}-{project.text_digest(song['file'])[:8]}".lstrip("-")


def _clip_path(folder: Path, track_id: str) -> Path:
    return folder / track_id.split(".")[0] / f"{track_id}.flac"


def _waiting(output: Path) -> Path:
    """Return where clips wait until all are cut; `datasets.load` sees no hidden folder."""
    return output / ".collect" / "clips"


def _is_there(output: Path, clip: dict) -> bool:
    paths = [_clip_path(folder, clip["track_id"]) for folder in (output, _waiting(output))]
    return any(path.is_file() and project.file_digest(path) == clip["sha256"] for path in paths)


def _starts(n_samples: int, file: str, options: dict) -> list[int]:
    """Return the first sample of each clip; the clips do not overlap."""
    length = round(options["seconds"] * SR)
    if n_samples < (1 - _MAY_LACK) * length:
        return []
    n_clips = min(options["clips"], max(1, n_samples // length))
    if n_samples <= length:
        return [0]
    if options["where"] == "start":
        return [number * length for number in range(n_clips)]
    room = n_samples / n_clips - length
    shares = np.full(n_clips, 0.5)
    if options["where"] == "random":
        of_song = int(project.text_digest(file)[:16], 16)
        shares = np.random.default_rng([options["seed"], of_song]).random(n_clips)
    return [int((room + length) * number + room * share) for number, share in enumerate(shares)]


def _publish_clips(output: Path, kept: set[str]) -> None:
    """Move new clips in, and remove those of songs that are gone, with the notes on them."""
    for note in (output / ".collect").glob("*.json"):
        if note.name == "options.json":
            continue
        ids = [clip["track_id"] for clip in json.loads(note.read_text())["clips"]]
        for new in (_clip_path(_waiting(output), track_id) for track_id in ids):
            path = output / new.relative_to(_waiting(output))
            if not kept.issuperset(ids):
                path.unlink(missing_ok=True)
            elif new.is_file():
                path.parent.mkdir(exist_ok=True)
                new.replace(path)
        if not kept.issuperset(ids):
            note.unlink()
    shutil.rmtree(_waiting(output), ignore_errors=True)
    for cut_off in (*output.glob(".*.partial"), *output.glob(".collect/.*.partial")):
        cut_off.unlink()


# ------------------------------------------------------------------ split


def _deal(tracks: pd.DataFrame, test_share: float, seed: int, warnings: list[str]) -> pd.Series:
    """Deal whole artists to ``train`` and ``test``, so that each genre has its share.

    The largest artists come first; each goes to the test part if that brings the
    genres' numbers of test clips nearer to what is aimed at.
    """
    counts = tracks.groupby(["artist_id", "genre"]).size().unstack(fill_value=0)
    artists_left = counts.gt(0).sum()
    aim = counts.sum() * test_share
    order = np.random.default_rng(seed).permutation(len(counts))
    order = sorted(order, key=lambda position: -counts.iloc[position].sum())
    in_test = pd.Series(0, index=counts.columns)
    test_artists, train_artists = set(), pd.Series(0, index=counts.columns)
    for position in order:
        own = counts.iloc[position]
        of_genres = own.gt(0)
        nearer = (in_test + own - aim).abs().sum() < (in_test - aim).abs().sum()
        # The first artist of a genre trains, the last one is tested on if no other was.
        first = (of_genres & train_artists.eq(0)).any()
        last = (of_genres & in_test.eq(0) & artists_left.eq(1)).any()
        if not first and (nearer or last):
            test_artists.add(counts.index[position])
            in_test += own
        else:
            train_artists += of_genres
        artists_left -= of_genres
    lacking = [genre for genre in counts.columns if in_test[genre] == 0]
    if lacking:
        warnings.append(
            f"the test part has no {', '.join(lacking)}: too few artists to have some on either "
            "side; add songs by others"
        )
    by_artist = Counter(tracks["artist_id"])
    share = sum(by_artist[artist] for artist in test_artists) / len(tracks)
    if abs(share - test_share) > 0.1:
        warnings.append(
            f"{share:.0%} of the clips are for testing, not {test_share:.0%}: whole artists are "
            "dealt, and a few have many songs"
        )
    return tracks["artist_id"].isin(test_artists).map({True: "test", False: "train"})
