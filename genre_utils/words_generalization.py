"""Sentences on other music and damaged sound, filled from their tables."""

import pandas as pd

from genre_utils.results import interval, signed
from genre_utils.tables_generalization import EVERY, SHARED, damage_title, with_valid
from genre_utils.words import count_of, enumeration

NOTHING = (
    "Nothing was heard: there is no sound here of a genre that the network knows, and nothing is "
    "stored."
)
NO_OTHER = "There is no music from elsewhere here, so nothing can be said about it."

_BY_LUCK = "Even without any effect, about one interval in twenty misses zero"


def _change(row: pd.Series) -> str:
    """Return a difference with its interval from drawing artists, too, where it has one."""
    text = f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])}"
    if pd.notna(row.get("artist_low")):
        text += f"; drawing artists {signed(row['artist_low'])} to {signed(row['artist_high'])}"
    return f"{text})"


def _chose_nothing(table: pd.DataFrame) -> pd.Series:
    """Tell which rows are of music that has no track of the validation part."""
    return table["music"].map(table.groupby("music")["of_valid"].max()).eq(0)


def _said_of_all(parts: pd.Series, chose_nothing: pd.Series) -> str:
    """Say something of music that played no part in choices, and then of that which did."""
    heads = {
        True: "On music that played no part in choosing anything",
        False: "Validation tracks chose the epoch and the temperature, which flatters the network "
        "on music that has them",
    }
    told = [(heads[which], parts[chose_nothing == which]) for which in heads]
    return " ".join(f"{head}: {'; '.join(said)}." for head, said in told if len(said))


def heard_line(table: pd.DataFrame) -> str:
    """Return what was heard, from `tables_generalization.what_was_heard`."""
    if table.empty:
        return NOTHING
    parts = []
    for row in table.itertuples():
        parts_of = [f"{row.of_test} of the test part"] if row.of_test else []
        parts_of += [f"{row.of_valid} of the validation part"] if row.of_valid else []
        of = f" ({enumeration(parts_of)})" if parts_of else ""
        left = f"; left out: {row.left_out}" if row.left_out else ""
        parts.append(f"**{row.music}**: {row.clips} clips{of}, {row.minutes:.0f} minutes{left}")
    return f"{'. '.join(parts)}."


def accuracy_line(table: pd.DataFrame) -> str:
    """Return how the shipped network does elsewhere, from `tables_generalization.accuracy`."""
    away = table[table["answers"].eq(SHARED) & ~table["music"].str.endswith("same genres")]
    if away.empty:
        return NO_OTHER
    five = away.iloc[-1]
    ten = table[table["music"].eq(five["music"]) & table["answers"].eq(EVERY)].iloc[0]
    text = (
        f"On the {ten['n_tracks']:.0f} tracks of {five['music']} the shipped network is right in "
        f"**{interval(ten)}** when it may name any genre (guessing: {ten['chance']:.2f}), and in "
        f"**{interval(five)}** when only the {1 / five['chance']:.0f} genres that are there count "
        f"(guessing: {five['chance']:.2f})."
    )
    if pd.notna(five["accuracy_artist_low"]):
        drawn = " and ".join(
            f"{row['accuracy_artist_low']:.2f}–{row['accuracy_artist_high']:.2f}"
            for row in (ten, five)
        )
        text += (
            f" These intervals draw tracks; drawing whole artists ({five['n_artists']:.0f} of "
            f"them) gives {drawn}."
        )
    return text


def loss_line(table: pd.DataFrame) -> str:
    """Return what is lost away from home, from `tables_generalization.home_and_away`."""
    if table.empty:
        return NO_OTHER
    parts = []
    for i, (name, rows) in enumerate(table.groupby("title", sort=False)):
        by = rows.set_index("answers")
        every, shared = (
            _change(by.loc[answers]) if i == 0 else signed(by.loc[answers, "difference"])
            for answers in (EVERY, SHARED)
        )
        where = " among all genres", " among those that are there"
        parts.append(
            f"{name} {every}{where[0]} and {shared}{where[1]}"
            if i == 0
            else f"{name} {every} and {shared}"
        )
    return (
        f"On the same genres, against the test part at home: {'; '.join(parts)}. "
        f"{_how_many_lost(table)}"
    )


def _how_many_lost(table: pd.DataFrame) -> str:
    n_tracks, n_artists = (int((table[high] < 0).sum()) for high in ("high", "artist_high"))
    text = (
        f"In {n_tracks} of these {len(table)} comparisons the whole interval lies below zero when "
        "tracks are drawn"
    )
    if table["artist_high"].isna().all():
        return f"{text}. Who the artists are is not known, so these intervals are too narrow."
    return (
        f"{text}, and in {n_artists} when whole artists are, as they should be: tracks of one "
        "artist are alike. The others cannot tell a loss from luck on this little music. "
        f"{_BY_LUCK}; and all networks heard the same tracks."
    )


