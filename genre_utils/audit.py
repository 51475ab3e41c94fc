"""What is wrong with a data set or a split: faulty files, repetitions, batches, leakage."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genre_utils import batches, datasets, inspection, repetition
from genre_utils.batches import batch_effects
from genre_utils.datasets import Dataset
from genre_utils.project import ProjectError
from genre_utils.splits import Split

__all__ = [
    "assert_no_leak",
    "audit",
    "batch_effects",
    "compare_with_literature",
    "leakage",
    "measurements",
    "repetitions",
    "split_parts",
]

FINDING_COLUMNS = ("track_id", "file", "fault", "severity", "reason", "value", "partner", "shift_s")
"""The columns of `audit`."""

LEAK_COLUMNS = ("kind", "severity", "value", "parts", "n_tracks")

_KINDS = ("unknown track", "track", "recording", "artist", "class", "artist unknown")
_WARNINGS = ("class", "artist unknown")
_REPEATS = re.compile(r"\brepeats\s+([^\s,;]+)")
_SHOWN = 5


class LeakageError(ProjectError):
    """A split whose parts share music, or that cannot be checked for it."""


def audit(dataset: Dataset, *, jobs: int | None = None) -> pd.DataFrame:
    """Look for everything that is wrong with a data set.

    Parameters
    ----------
    dataset : Dataset
        Its sound files, pictures and public tables are looked at, whichever it has.
    jobs : int, optional
        Number of processes; `project.jobs` by default.

    Returns
    -------
    pd.DataFrame
        One row a finding, faults first, with `FINDING_COLUMNS`. ``file`` is relative to
        the data set's folder and safe to print; ``fault`` is one of `inspection.FAULTS`,
        or ``exact_duplicate``, ``near_duplicate``, ``similar``, ``table_duplicate``,
        ``picture_duplicate`` (one row a pair, with ``partner``, and with ``shift_s``, how
        much later the music comes in it), or ``batch_effect``. ``severity`` is ``fault``,
        ``warning`` (it can be used, but differs from the rest) or ``similar`` (perhaps
        another performance: listen). ``reason`` is a sentence with what was found and what
        was expected, ``value`` the measured number.
    """
    inspected = inspection.inspect(dataset, jobs=jobs)
    files = {
        row.track_id: inspection.shown(row.audio_path or row.image_path, dataset.root)
        for row in dataset.tracks[["track_id", "audio_path", "image_path"]].itertuples()
        if row.audio_path is not None or row.image_path is not None
    }
    pairs = _repetitions(dataset, inspected)
    rows = [*inspected.findings, *_pair_findings(pairs), *_batch_findings(dataset)]
    found = pd.DataFrame(
        rows, columns=["track_id", "fault", "severity", "reason", "value", "partner", "shift_s"]
    )
    found["file"] = found["track_id"].map(files).astype("str")
    left = [
        (None, inspection.shown(path, dataset.root), "leftover", "warning", _LEFTOVER)
        for path in inspection.leftovers(dataset.root)
    ]
    columns = ["track_id", "file", "fault", "severity", "reason"]
    found = pd.concat([found, pd.DataFrame(left, columns=columns)])[list(FINDING_COLUMNS)]
    texts = ("track_id", "file", "fault", "severity", "reason", "partner")
    found = found.astype(dict.fromkeys(texts, "str") | {"value": float, "shift_s": float})
    found["rank"] = found["severity"].map({"fault": 0, "warning": 1, "similar": 2})
    found = found.sort_values(["rank", "fault", "track_id", "partner", "file"], ignore_index=True)
    return found[list(FINDING_COLUMNS)]


_LEFTOVER = (
    "is no music, but a file that a Mac leaves beside copied ones; it is not used; delete it"
)


def measurements(dataset: Dataset, jobs: int | None = None) -> pd.DataFrame:
    """Measure every sound file that can be read.

    Returns
    -------
    pd.DataFrame
        One row a track, with `inspection.MEASURES`.
    """
    return inspection.inspect(dataset, jobs=jobs).measures


def repetitions(dataset: Dataset, *, jobs: int | None = None) -> pd.DataFrame:
    """Find music that a data set has more than once.

    Parameters
    ----------
    dataset : Dataset
        Its sound files, pictures and public tables are looked at, whichever it has.
    jobs : int, optional
        Number of processes; `project.jobs` by default.

    Returns
    -------
    pd.DataFrame
        One row a pair and a place it was found in, with `repetition.PAIR_COLUMNS`:
        ``found_in`` is ``audio``, ``table`` or ``picture``, ``kind`` is ``exact``,
        ``near`` or ``similar``. What a score means depends on where it was found; see
        `repetition.in_audio`, `repetition.in_tables` and `repetition.in_pictures`.
    """
    return _repetitions(dataset, inspection.inspect(dataset, jobs=jobs))


def _repetitions(dataset: Dataset, inspected: "inspection.Inspection") -> pd.DataFrame:
    drawn = dataset.tracks[dataset.tracks["image_path"].notna()]
    clip_s = dataset.tracks["duration_s"].median()
    return pd.concat(
        [
            repetition.in_audio(**inspected.heard()),
            repetition.in_tables(dataset),
            repetition.in_pictures(
                drawn["track_id"].tolist(),
                drawn["image_path"].tolist(),
                clip_s=30.0 if np.isnan(clip_s) else float(clip_s),
            ),
        ],
        ignore_index=True,
    )


_PAIR_FAULTS = {
    ("audio", "exact"): ("exact_duplicate", "fault", "has the same samples as {other}"),
    ("audio", "near"): (
        "near_duplicate",
        "fault",
        "is the same recording as {other}: {score:.0%} of their fingerprints agree, expected "
        "under 2 % of two recordings",
    ),
    ("audio", "similar"): (
        "similar",
        "similar",
        "has the harmony of {other} (score {score:.1f}, usual pairs stay below "
        f"{repetition.SIMILAR_Z:g}): perhaps another performance, listen",
    ),
    ("table", "exact"): ("table_duplicate", "fault", "has the same row in a table as {other}"),
    ("table", "near"): (
        "table_duplicate",
        "fault",
        "has nearly the same row in a table as {other} (agreement {score:.3f} of 1)",
    ),
    ("picture", "exact"): ("picture_duplicate", "fault", "has the same picture as {other}"),
    ("picture", "near"): (
        "picture_duplicate",
        "fault",
        "has a picture of the same music as {other} (correlation {score:.3f}, unrelated ones "
        f"stay below {repetition.PICTURE_NEAR:g})",
    ),
}


def _pair_findings(pairs: pd.DataFrame) -> list[tuple]:
    findings = []
    for pair in pairs.itertuples():
        fault, severity, reason = _PAIR_FAULTS[pair.found_in, pair.kind]
        reason = reason.format(other=pair.partner, score=pair.score)
        if abs(pair.shift_s) >= 0.1:
            reason += f"; there it comes {abs(pair.shift_s):.1f} s "
            reason += "later" if pair.shift_s > 0 else "earlier"
        if severity == "fault":
            reason += "; keep one of them"
        findings.append(
            (pair.track_id, fault, severity, reason, pair.score, pair.partner, pair.shift_s)
        )
    return findings


def _batch_findings(dataset: Dataset) -> list[tuple]:
    findings = []
    for segment_s, path in dataset.tables.items():
        table = datasets.load_feature_csv(dataset, segment_s)
        if table["track_id"].duplicated().any():
            continue  # segments of a track are alike: no rows to compare
        genres = table["track_id"].str.split(".").str[0].to_numpy()
        effects = batch_effects(table[list(datasets.TABLE_FEATURES)].to_numpy(), groups=genres)
        for effect in effects[effects["p_value"] <= batches.SIGNIFICANT].head(1).itertuples():
            reason = (
                f"{path.name}: its features jump every {effect.period} rows (p = "
                f"{effect.p_value:.2g}), expected no such rule; they carry the batch that they "
                "were computed in, and so what else was in it"
            )
            findings.append((None, "batch_effect", "warning", reason, effect.period, None, np.nan))
    return findings


LITERATURE = (
    ("exact repetitions", 50, "the same excerpt, less than 2 s apart"),
    ("excerpts of the same recording", 22, "2 s apart or more"),
    ("versions of the same song", 13, "similar harmony; uncertain, and from audio only"),
)
"""Kinds of repetition, how many of them Sturm (2012, 2013) reports in GTZAN, our criterion.

