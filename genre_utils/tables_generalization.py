"""Tables of the notebook on other music and damaged sound, made from predictions alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from genre_utils import (
    datasets,
    evaluation,
    robustness,
    shipping,
    tables,
    tables_deep,
    tables_transfer,
)
from genre_utils.datasets import Dataset
from genre_utils.experiments import StudyResult
from genre_utils.project import Outputs
from genre_utils.results import interval, markdown_table, signed
from genre_utils.robustness import AS_IS

EVERY, SHARED = "all genres", "genres there are"
"""What the network may answer: any genre it knows, or only those of the other music."""

THRESHOLDS = (0.5, 0.7, 0.9)
"""How sure the network has to be before it answers, in the table of abstention."""

_SCORES = [
    "n_tracks", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low",
    "macro_f1_high",
]  # fmt: skip
_OVER_ARTISTS = ["accuracy_artist_low", "accuracy_artist_high", "n_artists"]

_DAMAGES = {
    "noise, 20 dB": "noise 20 dB softer than the music",
    "noise, 10 dB": "noise 10 dB softer than the music",
    "noise, 0 dB": "noise as loud as the music (0 dB)",
    "8,000 Hz": "sampled at 8,000 Hz",
    "16,000 Hz": "sampled at 16,000 Hz",
    "48,000 Hz": "sampled at 48,000 Hz",
}


def title(model: str) -> str:
    """Return a network's name for readers."""
    name, bits, _ = model.partition("_int8")
    return f"shipped network ({tables_deep.title(name)})" if bits else tables_transfer.title(model)


def damage_title(name: str) -> str:
    """Return what a damage of `damage.DAMAGES` is, for readers who only see its name."""
    return _DAMAGES.get(name, name)


def home_title(home: pd.DataFrame, dataset: Dataset) -> str:
    """Return the name of the test part that the network was shipped for.

    Parameters
    ----------
    home : pd.DataFrame
        Of `robustness.at_home`.
    dataset : Dataset
        What the notebook is about, which may be a folder that the network knows nothing of.
    """
    is_own = home.empty or home["dataset"].iloc[0] == dataset.name
    return f"test part of {dataset.title if is_own else 'GTZAN'}"


def of_music(heard: StudyResult, source: str, damaged: str = AS_IS) -> pd.DataFrame:
    """Return the prediction rows of one music, damaged in one way.

    All parts of the music count together, whatever part of its data set a clip is of.
    """
    rows = heard.predictions
    rows = rows[rows["source"].eq(source) & rows["input"].eq(damaged)]
    return rows.assign(stage="heard")


def sources(heard: StudyResult) -> list[str]:
    """Return which music was heard, in the order in which it is stored."""
    return list(dict.fromkeys(heard.predictions["source"]))


def abroad(heard: StudyResult) -> str | None:
    """Return the name of the music from elsewhere, or None."""
    rows = heard.predictions
    names = rows.loc[rows["stage"].eq("elsewhere"), "source"]
    return names.iloc[0] if len(names) else None


def _artists(heard: StudyResult, source: str | None, dataset: Dataset) -> pd.Series:
    """Return the artist of each track of a music, as stored or from its data set's index.

    Music from elsewhere may have track ids of the data set by chance: it gets no artist there.
    """
    facts = robustness.clips(heard)
    known = facts[facts["source"].eq(source)].set_index("track_id")["artist"].dropna()
    if len(known) or source in (None, abroad(heard)):
        return known
    return dataset.artists


def _artists_at_home(home: pd.DataFrame, dataset: Dataset) -> pd.Series:
    """Return the artist of each track of the test part that the network was shipped for."""
    if home.empty or home["dataset"].iloc[0] == dataset.name:
        return dataset.artists
    return datasets.load(home["dataset"].iloc[0], missing_ok=True).artists


def _n_valid(heard: StudyResult, rows: pd.DataFrame) -> int:
    """Return how many of some tracks are of the validation part."""
    stages = heard.predictions.set_index(["source", "track_id"])["stage"]
    valid = stages[stages.eq("valid")].index
    return int(pd.MultiIndex.from_frame(rows[["source", "track_id"]]).isin(valid).sum())