def loss_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure of home and away."""
    if table.empty:
        return f"An empty chart. {NO_OTHER}"
    parts = [
        f"{row.title}, {row.answers}: {row.home:.2f} at home, {row.away:.2f} elsewhere"
        for row in table.itertuples()
    ]
    return f"Accuracy with intervals, at home and elsewhere. {'; '.join(parts)}."


def genres_line(table: pd.DataFrame) -> str:
    """Return which genres are recognised, from `tables_generalization.by_genre`."""
    if table.empty:
        return NOTHING
    if "recall" not in table:
        return NO_OTHER
    rows = table.sort_values("recall", ascending=False)
    best, worst = rows.iloc[0], rows.iloc[-1]
    taken = worst["mistaken_for"]
    text = (
        f"Elsewhere **{best['genre']}** is recognised best ({best['recall']:.2f} of "
        f"{best['n_tracks']:.0f} tracks) and **{worst['genre']}** least ({worst['recall']:.2f} of "
        f"{worst['n_tracks']:.0f}"
        + (f", most often taken for {taken})." if isinstance(taken, str) else ").")
    )
    over = rows.assign(gap=rows["confidence"] - rows["recall"]).sort_values("gap").iloc[-1]
    if over["gap"] > 0:
        text += (
            f" It is most overconfident on {over['genre']}: {over['confidence']:.2f} sure on "
            f"average, {over['recall']:.2f} right."
        )
    return text


def genres_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure by genre."""
    value = "recall" if "recall" in table else "recall_home"
    if table.empty:
        return "An empty chart: there are no predictions by genre."
    parts = [
        f"{row['genre']} {row[value]:.2f} at a confidence of "
        f"{row[value.replace('recall', 'confidence')]:.2f}"
        for _, row in table.sort_values(value, ascending=False).iterrows()
    ]
    return f"Recall with intervals beside mean confidence, by genre. {'; '.join(parts)}."


def calibration_line(table: pd.DataFrame) -> str:
    """Return how far confidence can be trusted, from `tables_generalization.accuracy`."""
    rows = table[table["answers"].eq(EVERY) & ~table["music"].str.endswith("same genres")]
    if rows.empty:
        return NOTHING
    parts = [
        f"{with_valid(row.music, row.of_valid, row.n_tracks)} {row.confidence:.2f} sure on "
        f"average, {row.accuracy:.2f} right, calibration error {row.calibration_error:.2f}"
        for row in rows.itertuples()
    ]
    return _said_of_all(pd.Series(parts, index=rows.index), _chose_nothing(rows))


def calibration_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the reliability diagram, from `tables_generalization.accuracy`."""
    return f"Reliability diagram: confidence against accuracy by music. {calibration_line(table)}"


def abstention_line(table: pd.DataFrame, *, at_least: float = 0.7) -> str:
    """Return what not answering gains, from `tables_generalization.abstention`."""
    if table.empty:
        return NOTHING
    always = table[table["at_least"].eq(0)]
    sure = table[table["at_least"].eq(at_least)].set_index("music")
    parts = []
    for row in always.itertuples():
        then = sure.loc[row.music]
        found = (
            f"{then['accuracy']:.2f} on the {count_of(then['n_tracks'], 'clip')} "
            f"({then['coverage']:.0%}) that are answered, instead of {row.accuracy:.2f}"
            if then["n_tracks"]
            else "nothing is answered"
        )
        parts.append(f"{with_valid(row.music, row.of_valid, row.n_tracks)} {found}")
    said = _said_of_all(pd.Series(parts, index=always.index), _chose_nothing(always))
    return f"Accuracy if only answers are given that are at least {at_least:g} sure. {said}"


def coverage_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure of coverage, from `tables_generalization.abstention`."""
    return (
        "Accuracy among the answers against the share of clips answered, the surest first, one "
        f"line a music. {abstention_line(table)}"
    )


def damage_line(table: pd.DataFrame, *, most: int = 4) -> str:
    """Return which damages hurt and which help, from `tables_generalization.damages`.

    Parameters
    ----------
    table : pd.DataFrame
        The table.
    most : int
        How many damages to name for each music, the worst first.
    """
    if table.empty:
        return NOTHING
    parts = []
    for music, rows in table.groupby("music", sort=False):
        rows = rows.sort_values("difference")
        hurt, better = rows[rows["high"] < 0], rows[rows["low"] > 0]
        named = [_told(row) for _, row in hurt.head(most).iterrows()]
        text = f"On **{music}** ({rows['n_tracks'].max()} clips) "
        text += (
            f"{len(hurt)} of {len(rows)} damages cost accuracy, with an interval below zero"
            f"{', first of all' if len(hurt) > most else ''}: {'; '.join(named)}"
            if len(hurt)
            else f"no interval of {len(rows)} damages lies below zero"
        )
        if not len(hurt) and rows["difference"].iloc[0] < 0:
            text += f"; the largest loss is {_told(rows.iloc[0])}"
        if len(better):
            text += f". Gained: {'; '.join(_told(row) for _, row in better.iterrows())}"
        parts.append(text)
    return f"{'. '.join(parts)}. {_BY_LUCK}; these are {len(table)}."


def _told(row: pd.Series) -> str:
    return f"{damage_title(row['damage'])}, {_change(row)}"


