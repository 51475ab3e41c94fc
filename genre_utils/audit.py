"""What is wrong with a data set or a split: leakage between the parts of a split."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genre_utils.project import ProjectError
from genre_utils.splits import Split

LEAK_COLUMNS = ("kind", "severity", "value", "parts", "n_tracks")

_KINDS = ("unknown track", "track", "recording", "artist", "class", "artist unknown")
_WARNINGS = ("class", "artist unknown")
_REPEATS = re.compile(r"\brepeats\s+([^\s,;]+)")
_SHOWN = 5


class LeakageError(ProjectError):
    """A split whose parts share music, or that cannot be checked for it."""


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
