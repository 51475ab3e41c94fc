"""Sentences on the study's headlines and on new music, filled from results."""

import pandas as pd

from genre_utils import stacking
from genre_utils.results import interval, signed
from genre_utils.tables_transfer import title


def headline_answer(
    headlines: pd.DataFrame, anchors: pd.DataFrame, *, comparisons: pd.DataFrame | None = None
) -> str:
    """Return the two headline numbers, beside what others published.

    Parameters
    ----------
    headlines, anchors : pd.DataFrame
        As `tables_transfer.headlines` and `tables_transfer.anchors` return them.
    comparisons : pd.DataFrame, optional
        As `tables_transfer.against` returns it.
    """
    done = headlines[headlines["accuracy"].notna()].set_index("model")
    parts = []
    for model, how in (
        (stacking.SCRATCH, "**Without pretraining**"),
        (stacking.PRETRAINED, "**With pretraining**"),
    ):
        if model in done.index:
            parts.append(f"{how}: **{interval(done.loc[model])}**{_fine_print(done.loc[model])}.")
        else:
            parts.append(f"{how}: no number on this data{_why(headlines, model)}.")
    if stacking.PICTURES in done.index:
        parts.append(
            "Where the pretrained networks see pictures only and hear no sound: "
            f"{interval(done.loc[stacking.PICTURES])}."
        )
    parts.append(_published(anchors))
    if comparisons is not None:
        parts.append(_gain(comparisons))
    return " ".join(part for part in parts if part)


def _fine_print(row: pd.Series) -> str:
    return (
        f" on {row['n_tracks']:.0f} test tracks of {row['n_artists']:.0f} artists (resampling "
        f"whole artists instead of tracks: {row['accuracy_artist_low']:.2f}–"
        f"{row['accuracy_artist_high']:.2f}; the largest artist has {row['largest_artist']:.0f} "
        f"tracks; macro F1 {interval(row, 'macro_f1')})"
    )


def _why(headlines: pd.DataFrame, model: str) -> str:
    rows = headlines[headlines["model"] == model]
    return f" ({rows['reason'].iloc[0]})" if len(rows) else ""


def _published(anchors: pd.DataFrame) -> str:
    rows = [
        f"{row.accuracy:.3g} ({row.system}; pretrained on {row.pretrained_on}; {row.caveat})"
        for row in anchors.itertuples()
    ]
    return f"Published on the same split: {'; '.join(rows)}." if rows else ""


def _gain(comparisons: pd.DataFrame) -> str:
    rows = comparisons[
        (comparisons["title"] == title(stacking.PRETRAINED))
        & (comparisons["against"] == title(stacking.SCRATCH))
    ]
    if rows.empty:
        return ""
    return f"Pretraining adds {_difference(rows.iloc[0])}."


def _difference(row: pd.Series) -> str:
    return (
        f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])}; McNemar: "
        f"p = {row['mcnemar_p']:.2g})"
    )


def against_line(comparisons: pd.DataFrame) -> str:
    """Return how each headline compares with the baselines, from `tables_transfer.against`."""
    if comparisons.empty:
        return "There are no stored baselines to compare with; run notebooks 03 and 05 first."
    parts = [
        f"{row['title']} against {row['against']}: {_difference(row)}"
        for _, row in comparisons.iterrows()
    ]
    return f"On the same test tracks: {'; '.join(parts)}."


def weights_line(members: pd.DataFrame) -> str:
    """Return which members carry the headlines, from `tables_transfer.members`."""
    parts = []
    for model in (stacking.SCRATCH, stacking.PRETRAINED, stacking.PICTURES):
        if model in members:
            rows = members[members[model] > 0].sort_values(model, ascending=False)
            listed = ", ".join(f"{row['title']} ({row[model]:.2f})" for _, row in rows.iterrows())
            parts.append(f"**{title(model)}**: {listed}")
    return f"Weights, chosen inside the training part. {'; '.join(parts)}."