def what_was_heard(heard: StudyResult, dataset: Dataset) -> pd.DataFrame:
    """Return how much music was heard, and what was left out.

    Parameters
    ----------
    heard : StudyResult
        As `robustness.run` returns it.
    dataset : Dataset
        Says which artist its tracks are by.

    Returns
    -------
    pd.DataFrame
        One row a music: ``music, clips, of_test, of_valid, artists, genres, minutes``;
        ``damages`` tried; ``left_out`` with reasons.
    """
    facts = robustness.clips(heard)
    table = []
    for source, runs in heard.runs.groupby("source", sort=False):
        rows = of_music(heard, source)
        known = facts[facts["source"].eq(source) & facts["track_id"].isin(rows["track_id"])]
        plain = runs[runs["input"].eq(AS_IS)].iloc[0]
        reasons = dict(plain["left_out"]) | {"cannot be read": len(plain["failures"])}
        table.append(
            {
                "music": source,
                "clips": len(rows),
                "of_test": int(known["stage"].eq("final").sum()),
                "of_valid": _n_valid(heard, rows),
                "artists": _artists(heard, source, dataset).reindex(rows["track_id"]).nunique(),
                "genres": rows["y_true"].nunique(),
                "minutes": known["duration_s"].sum() / 60,
                "damages": int(runs["input"].ne(AS_IS).sum()),
                "left_out": "; ".join(f"{n} {why}" for why, n in reasons.items() if n),
            }
        )
    columns = ["music", "clips", "of_test", "of_valid", "artists", "genres", "minutes"]
    return pd.DataFrame(table, columns=[*columns, "damages", "left_out"])


def accuracy(
    heard: StudyResult, home: pd.DataFrame, dataset: Dataset, *, n_boot: int, called: str
) -> pd.DataFrame:
    """Return how often the shipped network is right, by music and by what it may answer.

    Parameters
    ----------
    heard : StudyResult
        As `robustness.run` returns it.
    home : pd.DataFrame
        Rows of the test part that the network was shipped for (`robustness.at_home`).
    dataset : Dataset
        Says which artist its tracks are by.
    n_boot : int
        Bootstrap replicates.
    called : str
        Name of that test part.

    Returns
    -------
    pd.DataFrame
        ``music, answers, n_tracks``, accuracy with intervals from drawing tracks and
        artists, macro F1, ``chance, confidence`` (mean probability of the answer),
        ``calibration_error``, ``of_valid`` (how many of the tracks are of the validation
        part, which chose the network's epoch and its temperature). The test part comes as
        a whole, and with the tracks of the other music's genres only.
    """
    other = abroad(heard)
    there = _columns(of_music(heard, other)) if other else []
    parts = [(called, EVERY, home)] if len(home) else []
    if len(home) and there:
        same = home[("p_" + home["y_true"]).isin(there)]
        parts += [(f"{called}, same genres", EVERY, same)]
        parts += [(f"{called}, same genres", SHARED, tables_transfer.restricted(same, there))]
    for source in sources(heard):
        rows = of_music(heard, source)
        parts.append((source, EVERY, rows))
        if source == other:
            parts.append((source, SHARED, tables_transfer.restricted(rows, there)))
    artists = {source: _artists(heard, source, dataset) for source in sources(heard)}
    at_home, table = _artists_at_home(home, dataset), []
    for music, answers, rows in parts:
        known = artists.get(music, at_home).reindex(rows["track_id"].unique())
        found = {"music": music, "answers": answers, "of_valid": _n_valid(heard, rows)}
        table.append(found | _scored(rows, known, n_boot))
    columns = ["music", "answers", *_SCORES, *_OVER_ARTISTS, "chance", "confidence"]
    return pd.DataFrame(table, columns=[*columns, "calibration_error", "of_valid"])


def _columns(rows: pd.DataFrame) -> list[str]:
    return [f"p_{genre}" for genre in sorted(set(rows["y_true"]))]


def _scored(rows: pd.DataFrame, artists: pd.Series, n_boot: int) -> dict:
    known = artists.dropna()
    scores = evaluation.summary(rows, artists=known if len(known) else None, n_boot=n_boot)
    every = evaluation.probability_columns(rows)
    return {name: scores[name] for name in [*_SCORES, *_OVER_ARTISTS] if name in scores} | {
        "chance": 1 / len(every),
        "confidence": float(rows[every].max(axis=1).mean()),
        "calibration_error": evaluation.expected_calibration_error(
            rows, n_bins=shipping.CALIBRATION_BINS
        ),
    }