def steady_line(table: pd.DataFrame) -> str:
    """Return which damages change fewest answers, from `tables_generalization.damages`."""
    if table.empty:
        return NOTHING
    same = table.groupby("damage", sort=False)["same_answer"].min().sort_values(ascending=False)
    same.index = same.index.map(damage_title)
    named = [f"{damage}, {share:.0%} at least" for damage, share in same.head(3).items()]
    return (
        f"The answer, right or wrong, stays the same most often after these: {'; '.join(named)}. "
        f"Least often after this: {same.index[-1]}, {same.iloc[-1]:.0%} on the music that it hits "
        "hardest."
    )


def warned_line(table: pd.DataFrame) -> str:
    """Return whether the warning against strange sound helps, from `damages`."""
    if table.empty:
        return ""
    worst = table.loc[table["difference"].idxmin()]
    warned = table.loc[table["unlike"].idxmax()]
    return (
        f"The damage that costs most, {damage_title(worst['damage'])} on {worst['music']}, leaves "
        f"the network {worst['confidence']:.2f} sure at an accuracy of {worst['accuracy']:.2f}; "
        'the warning "sounds unlike the music that the network learnt from" is given for '
        f"{worst['unlike']:.0%} of these clips. It is given most often after this: "
        f"{damage_title(warned['damage'])}, {warned['unlike']:.0%} on {warned['music']}."
    )


def damages_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure of damages."""
    return f"Change of accuracy by damage, with intervals, one panel a music. {damage_line(table)}"


def kinds_line(table: pd.DataFrame) -> str:
    """Return how kinds of music differ, from `tables_generalization.by_kind`."""
    if table.empty:
        return (
            "The music from elsewhere is not told apart by kind: there is no `tracks.csv` with a "
            "column `kind` beside it."
        )
    parts = [
        f"{row['kind']} {interval(row)} of {row['n_tracks']} tracks, {row['confidence']:.2f} sure"
        for _, row in table.sort_values("accuracy", ascending=False).iterrows()
    ]
    return f"By kind, with intervals from drawing tracks: {'; '.join(parts)}."


def bias_line(genre_table: pd.DataFrame) -> str:
    """Return whom the mistakes fall on, from `tables_generalization.by_genre`."""
    value = "recall" if "recall" in genre_table else "recall_home"
    rows = genre_table.dropna(subset=value).sort_values(value)
    if len(rows) < 2:
        return NOTHING
    worst, best = rows.iloc[0], rows.iloc[-1]
    return (
        f"Here {best['genre']} is recognised in {best[value]:.0%} of its tracks, {worst['genre']} "
        f"in {worst[value]:.0%}. Whoever sorts, pays or recommends by this network serves the "
        "musicians of the one and not those of the other."
    )


def artists_line(dataset) -> str:
    """Return how few voices stand for a genre, from a data set's track table."""
    tracks = dataset.tracks.dropna(subset="artist_id")
    if tracks.empty:
        return "Who the artists are is not known here."
    counts = tracks.groupby("genre")["artist_id"].value_counts()
    top = counts.groupby("genre").max() / tracks["genre"].value_counts()
    n_artists = tracks.groupby("genre")["artist_id"].nunique()
    genre = top.idxmax()
    return (
        f"In {dataset.title}, one artist alone has {top[genre]:.0%} of the {genre} tracks whose "
        f"artist is known, and all there is of {n_artists.idxmin()} is "
        f"{count_of(n_artists.min(), 'artist')}."
    )


def _luck(rows: pd.DataFrame) -> str:
    """Say whether differences may be luck of the tracks or of the artists.

    Nothing is said where artists are not known.
    """
    if rows["artist_high"].isna().any():
        return ""
    by_tracks, by_artists = (
        (rows[f"{drawn}high"] < 0) | (rows[f"{drawn}low"] > 0) for drawn in ("", "artist_")
    )
    n_sure = int((by_tracks & by_artists).sum())
    if not n_sure:
        few = "artists" if by_tracks.all() else "tracks and artists"
        return f": with so few {few}, luck alone could do it"
    which = ": more" if n_sure == len(rows) else f", {n_sure} of them more"
    return f"{which} than luck, whether tracks or artists are drawn"


def answer(accuracy: pd.DataFrame, loss: pd.DataFrame, damages: pd.DataFrame) -> str:
    """Return the answer of the notebook.

    Parameters
    ----------
    accuracy, loss, damages : pd.DataFrame
        As `tables_generalization` has them: ``accuracy``, ``home_and_away``, ``damages``.
    """
    parts = [accuracy_line(accuracy)]
    ours = loss[loss["title"].eq(loss["title"].iloc[0])] if len(loss) else loss
    if len(ours):
        by = ours.set_index("answers")
        parts.append(
            f"Against the same genres at home that is {_change(by.loc[EVERY])} among all genres, "
            f"and {_change(by.loc[SHARED])} among those that are there{_luck(ours)}."
        )
    parts.append(damage_line(damages, most=2))
    return " ".join(part for part in parts if part)
