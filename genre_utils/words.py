"""Sentences whose numbers come from results: answers, and alt texts of figures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from genre_utils import splits
from genre_utils.models.classical import CLASSICAL
from genre_utils.results import brief, interval, signed


def enumeration(names) -> str:
    """Return names as a sentence lists them: one, two and three."""
    names = [str(name) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count_of(number: float, noun: str) -> str:
    """Return a number of things: 1 track, 2,000 tracks."""
    return f"{number:,.0f} {noun}{'' if round(number) == 1 else 's'}"


def _rungs(ladder: pd.DataFrame, model: str) -> pd.Series:
    rows = ladder[ladder["model"] == model].set_index("protocol")["accuracy"].dropna()
    return rows.reindex([protocol for protocol in splits.PROTOCOLS if protocol in rows.index])


def _chain(rungs: pd.Series) -> str:
    return ", ".join(f"{value:.2f} under `{protocol}`" for protocol, value in rungs.items())


def ladder_alt(ladder: pd.DataFrame, how: str) -> str:
    """Return the alt text of a leakage ladder."""
    if ladder.empty:
        return f"An empty chart: accuracy by protocol, {how}, is not possible on this data."
    parts = [
        f"{rows['title'].iloc[0]}: {_chain(_rungs(ladder, model)).replace('`', '')}"
        for model, rows in ladder.groupby("model", sort=False)
    ]
    return f"Line chart of accuracy by protocol, {how}. {'; '.join(parts)}."


def ladder_fall(ladder: pd.DataFrame, fair: pd.DataFrame, *, model: str) -> str:
    """Return what the two ladders say about one model."""
    if ladder.empty:
        return "The ladder cannot be climbed on this data."
    plain, same = _rungs(ladder, model), _rungs(fair, model)
    text = (
        f"**{CLASSICAL[model].title}** scores {_chain(plain)}: a fall of "
        f"{plain.iloc[0] - plain.iloc[-1]:.2f}."
    )
    if len(same) > 1:
        text += (
            f" With the same test items and the same training size it goes from "
            f"{same.iloc[0]:.2f} to {same.iloc[-1]:.2f}: a fall of "
            f"{same.iloc[0] - same.iloc[-1]:.2f} that neither sample size nor the choice of test "
            "items can explain."
        )
    return text


def models_alt(accuracy: pd.DataFrame) -> str:
    """Return the alt text of the figure of all models."""
    best = accuracy.dropna(subset="accuracy").sort_values("accuracy").groupby("protocol").last()
    parts = [
        f"{protocol}: {best.loc[protocol, 'accuracy']:.2f} ({best.loc[protocol, 'title']})"
        for protocol in splits.PROTOCOLS
        if protocol in best.index
    ]
    return f"Accuracy of every model by protocol. Highest value of each: {', '.join(parts)}."


def confusion_alt(matrices: Mapping[str, pd.DataFrame]) -> str:
    """Return the alt text of confusion matrices; title → counts."""
    parts = [
        f"{title}: {np.diag(counts).sum() / counts.to_numpy().sum():.2f} on the diagonal"
        for title, counts in matrices.items()
    ]
    return f"Confusion matrices. {'; '.join(parts)}."


def recall_alt(recall: pd.DataFrame) -> str:
    """Return the alt text of the recall figure."""
    ordered = recall.sort_values("recall")
    worst, best = ordered.iloc[0], ordered.iloc[-1]
    return (
        f"Recall by genre with intervals, beside the mean confidence. Lowest recall: "
        f"{worst['genre']} ({worst['recall']:.2f}), highest: {best['genre']} "
        f"({best['recall']:.2f})."
    )


def importance_alt(importance: pd.DataFrame) -> str:
    """Return the alt text of the importance figure."""
    parts = [
        f"{title}: {', '.join(rows.nlargest(3, 'drop')['feature'])}"
        for title, rows in importance.groupby("title", sort=False)
    ]
    return f"Accuracy lost when a feature is shuffled. Largest losses: {'; '.join(parts)}."


def importance_title(importance: pd.DataFrame) -> str:
    """Return on which test items permutation importance was measured, as a title."""
    if importance.empty:
        return "Permutation importance"
    row = importance.iloc[0]
    return (
        f"Permutation importance on the {count_of(row['n_test'], 'test item')} of "
        f"{row['protocol']}, {row['segment_s']:g} s each"
    )


def importance(importance: pd.DataFrame) -> str:
    """Return which single features the models need, and what bars at or below zero mean."""
    if importance.empty:
        return "Nothing was shuffled on this data."
    parts = []
    for title, rows in importance.groupby("title", sort=False):
        needed, top = rows[rows["drop_low"] > 0], rows.loc[rows["drop"].idxmax()]
        part = (
            f"**{title}**: {len(needed) or 'none'} of the {count_of(len(rows), 'feature')} "
            f"{'has' if len(needed) == 1 else 'have'} a line wholly above zero; the largest loss "
            f"is {top['drop']:.3f} (`{top['feature']}`)"
        )
        useless = rows[rows["drop"] <= 0]
        if len(useless):
            lowest = useless.loc[useless["drop"].idxmin()]
            part += (
                f", and for {len(useless)} the loss is zero or below (lowest: "
                f"{signed(lowest['drop'], 3)}, `{lowest['feature']}`)"
            )
        parts.append(part)
    text = f"{'; '.join(parts)}."
    if importance["drop"].le(0).any():
        text += (
            " A loss of zero or below says that the model answers as well or better when the "
            "feature is shuffled: others say the same, or what was learned of it does not hold for "
            "the test tracks."
        )
    return (
        f"{text} One test item more or less is {1 / importance['n_test'].max():.4f}; the lines "
        "show the luck of the shuffle, not that of the test items."
    )


def validation(accuracy: pd.DataFrame, *, segment_s: float) -> str:
    """Return how far validation accuracy lies from test accuracy under each protocol.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables.accuracy`.
    segment_s : float
        At which segment length, in seconds; scored per segment.
    """
    rows = accuracy[(accuracy["segment_s"] == segment_s) & (accuracy["unit"] == "segment")]
    rows = rows.assign(gap=rows["validation_accuracy"] - rows["accuracy"]).dropna(subset="gap")
    if rows.empty:
        return "There is nothing to compare on this data."
    by_protocol = dict(tuple(rows.groupby("protocol")["gap"]))
    gaps = {name: by_protocol[name] for name in splits.PROTOCOLS if name in by_protocol}
    listed = enumeration(
        f"{of.gt(0).sum()} of {count_of(len(of), 'model')} under `{protocol}` "
        f"({signed(of.min())} to {signed(of.max())})"
        for protocol, of in gaps.items()
    )
    text = (
        "Validation accuracy was too high a forecast of the test (in brackets: validation minus "
        f"test) for {listed}."
    )
    if len(gaps) == 1:
        return text
    missed = pd.Series({protocol: of.abs().mean() for protocol, of in gaps.items()}).sort_values()
    return (
        f"{text} It forecasts `{missed.index[0]}` best (off by {missed.iloc[0]:.2f} on average) "
        f"and `{missed.index[-1]}` worst (off by {missed.iloc[-1]:.2f})."
    )


def against_baseline(table: pd.DataFrame, *, baseline: str) -> str:
    """Return whether any model beats a baseline on the same tracks.

    Parameters
    ----------
    table : pd.DataFrame
        As returned by `tables.against_baseline`.
    baseline : str
        Name of the model compared with.
    """
    if table.empty:
        return "There is no other model to compare with."
    tuned = {model.title for model in CLASSICAL.values() if model.tuned}

    def listed(rows):
        return enumeration(
            f"{row.title}{' (tuned)' if row.title in tuned else ''} {signed(row.difference)} "
            f"({signed(row.low)} to {signed(row.high)})"
            for row in rows.sort_values("difference", ascending=False).itertuples()
        )

    better, worse = table[table["low"] > 0], table[table["high"] < 0]
    best = table[table["difference"] == table["difference"].max()]
    tracks = count_of(table["n_tracks"].max(), "track")
    reference = f"{CLASSICAL[baseline].title} on the same {tracks}"
    if len(better):
        text = (
            f"Better than {reference}, with the whole interval above zero: {listed(better)}. The "
            f"intervals are not widened for {count_of(len(table), 'comparison')}."
        )
    else:
        text = (
            f"No: not one of {count_of(len(table), 'model')} has an interval above zero against "
            f"{reference}; the highest difference is {listed(best)}."
        )
    if worse.empty:
        return text
    return f"{text} Worse, with the whole interval below zero: {listed(worse)}."


def counted_uses(uses: pd.DataFrame, runs: pd.DataFrame, *, study: str) -> str:
    """Return how often a study's runs looked at a test part, those not shown any more among them.

    Parameters
    ----------
    uses : pd.DataFrame
        What `experiments.count_test_use` has counted.
    runs : pd.DataFrame
        The runs that the study shows.
    study : str
        Name that its predictions are stored under.
    """
    setting = ["model", "segment_s", "source", "protocol", "stage", "fold", "seed"]
    uses = uses[uses["study"] == study]
    if uses.empty:
        return "How often these runs looked at a test part has not been counted here."
    shown = uses["run_id"].isin(runs["run_id"])
    same = pd.MultiIndex.from_frame(uses[setting]).isin(pd.MultiIndex.from_frame(runs[setting]))
    kinds = {
        "by these runs": shown,
        "by earlier versions of them (run again when features, split or recipe changed)": ~shown
        & same,
        "by runs of settings that the study no longer has": ~shown & ~same,
    }
    looks = {how: uses.loc[rows, "times"].sum() for how, rows in kinds.items()}
    listed = enumeration(f"{number:,} {how}" for how, number in looks.items() if number)
    return f"Each look at a test part is counted, {sum(looks.values()):,} in all: {listed}."


def search_winner(searches: pd.DataFrame) -> str:
    """Return which search won how often, and what each cost."""
    if searches.empty:
        return "Nothing was tuned here."
    grid, bayes = searches["grid_won"].sum(), searches["bayes_won"].sum()
    gain = (searches["bayes_score"] - searches["grid_score"]).mean()
    return (
        f"With equally many settings, Bayesian optimisation found the better score in {bayes} of "
        f"{grid + bayes} runs (a tie counts for the grid). On average its score on the inner "
        f"folds was {signed(gain, 3)} against the grid's. The grids took "
        f"{searches['grid_cpu_s'].sum() / 60:.1f} minutes of processor time, Bayesian "
        f"optimisation {searches['bayes_cpu_s'].sum() / 60:.1f}."
    )


def baseline_answer(
    accuracy: pd.DataFrame, ladder: pd.DataFrame, fair: pd.DataFrame, *, best, protocol: str
) -> str:
    """Return the answer of the baselines notebook.

    Parameters
    ----------
    accuracy, ladder, fair : pd.DataFrame
        As returned by `tables.accuracy` and `tables.ladder`.
    best : mapping
        ``model, source, segment_s`` of the model chosen by validation accuracy.
    protocol : str
        The strictest protocol there is.
    """
    row = accuracy[
        (accuracy["model"] == best["model"])
        & (accuracy["source"] == best["source"])
        & (accuracy["segment_s"] == best["segment_s"])
        & (accuracy["protocol"] == protocol)
        & (accuracy["unit"] == "track")
    ].iloc[0]
    leakiest = accuracy[
        (accuracy["protocol"] == "segment_random")
        & (accuracy["unit"] == "segment")
        & (accuracy["source"] == best["source"])
    ]
    text = (
        f"The model chosen inside the training part ({row['title']}, {row['segment_s']:g}-s "
        f"segments) reaches **{interval(row)}** on the {row['n_tracks']:.0f} tracks of the "
        f"`{protocol}` test."
    )
    if len(leakiest):
        top = leakiest.sort_values("accuracy").iloc[-1]
        text += (
            f" Split at random, segments of {top['n_tracks']:.0f} tracks give up to "
            f"{interval(top)} ({top['title']}, {top['segment_s']:g}-s segments)."
        )
    if ladder.empty:
        return text
    model = ladder["model"].iloc[0]
    fall = _rungs(ladder, model)
    return text + (
        f" {CLASSICAL[model].title} falls from {fall.iloc[0]:.2f} under `{fall.index[0]}` to "
        f"{fall.iloc[-1]:.2f} under `{fall.index[-1]}`."
        if len(fall) > 1
        else ""
    )


def gallery_alt(what: str, pictures: dict, seconds: float) -> str:
    """Return the alt text of a gallery with one picture a genre."""
    return f"{what} of {seconds:g} seconds, one clip of each genre: {', '.join(pictures)}."


def cost_alt(cost: pd.DataFrame) -> str:
    """Return the alt text of the figure of costs."""
    if cost.empty:
        return "No costs: there is no audio here."
    parts = [
        f"{row.feature_group} {brief(row.milliseconds)} ms"
        for row in cost.sort_values("milliseconds", ascending=False).itertuples()
    ]
    return f"Bar chart of milliseconds by feature group: {', '.join(parts)}."


def agreement(table: pd.DataFrame) -> str:
    """Return how well computed features agree with the public tables."""
    if table.empty:
        return "This data set does not bring both sound and a public feature table."
    parts = []
    for segment_s, rows in table.groupby("segment_s"):
        worst = rows.sort_values("largest_difference").iloc[-1]
        parts.append(
            f"at {segment_s:g} s, on {worst['n_tracks']} tracks, half of all values differ by at "
            f"most {rows['median_difference'].median():.1g} standard deviations; the largest "
            f"difference is {worst['largest_difference']:.2g} ({worst['feature']})"
        )
    return f"Computed against public: {'; '.join(parts)}."


def librosa_agreement(table: pd.DataFrame) -> str:
    """Return how well features agree with librosa's own."""
    if table.empty:
        return "There is no audio here to compare on."
    worst = table.sort_values("of_allowed").iloc[-1]
    relative = table.sort_values("relative").iloc[-1]
    tempo = table.set_index("feature").loc["tempo", "share_equal"]
    equal = worst["of_allowed"] <= 1
    text = (
        f"On {worst['n']} signals, every value is librosa's to within 0.0001 and a thousandth of "
        "the value"
        if equal
        else "Not every value is librosa's to within 0.0001 and a thousandth of the value"
    ) + f": the largest difference is {worst['of_allowed']:.1%} of that ({worst['feature']})."
    if equal and relative["relative"] > 1e-3:
        # Only the 0.0001 can allow more than a thousandth of a value.
        text += (
            f" Relative to the value alone it is up to {relative['relative']:.2g} "
            f"({relative['feature']}, at values near zero)."
        )
    return f"{text} The tempo is the same in {tempo:.0%} of the signals."


def collection_estimate(estimate: dict[str, float]) -> str:
    """Return how long a large collection would take."""
    return (
        f"At the measured {estimate['clips_per_second']:.0f} clips of 30 s a second and core, the "
        f"{estimate['n_clips']:,} clips of FMA-full (Defferrard et al., ISMIR 2017) would take "
        f"{estimate['hours']:.1f} hours on {estimate['cores']} cores, decoding (mp3, a few "
        "milliseconds a clip) not counted. Memory does not grow with the collection: each "
        "process holds one clip, and arrays go to disk. On several machines that share a file "
        "system, start a Dask cluster (`pip install 'genre_utils[scale]'`) and wrap the call in "
        '`joblib.parallel_config(backend="dask")`; what a lost worker had in hand is done again '
        "by another."
    )


def features_answer(coverage: pd.DataFrame, cost: pd.DataFrame) -> str:
    """Return the answer of the notebook on features."""
    parts = [
        f"{row.segment_s:g} s: {row.n_segments:,} segments of {row.n_tracks:,} tracks "
        f"(from {'the public table' if row.source == 'table' else row.source})"
        for row in coverage.itertuples()
    ]
    text = f"The later notebooks rest on {'; '.join(parts)}."
    if len(cost):
        dearest = cost.sort_values("milliseconds").iloc[-1]
        text += (
            f" One clip takes {cost['milliseconds'].sum() / 1000:.2f} s on one core, "
            f"{100 * dearest['milliseconds'] / cost['milliseconds'].sum():.0f} % of it for "
            f"{dearest['feature_group']}."
        )
    return text


def rests_on(dataset, accuracy: pd.DataFrame, uses: pd.DataFrame) -> str:
    """Return what the README's numbers rest on."""
    parts = [
        f"{row.n_tracks:.0f} tracks at {row.segment_s:g} s (from "
        f"{'the public table' if row.source == 'table' else row.source})"
        for row in accuracy.groupby(["segment_s", "source"], sort=False)["n_tracks"]
        .max()
        .reset_index()
        .itertuples()
    ]
    times = "each once" if (uses["times"] == 1).all() else f"{uses['times'].sum():,} times in all"
    return (
        f"{dataset.title}: {len(dataset.tracks):,} tracks in the index; features of "
        f"{', '.join(parts)}. {len(uses):,} runs predicted a test part, {times} "
        f"([count](results/{dataset.name}/test_uses.csv))."
    )