def with_valid(music: str, n_valid: int, n_tracks: int) -> str:
    """Return the name of a music with how much of it is of the validation part, if any is."""
    return f"{music} ({n_valid} of {n_tracks} of the validation part)" if n_valid else music


def accuracy_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `accuracy` for readers: intervals as text."""
    rows = [row for _, row in table.iterrows()]
    over_artists = [
        "–"
        if pd.isna(row["accuracy_artist_low"])
        else f"{row['accuracy_artist_low']:.2f}–{row['accuracy_artist_high']:.2f}"
        for row in rows
    ]
    return pd.DataFrame(
        {
            "music": [with_valid(row["music"], row["of_valid"], row["n_tracks"]) for row in rows],
            "it may answer": table["answers"],
            "tracks": table["n_tracks"].astype(int),
            "accuracy": [interval(row) for row in rows],
            "drawing artists": over_artists,
            "macro F1": [interval(row, "macro_f1") for row in rows],
            "guessing": table["chance"].map("{:.2f}".format),
            "mean confidence": table["confidence"].map("{:.2f}".format),
            "calibration error": table["calibration_error"].map("{:.2f}".format),
        }
    )


def home_and_away(
    heard: StudyResult,
    home: pd.DataFrame,
    others: StudyResult,
    dataset: Dataset,
    *,
    known_copies,
    n_boot: int,
) -> pd.DataFrame:
    """Return what each network loses on music from elsewhere, on the genres both have.

    Parameters
    ----------
    heard, home
        As in `accuracy`.
    others : StudyResult
        Of `robustness.other_networks`.
    dataset : Dataset
        Says which artist its tracks are by.
    known_copies : sequence of str
        How the ids of tracks end that are also in the data learnt from; left out.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        ``model, title, answers``; ``home`` and ``away`` (accuracies) with ``_low`` and
        ``_high`` and ``n_home, n_away``; what `difference` returns of them; ``chance``.
    """
    pairs = {}
    other = abroad(heard)
    artists = (_artists_at_home(home, dataset), _artists(heard, other, dataset))
    if other and len(home):
        pairs[home["model"].iloc[0]] = (home, of_music(heard, other))
    endings = tuple(name.lower() for name in known_copies)
    for model, rows in others.predictions.groupby("model", sort=False):
        is_copy = rows["track_id"].str.lower().str.endswith(endings)
        parts = dict(tuple(rows[~is_copy].groupby("stage")))
        pairs[model] = tuple(tables.to_tracks(parts[stage]) for stage in ("final", "elsewhere"))
    table = []
    for model, (at_home, away) in pairs.items():
        there = _columns(away)
        same = at_home[("p_" + at_home["y_true"]).isin(there)]
        every = evaluation.probability_columns(at_home)
        for answers, columns in ((EVERY, every), (SHARED, there)):
            scores = [
                evaluation.summary(
                    tables_transfer.restricted(rows, columns), artists=known, n_boot=n_boot
                )
                for rows, known in zip((same, away), artists, strict=True)
            ]
            found = {"model": model, "title": title(model), "answers": answers}
            for name, score in zip(("home", "away"), scores, strict=True):
                found |= {f"{name}{end}": score[f"accuracy{end}"] for end in ("", "_low", "_high")}
                found[f"n_{name}"] = score["n_tracks"]
            table.append(found | difference(*scores) | {"chance": 1 / len(columns)})
    columns = ["model", "title", "answers", "n_home", "home", "home_low", "home_high", "n_away"]
    columns += ["away", "away_low", "away_high", "difference", "low", "high"]
    columns += ["artist_low", "artist_high", "chance"]
    return pd.DataFrame(table, columns=columns)


def difference(home: Mapping[str, float], away: Mapping[str, float]) -> dict[str, float]:
    """Return how much two accuracies of different tracks differ, with 95 % intervals.

    They are made of the two accuracies' own, since the tracks are not the same (Zou & Donner
    2008, "Construction of confidence limits about effect measures", Statistics in Medicine 27).

    Parameters
    ----------
    home, away : mapping
        ``accuracy, accuracy_low, accuracy_high`` (from drawing tracks) and
        ``accuracy_artist_low, accuracy_artist_high`` (from drawing artists; NaN or left out
        where they are not known).

    Returns
    -------
    dict
        ``difference`` (away minus home); ``low, high`` from drawing tracks; ``artist_low,
        artist_high`` from drawing artists, NaN where those of a side are not known.
    """
    value = away["accuracy"] - home["accuracy"]
    found = {"difference": value}
    for drawn in ("", "artist_"):
        (home_low, home_high), (away_low, away_high) = (
            (side.get(f"accuracy_{drawn}low", np.nan), side.get(f"accuracy_{drawn}high", np.nan))
            for side in (home, away)
        )
        below = np.hypot(away["accuracy"] - away_low, home_high - home["accuracy"])
        above = np.hypot(away_high - away["accuracy"], home["accuracy"] - home_low)
        found |= {f"{drawn}low": value - below, f"{drawn}high": value + above}
    return found


def by_genre(heard: StudyResult, home: pd.DataFrame) -> pd.DataFrame:
    """Return recall and confidence by genre, at home and on music from elsewhere.

    Returns
    -------
    pd.DataFrame
        One row a genre of the other music: ``genre``; ``recall_home`` and ``recall`` with
        ``_low`` and ``_high``, ``confidence_home`` and ``confidence``, ``n_home`` and
        ``n_tracks``; ``mistaken_for``, the most frequent wrong answer. Any genre may be
        answered. Without music from elsewhere: the test part alone.
    """
    other = abroad(heard)
    columns = ["recall", "recall_low", "recall_high", "confidence", "n_tracks"]
    called = {name: f"{name}_home" for name in columns} | {"n_tracks": "n_home"}
    at_home = pd.DataFrame(columns=["genre", *called.values()])
    if len(home):
        at_home = evaluation.recall_by_genre(home)[["genre", *columns]].rename(columns=called)
    if other is None:
        return at_home
    rows = of_music(heard, other)
    table = evaluation.recall_by_genre(rows)[["genre", *columns]]
    pairs = evaluation.confused_pairs(rows, top=len(table) ** 2 * 4)
    first = pairs.drop_duplicates("true").set_index("true")["predicted"]
    table["mistaken_for"] = table["genre"].map(first)
    return table.merge(at_home, on="genre", how="left")


def confusions(heard: StudyResult, home: pd.DataFrame, *, called: str) -> dict[str, pd.DataFrame]:
    """Return how genres are confused: title → counts, true genres as rows.

    Rows of genres that the other music does not have are left out of both.
    """
    other = abroad(heard)
    parts = {called: home} if len(home) else {}
    if other:
        parts[other] = of_music(heard, other)
    there = sorted(set(parts[other]["y_true"])) if other else None
    matrices = {}
    for name, rows in parts.items():
        counts = evaluation.confusion(rows)
        wanted = counts.index.isin(there) if there else counts.sum(axis=1) > 0
        matrices[name] = counts[wanted & (counts.sum(axis=1) > 0)]
    return {name: counts for name, counts in matrices.items() if len(counts)}


def reliability(heard: StudyResult, home: pd.DataFrame, *, called: str) -> pd.DataFrame:
    """Return how sure the network is and how often it is right, by music.

    Returns
    -------
    pd.DataFrame
        ``music`` and the columns of `evaluation.reliability`.
    """
    parts = _undamaged(heard, home, called)
    tables_of = [
        evaluation.reliability(rows, n_bins=shipping.CALIBRATION_BINS).assign(music=name)
        for name, rows in parts.items()
    ]
    columns = ["music", "bin_low", "bin_high", "n", "confidence", "accuracy"]
    return pd.concat(tables_of)[columns] if tables_of else pd.DataFrame(columns=columns)


def _undamaged(heard: StudyResult, home: pd.DataFrame, called: str) -> dict[str, pd.DataFrame]:
    parts = {called: home} if len(home) else {}
    return parts | {source: of_music(heard, source) for source in sources(heard)}


def coverage(heard: StudyResult, home: pd.DataFrame, *, called: str) -> pd.DataFrame:
    """Return accuracy among the answers, were only the surest ones given.

    Returns
    -------
    pd.DataFrame
        One row a clip of each music, the surest first: ``music, confidence, coverage``
        (share of clips that are answered down to this one), ``accuracy`` among them.
    """
    tables_of = []
    for name, rows in _undamaged(heard, home, called).items():
        sure, right = _sure_and_right(rows)
        order = np.argsort(-sure, kind="stable")
        counted = np.arange(1, len(rows) + 1)
        tables_of.append(
            pd.DataFrame(
                {
                    "music": name,
                    "confidence": sure[order],
                    "coverage": counted / len(rows),
                    "accuracy": np.cumsum(right[order]) / counted,
                }
            )
        )
    columns = ["music", "confidence", "coverage", "accuracy"]
    return pd.concat(tables_of) if tables_of else pd.DataFrame(columns=columns)


def _sure_and_right(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    sure = rows[evaluation.probability_columns(rows)].max(axis=1).to_numpy(float)
    return sure, evaluation.labels(rows) == rows["y_true"].to_numpy()


def abstention(heard: StudyResult, home: pd.DataFrame, *, n_boot: int, called: str) -> pd.DataFrame:
    """Return what is gained by not answering where the network is unsure.

    Returns
    -------
    pd.DataFrame
        ``music, at_least`` (a threshold in `THRESHOLDS`, and 0: always), ``coverage``,
        ``n_tracks`` that are answered, ``accuracy`` among them with its interval (NaN
        where none is answered), ``of_valid`` (as in `accuracy`).
    """
    table = []
    for name, rows in _undamaged(heard, home, called).items():
        sure, _ = _sure_and_right(rows)
        for threshold in (0.0, *THRESHOLDS):
            answered = rows[sure >= threshold]
            found = {"music": name, "at_least": threshold, "coverage": len(answered) / len(rows)}
            if len(answered):
                scores = evaluation.summary(answered, n_boot=n_boot)
                found |= {key: scores[key] for key in ("accuracy", "accuracy_low", "accuracy_high")}
            table.append(found | {"n_tracks": len(answered), "of_valid": _n_valid(heard, answered)})
    columns = ["music", "at_least", "coverage", "n_tracks"]
    columns += ["accuracy", "accuracy_low", "accuracy_high", "of_valid"]
    return pd.DataFrame(table, columns=columns)


def abstention_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `abstention` for readers: one row a music, one column a threshold."""
    cells = [
        "–"
        if not row["n_tracks"]
        else f"{interval(row)}, {row['n_tracks']} answered ({row['coverage']:.0%})"
        for _, row in table.iterrows()
    ]
    names = table["at_least"].map(lambda least: f"{least:g} sure" if least else "always")
    every = table[table["at_least"].eq(0)]
    heads = {
        row.music: with_valid(row.music, row.of_valid, row.n_tracks) for row in every.itertuples()
    }
    wide = table.assign(cell=cells, name=names, music=table["music"].map(heads))
    wide = wide.pivot(index="music", columns="name", values="cell")
    wide = wide.reindex(index=list(heads.values()), columns=names.unique())
    return wide.rename_axis(columns=None)


