"""Sentences of the notebook on transfer learning, filled from its results."""

import pandas as pd

from genre_utils import contamination as study
from genre_utils.results import interval, signed
from genre_utils.tables_transfer import TITLES
from genre_utils.words import count_of, enumeration


def distilled_line(taught: pd.DataFrame) -> str:
    """Return what one network reaches that the ensemble taught, beside labels alone.

    Parameters
    ----------
    taught : pd.DataFrame
        As `tables_transfer.taught` returns it.
    """
    if taught.empty:
        return "No network was taught by the ensemble on this data."
    row = taught.iloc[0]
    sure = row["low"] > 0 or row["high"] < 0
    verdict = "more than luck of the tracks" if sure else "the interval holds zero"
    return (
        f"One network that the ensemble taught, **{row['title']}**, reaches "
        f"**{interval(row)}**, and with the same {count_of(row['n_seeds'], 'seed')} from labels "
        f"alone {row['accuracy_against']:.2f}, as means over seeds: a difference of "
        f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])}), {verdict}."
    )


def looks_line(uses: pd.DataFrame) -> str:
    """Return how often headlines and members were scored on the test part, whatever came of it.

    Parameters
    ----------
    uses : pd.DataFrame
        ``study, run_id, model, stage, times``: what `experiments.count_test_use` has counted.
    """
    final = uses[uses["stage"].eq("final") & uses["study"].isin(["07_headlines", "07_members"])]
    counted = final.groupby(["study", "model"])["times"].sum()
    headlines = counted[counted.index.get_level_values("study") == "07_headlines"]
    members = counted[counted.index.get_level_values("study") == "07_members"]
    if headlines.empty:
        return "No headline has been scored on a test part here."
    if max(headlines.max(), members.max()) == 1:
        return "Each headline and each member has been scored on the test part once."
    known = headlines[headlines.index.get_level_values("model").isin(TITLES)]
    each = enumeration(
        f"*{TITLES[model]}* {count_of(times, 'time')}" for (_, model), times in known.items()
    )
    earlier = headlines.sum() - known.sum()
    also = f", and {count_of(earlier, 'time')} what is no headline any more" if earlier else ""
    changed = final.groupby(["study", "model"])["run_id"].nunique().max() > 1
    how = (
        "Members and rules changed while this study grew, and what was changed was scored again"
        if changed
        else "Some were scored again with nothing changed"
    )
    return (
        f"{how}: {each}{also}; {count_of(len(members), 'member')} {members.sum()} times together. "
        "Shown is what came last. Each was chosen inside the training part, none by its test "
        "number; but the more often one looks, the likelier is a number that is high by luck."
    )


def replayed_line(table: pd.DataFrame) -> str:
    """Return how well the rebuilt MSD_musicnn gives the published scores again.

    Parameters
    ----------
    table : pd.DataFrame
        As `transfer.replayed` returns it; empty where that could not be compared.
    """
    if table.empty:
        return (
            "Whether the rebuilt MSD_musicnn gives the published scores again can be compared "
            "where its weights, the published taggrams and some of GTZAN's sound are at hand."
        )
    return (
        f"On {count_of(len(table), 'clip')} with sound, the rebuilt MSD_musicnn's scores lie "
        f"{table['difference'].mean():.4f} from the published ones on average, on a scale from 0 "
        f"to 1; a track's mean scores correlate at {table['correlation'].min():.3f} at least."
    )