def choice_line(members: pd.DataFrame) -> str:
    """Return what the choice among members rests on, from `tables_transfer.members`."""
    inside = members.reset_index(drop=True)
    first = inside.iloc[0]
    rank = inside["test_accuracy"].idxmax()
    best = inside.loc[rank]
    text = (
        f"Inside the training part, the first of {len(inside)} members is {first['title']} "
        f"({first['inner_accuracy']:.2f}); on the test part it reaches "
        f"{first['test_accuracy']:.2f}."
    )
    if rank:
        text += (
            f" The one that is best there, {best['title']} ({best['test_accuracy']:.2f}), is "
            f"number {rank + 1} inside ({best['inner_accuracy']:.2f}), and nothing inside could "
            "have told it. A few points more or less are chance on either side. To choose by the "
            "test part would be to choose its chance, and to call it accuracy."
        )
    return text


def members_alt(members: pd.DataFrame) -> str:
    """Return the alt text of the figure of the members."""
    best = members.iloc[0]
    return (
        f"Accuracy of {len(members)} members inside the training part and on the test part. Best "
        f"inside: {best['title']} ({best['inner_accuracy']:.2f}, on the test part "
        f"{best['test_accuracy']:.2f})."
    )


def headlines_alt(headlines: pd.DataFrame, anchors: pd.DataFrame) -> str:
    """Return the alt text of the figure of headlines and anchors."""
    ours = [
        f"{row['title']}: {interval(row)}"
        for _, row in headlines[headlines["accuracy"].notna()].iterrows()
    ]
    theirs = [f"{row.system}: {row.accuracy:.3g}" for row in anchors.itertuples()]
    return (
        f"Accuracy on the fault-filtered test. {'; '.join(ours)}. Published: {'; '.join(theirs)}."
    )


def shared_artist_line(shared: pd.DataFrame, without: pd.DataFrame) -> str:
    """Return what artists on both sides change.

    Parameters
    ----------
    shared, without : pd.DataFrame
        As `tables_transfer.shared_artists` and `tables_transfer.without_shared_artists`
        return them.
    """
    if shared.empty:
        return "No known artist stands in both the training and the test part."
    names = ", ".join(
        f"{row.artist_id} ({row.n_train} and {row.n_test} tracks)" for row in shared.itertuples()
    )
    changes = [
        f"{name}: {interval(rows.iloc[0])} becomes {interval(rows.iloc[-1])}"
        for name, rows in without.groupby("title", sort=False)
    ]
    return (
        f"In both the training and the test part: {names}. Without their test tracks, "
        f"{'; '.join(changes)}."
    )


def new_music_line(table: pd.DataFrame) -> str:
    """Return how well the genres of new music are named, from `tables_transfer.new_music`."""
    if table.empty:
        return "There is no music from elsewhere here, so nothing can be said about it."
    parts = []
    for name, rows in table.groupby("title", sort=False):
        by = rows.set_index("answers")
        parts.append(
            f"{name} {interval(by.loc['all genres'])} of all genres and "
            f"{interval(by.loc['genres there are'])} if only the genres that are there may be named"
        )
    n_tracks = int(table["n_tracks"].max())
    return f"On {n_tracks} tracks from elsewhere: {'; '.join(parts)}."


def new_music_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure on new music."""
    return f"Accuracy on music from elsewhere, with intervals. {new_music_line(table)}"


def availability_line(table: pd.DataFrame) -> str:
    """Return which pretrained networks can be had, from `models.pretrained.availability`."""
    here = table.loc[table["available"].astype(bool), "title"]
    gone = table.loc[~table["available"].astype(bool), "title"]
    parts = []
    if len(here):
        parts.append(f"Can be had: {', '.join(here)}.")
    if len(gone):
        parts.append(
            f"**Left out, since their weights are not available here:** {', '.join(gone)}. With a "
            "connection they are fetched by themselves."
        )
    return " ".join(parts)