def damages(heard: StudyResult, *, n_boot: int) -> pd.DataFrame:
    """Return what each damage costs, against the same clips undamaged.

    Returns
    -------
    pd.DataFrame
        ``music, damage, n_tracks, accuracy_as_it_is, accuracy, difference`` with its
        95 % interval ``low, high`` from drawing tracks and the exact ``mcnemar_p`` (not
        corrected for the number of comparisons), ``same_answer`` (share of clips that
        get the same genre, right or wrong), ``confidence``, ``unlike`` (share of clips
        that the network is warned of as unlike its music).
    """
    runs = heard.runs.set_index(["source", "input"]) if len(heard.runs) else None
    table = []
    for source in sources(heard):
        plain = of_music(heard, source)
        names = heard.predictions.loc[heard.predictions["source"].eq(source), "input"].unique()
        for name in names:
            rows = of_music(heard, source, name)
            # A damage may make a clip audible that is too short as it is.
            rows = rows[rows["track_id"].isin(plain["track_id"])]
            same = plain.set_index("track_id").reindex(rows["track_id"]).reset_index()
            if name == AS_IS or rows.empty:
                continue
            before, after = evaluation.labels(same), evaluation.labels(rows)
            found = evaluation.paired(rows, same, n_boot=n_boot)
            del found["n"]
            sure, right = _sure_and_right(rows)
            table.append(
                {"music": source, "damage": name}
                | {"accuracy_as_it_is": _sure_and_right(same)[1].mean(), "accuracy": right.mean()}
                | found
                | {"same_answer": float((before == after).mean()), "confidence": sure.mean()}
                | {"unlike": runs.loc[(source, name), "n_unlike"] / len(rows)}
            )
    columns = ["music", "damage", "n_tracks", "accuracy_as_it_is", "accuracy", "difference"]
    columns += ["low", "high", "mcnemar_p", "same_answer", "confidence", "unlike"]
    return pd.DataFrame(table, columns=columns)