def contamination_answer(
    accuracy: pd.DataFrame,
    rebuilt: pd.DataFrame | None = None,
    jumps: pd.DataFrame | None = None,
    *,
    model: str = "svm",
) -> str:
    """Return what the case study of genre-sorted batches found.

    Parameters
    ----------
    accuracy, rebuilt, jumps : pd.DataFrame
        As `contamination.accuracy`, `contamination.rebuilt` and `contamination.batch_jumps`
        return them; the last two where they could be made.
    model : str
        Name of the classifier.
    """
    rows = accuracy[accuracy["model"].eq(model) & accuracy["stage"].eq("inner")]
    by = rows.set_index(["input", "source"])
    parts = []
    if jumps is not None and len(jumps):
        layers = jumps[~jumps["representation"].str.contains("control")]
        control = jumps[jumps["representation"].str.contains("control")].iloc[0]
        parts.append(
            f"The published features change at every {study.BATCH_SIZE}th row, in "
            f"{layers['period'].eq(study.BATCH_SIZE).sum()} of {len(layers)} layers more than at "
            f"any other period (p at most {layers['p_value'].max():.2g}); the MFCC statistics of "
            f"the same tracks do not (p = {control['p_value']:.2g})."
        )
    if rebuilt is not None and len(rebuilt):
        last = rebuilt[rebuilt["layer"].eq(rebuilt["layer"].max())].set_index("statistics")
        parts.append(
            f"Rebuilt on {last['n_tracks'].iloc[0]} clips, the last layer correlates "
            f"{last.loc['batch by batch', 'correlation']:.2f} with the published one batch by "
            f"batch, {last.loc[study.FIXED, 'correlation']:.2f} with fixed statistics of training "
            f"clips, and {last.loc['one at a time', 'correlation']:.2f} one clip at a time."
        )
    for name in (study.CONVNET_SOUND, study.CONVNET_PICTURES):
        if (name, study.SORTED) in by.index:
            parts.append(_inflation(by, name))
    if (study.PUBLISHED_CONVNET, study.PUBLISHED) in by.index:
        first = by.loc[(study.PUBLISHED_CONVNET, study.PUBLISHED)]
        undone = by.loc[(study.PUBLISHED_CONVNET, study.UNDONE)]
        parts.append(
            f"The published features score {first['accuracy']:.2f} there; standardised again "
            f"batch by batch, which takes what the batches' levels tell and some honest "
            f"differences between genres with it, {undone['accuracy']:.2f}."
        )
    simple = [name for name in (study.MFCC, study.TABULAR) if (name, study.SORTED) in by.index]
    if simple:
        changes = ", ".join(
            f"{signed(by.loc[(name, study.SORTED), 'gain'])} ({name})" for name in simple
        )
        parts.append(
            "Finished features that are standardised in the same sorted batches change by "
            f"{changes}: standardising as such brings no gain; the network's gain is in what "
            "it computes from the values that its layers have normalised."
            if all(by.loc[(name, study.SORTED), "gain"] < 0 for name in simple)
            else f"Finished features that are standardised in the same sorted batches change by "
            f"{changes}."
        )
    return " ".join(parts) if parts else "Nothing of this can be measured on this data."


def _inflation(by: pd.DataFrame, name: str) -> str:
    ordered, shuffled = by.loc[(name, study.SORTED)], by.loc[(name, study.SHUFFLED)]
    fixed = by.loc[(name, study.FIXED)]
    caveat = (
        " Tracks were folded at random here, since some genres have a single artist among the "
        "clips, and so few tracks leave this undecided."
        if fixed["protocol"] == "track_random"
        else ""
    )
    return (
        f"**{name[0].upper()}{name[1:]}**, the same network and classifier on "
        f"{fixed['n_tracks']} tracks outside the test part: {ordered['accuracy']:.2f} in "
        f"genre-sorted batches, {shuffled['accuracy']:.2f} in shuffled ones, "
        f"{fixed['accuracy']:.2f} with fixed statistics. The order of the files alone is worth "
        f"{signed(ordered['gain'])} (95 % interval, resampling tracks: "
        f"{signed(ordered['gain_low'])} to {signed(ordered['gain_high'])}).{caveat}"
    )


def contamination_alt(accuracy: pd.DataFrame, *, model: str = "svm") -> str:
    """Return the alt text of `plots_transfer.contamination`."""
    rows = accuracy[accuracy["model"].eq(model) & accuracy["stage"].eq("inner")]
    parts = [
        f"{name}: " + ", ".join(f"{row.accuracy:.2f} ({row.source})" for row in found.itertuples())
        for name, found in rows.groupby("input", sort=False)
    ]
    return f"Accuracy by input and by what normalises it. {'; '.join(parts)}."