B. L. Sturm: "An analysis of the GTZAN music genre dataset", MIRUM 2012, and "The GTZAN
dataset: Its contents, its faults, their effects on evaluation, and its future use",
arXiv:1306.1461, 2013.
"""

# A claim, its track (or two that are the same), and by which faults of one track it is found.
_NAMED = (
    ("metal.00058 = rock.00016", ("metal.00058", "rock.00016"), ()),
    ("jazz.00054 cannot be decoded", ("jazz.00054",), ("undecodable", "empty")),
    ("reggae.00086 is spoilt by distortion", ("reggae.00086",), ("clipped", "noise")),
)
_SAME_EXCERPT_S = 2.0


def compare_with_literature(
    found: pd.DataFrame, tracks: pd.DataFrame, *, in_table: Collection[str] = ()
) -> pd.DataFrame:
    """Set what was found on GTZAN beside what Sturm reports.

    Parameters
    ----------
    found : pd.DataFrame
        What `audit` or `repetitions` returned.
    tracks : pd.DataFrame
        The track table.
    in_table : collection of str
        Ids of the tracks that a public table has.

    Returns
    -------
    pd.DataFrame
        One row a claim: ``claim``, ``reported`` (number; 1 for a named track), ``found``
        (distinct pairs or tracks by any means), ``in_audio``, ``in_table``,
        ``in_picture`` (by each), ``seen_audio``, ``seen_table``, ``seen_picture`` (tracks
        that each could look at; of a named claim, of its own tracks) and ``criterion``.
        The papers count other things in part: a number like the reported one does not say
        that the pairs are the same ones.
    """
    seen = {
        "audio": set(tracks.loc[tracks["audio_path"].notna(), "track_id"]),
        "table": set(in_table),
        "picture": set(tracks.loc[tracks["image_path"].notna(), "track_id"]),
    }
    if "found_in" in found:
        found = found.assign(fault=found["kind"])
        where, similar = found["found_in"], found["kind"].eq("similar")
    else:
        where = (
            found["fault"]
            .map({"table_duplicate": "table", "picture_duplicate": "picture"})
            .fillna("audio")
        )
        similar = found["fault"].eq("similar")
    pairs = found.assign(where=where, similar=similar)
    # A shift that is not known is that of two like rows of a table: the same excerpt.
    apart = pairs["shift_s"].abs().fillna(0) >= _SAME_EXCERPT_S
    paired = pairs["partner"].notna()
    chosen = (paired & ~similar & ~apart, paired & ~similar & apart, paired & similar)
    rows = [
        _claim(claim, reported, pairs[rows], seen, criterion)
        for (claim, reported, criterion), rows in zip(LITERATURE, chosen, strict=True)
    ]
    for claim, names, faults in _NAMED:
        if len(names) == 2:
            rows_of_claim = pairs["track_id"].eq(names[0]) & pairs["partner"].eq(names[1])
        else:
            rows_of_claim = pairs["track_id"].eq(names[0]) & pairs["fault"].isin(faults)
        seen_here = {place: ids & set(names) for place, ids in seen.items()}
        rows.append(_claim(claim, 1, pairs[rows_of_claim], seen_here, "named in the literature"))
    return pd.DataFrame(rows)


def _claim(
    claim: str, reported: int, rows: pd.DataFrame, seen: dict[str, set[str]], criterion: str
) -> dict:
    ids = ["track_id", "partner"]
    return (
        {"claim": claim, "reported": reported, "found": len(rows[ids].drop_duplicates())}
        | {f"in_{p}": len(rows.loc[rows["where"].eq(p), ids].drop_duplicates()) for p in seen}
        | {f"seen_{place}": len(members) for place, members in seen.items()}
        | {"criterion": criterion}
    )


def split_parts(items: pd.DataFrame, split: Split) -> pd.DataFrame:
    """List which tracks a split puts in which part, as `leakage` reads it.

    Parameters
    ----------
    items : pd.DataFrame
        The items that `split` was made from, with ``track_id``.
    split : Split
        Positions of the parts in `items`.

    Returns
    -------
    pd.DataFrame
        ``track_id`` and ``part`` (``train``, ``valid``, ``test``), without repeated rows.
    """
    frames = []
    for part in ("train", "valid", "test"):
        track_ids = items["track_id"].iloc[getattr(split, part)].unique()
        frames.append(pd.DataFrame({"track_id": track_ids, "part": part}))
    return pd.concat(frames, ignore_index=True)


def leakage(parts: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """Find everything that lets one part of a split know about another.

    Parameters
    ----------
    parts : pd.DataFrame
        ``track_id`` and ``part``, any number of parts with any names; rows without a
        part are left out, and a track may be listed more than once.
    tracks : pd.DataFrame
        The track table: ``track_id``, ``genre``, and where known ``artist_id``,
        ``known_fault`` (``repeats blues.00001``) and ``sha256``.

    Returns
    -------
    pd.DataFrame
        One row a finding, the worst first, with `LEAK_COLUMNS`. ``kind`` is

        - ``unknown track``: not in the track table, so it cannot be checked;
        - ``track``: in more than one part;
        - ``recording``: tracks of several parts that are known to repeat each other
          or have the same ``sha256``;
        - ``artist``: in more than one part;
        - ``class``: a genre that a part misses;
        - ``artist unknown``: how many tracks of a part may hide a shared artist.

        ``severity`` is ``leak`` for the first four and ``warning`` for the others,
        ``value`` names the thing, ``parts`` the parts concerned, ``n_tracks`` counts
        the tracks concerned.

    Raises
    ------
    ProjectError
        If a column is missing, or if no row has a part.
    """
    _require(parts, ("track_id", "part"), "the parts")
    _require(tracks, ("track_id", "genre"), "the track table")
    known = pd.DataFrame(
        {
            name: tracks[name].astype("string") if name in tracks else pd.NA
            for name in ("track_id", "genre", "artist_id", "known_fault", "sha256")
        },
        dtype="string",
    ).drop_duplicates("track_id")
    known["recording"] = _recordings(known)
    # As strings, so that ids that a CSV reader took for numbers are found as well.
    used = parts[["track_id", "part"]].astype("string").dropna().drop_duplicates()
    if used.empty:
        raise ProjectError("no track has a part, so there is no split to check; fill column part")
    used = used.merge(known, on="track_id", how="left", indicator="known")
    used["known"] = used["known"].eq("both")

    findings = [
        *_shared(used[~used["known"]], "unknown track", "track_id", at_least=1),
        *_shared(used, "track", "track_id"),
        *_shared(used, "recording", "recording"),
        *_shared(used, "artist", "artist_id"),
    ]
    for genre, rows in used.groupby("genre"):
        missed = set(used["part"]) - set(rows["part"])
        if missed:
            findings.append(("class", genre, missed, rows["track_id"].nunique()))
    for part, rows in used[used["known"] & used["artist_id"].isna()].groupby("part"):
        findings.append(("artist unknown", part, {part}, len(rows)))

    table = pd.DataFrame(
        [
            (kind, "warning" if kind in _WARNINGS else "leak", value, ", ".join(sorted(where)), n)
            for kind, value, where, n in findings
        ],
        columns=list(LEAK_COLUMNS),
    )
    order = table["kind"].map({kind: rank for rank, kind in enumerate(_KINDS)})
    table = table.assign(order=order, size=-table["n_tracks"])
    return table.sort_values(["order", "size", "value"], ignore_index=True)[list(LEAK_COLUMNS)]


def assert_no_leak(
    parts: pd.DataFrame, tracks: pd.DataFrame, *, allow: Collection[str] = ()
) -> None:
    """Raise if the parts of a split share music.

    Parameters
    ----------
    parts, tracks : pd.DataFrame
        As for `leakage`.
    allow : collection of str
        Kinds of leak that the split has on purpose, e.g. ``("artist",)``.

    Raises
    ------
    LeakageError
        If `leakage` finds a leak of any other kind; the message lists the worst.
    ProjectError
        If `allow` has an unknown kind, or as for `leakage`.
    """
    unknown = set(allow) - set(_KINDS)
    if unknown:
        raise ProjectError(f"allow has {sorted(unknown)}; expected some of {', '.join(_KINDS)}")
    found = leakage(parts, tracks)
    found = found[found["severity"].eq("leak") & ~found["kind"].isin(list(allow))]
    if found.empty:
        return
    counts = found["kind"].value_counts(sort=False)
    lines = [
        f"  {row.kind} {row.value}: {row.n_tracks} track(s), in {row.parts}"
        for row in found.groupby("kind", sort=False).head(_SHOWN).itertuples()
    ]
    raise LeakageError(
        "the parts of the split share music: "
        + ", ".join(f"{count} × {kind}" for kind, count in counts.items())
        + ". Move each of these to one part, or drop it:\n"
        + "\n".join(lines)
    )


def _require(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ProjectError(
            f"{what}: no column {', '.join(missing)}; found {', '.join(map(str, frame))}"
        )


def _shared(used: pd.DataFrame, kind: str, column: str, *, at_least: int = 2) -> list:
    """List the values of a column that occur in at least so many parts."""
    findings = []
    for value, rows in used.groupby(column):
        where, track_ids = set(rows["part"]), sorted(rows["track_id"].unique())
        if len(where) < at_least or (kind == "recording" and len(track_ids) < 2):
            continue
        name = " = ".join(track_ids) if kind == "recording" else value
        findings.append((kind, name, where, len(track_ids)))
    return findings


def _recordings(tracks: pd.DataFrame) -> np.ndarray:
    """Return a number for each track, the same for the tracks of one recording."""
    ends = [(track_id, track_id) for track_id in tracks["track_id"]]
    for row in tracks.itertuples():
        if pd.notna(row.known_fault):
            named = _REPEATS.findall(row.known_fault)
            ends += [(row.track_id, other.rstrip(".)")) for other in named]
        if pd.notna(row.sha256):
            ends.append((row.track_id, f"sha256 {row.sha256}"))
    codes, _ = pd.factorize(np.array(ends, dtype=object).reshape(-1))
    left, right = codes.reshape(-1, 2).T
    size = codes.max() + 1 if len(codes) else 0
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return component[left[: len(tracks)]]