def damages_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `damages` for readers: one row a damage, one column a music."""
    cells = [
        f"{row.accuracy:.2f} ({signed(row.difference)}: {signed(row.low)} to {signed(row.high)})"
        for row in table.itertuples()
    ]
    counts = table.groupby("music", sort=False).first()
    heads = {
        music: f"{music} ({row['accuracy_as_it_is']:.2f} {AS_IS}, {row['n_tracks']} clips)"
        for music, row in counts.iterrows()
    }
    titles = table["damage"].map(damage_title)
    wide = table.assign(cell=cells, music=table["music"].map(heads), damage=titles)
    wide = wide.pivot(index="damage", columns="music", values="cell")
    wide = wide.reindex(index=titles.unique(), columns=list(heads.values())).fillna("–")
    return wide.rename_axis(columns=None)


def by_kind(heard: StudyResult, *, n_boot: int) -> pd.DataFrame:
    """Return how often the network is right on each kind of music from elsewhere.

    Returns
    -------
    pd.DataFrame
        ``kind, n_tracks, accuracy`` with its interval, ``confidence``; clips without a
        kind are ``other``. No rows where no clip has one.
    """
    columns = ["kind", "n_tracks", "accuracy", "accuracy_low", "accuracy_high", "confidence"]
    other, facts = abroad(heard), robustness.clips(heard)
    facts = facts[facts["source"].eq(other)]
    if other is None or facts["kind"].isna().all():
        return pd.DataFrame(columns=columns)
    rows = of_music(heard, other)
    kinds = facts.set_index("track_id")["kind"].reindex(rows["track_id"]).fillna("other")
    table = []
    for kind, part in rows.groupby(kinds.to_numpy(), sort=True):
        scores = evaluation.summary(part, n_boot=n_boot)
        table.append(
            {"kind": kind, "confidence": _sure_and_right(part)[0].mean()}
            | {name: scores[name] for name in columns if name in scores}
        )
    return pd.DataFrame(table, columns=columns)


def uses(outputs: Outputs, study: str) -> pd.DataFrame:
    """Return how often the network and this study looked at test parts.

    Parameters
    ----------
    outputs : Outputs
        Where the uses are counted.
    study : str
        How the names of the study's parts begin.

    Returns
    -------
    pd.DataFrame
        As `tables.uses_summary`; no rows where nothing is counted.
    """
    file = outputs.results / "test_uses.csv"
    if not file.is_file():
        return pd.DataFrame(columns=["study", "stage", "protocol", "runs", "evaluations"])
    counted = pd.read_csv(file)
    of_these = counted["study"].str.startswith((shipping.STUDY, study))
    return tables.uses_summary(counted[of_these])


def fragment(accuracy_table: pd.DataFrame, damage_table: pd.DataFrame) -> str:
    """Return the README's part on other music and damaged sound as Markdown.

    Parameters
    ----------
    accuracy_table, damage_table : pd.DataFrame
        As `accuracy` and `damages` return them, or as read from their files.
    """
    from genre_utils import words_generalization

    read = accuracy_to_read(accuracy_table).drop(columns=["macro F1", "calibration error"])
    line = words_generalization.damage_line(damage_table, most=3)
    return f"{markdown_table(read)}\n\n{line}"
