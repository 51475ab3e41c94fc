"""Sentences on networks whose numbers come from results: answers, and alt texts of figures."""

import numpy as np
import pandas as pd

from genre_utils import inputs, splits
from genre_utils.results import brief, interval, signed
from genre_utils.systems import SYSTEMS
from genre_utils.tables_deep import (
    BARELY_FITTED,
    FITTED,
    STAGE_TITLES,
    UNDERFITTED,
    duration,
    title,
)
from genre_utils.words import count_of, enumeration

_NOTABLE = 0.1
"""Change of a probability from which a hidden patch is counted."""


def _ordered(protocols) -> list[str]:
    return [protocol for protocol in splits.PROTOCOLS if protocol in set(protocols)]


def _row(accuracy: pd.DataFrame, **setting) -> pd.Series | None:
    """Return the row of a setting with the best validation accuracy, or None."""
    rows = accuracy[accuracy["accuracy"].notna()]
    for name, value in ({"stage": "final"} | setting).items():
        rows = rows[rows[name] == value]
    if rows.empty:
        return None
    return rows.loc[rows["validation_accuracy"].astype(float).fillna(-1).idxmax()]


def training_time(hours: float, n_runs: int) -> str:
    """Return how many training runs are stored and how long they took."""
    return (
        f"Stored: {count_of(n_runs, 'training run')}; together they took {duration(3600 * hours)}."
    )


def curves_alt(curves: pd.DataFrame) -> str:
    """Return the alt text of the learning curves."""
    if curves.empty:
        return "An empty chart: no network was trained epoch by epoch on this data."
    last = curves.groupby(["title", "segment_s"], sort=False).tail(1)
    several = last.groupby("title").size().max() > 1
    parts = [
        f"{row.title}{f' at {row.segment_s:g} s' if several else ''} ends at "
        f"{row.train_accuracy:.2f} in training"
        + (f" and {row.valid_accuracy:.2f} in validation" if pd.notna(row.valid_accuracy) else "")
        for row in last.itertuples()
    ]
    return f"Accuracy against the epoch, one panel a system. {'; '.join(parts)}."


def underfitting(table: pd.DataFrame) -> str:
    """Return how many settings did not fit their training part, and which the least."""
    measured = (
        "Measured with the kept weights on unaltered items; the curves show batches as trained "
        "on, while the weights change."
    )
    if table.empty:
        return f"Every setting reached a training accuracy of {FITTED:.1f}. {measured}"
    worst = table.sort_values("train_accuracy").iloc[0]
    return (
        f"{count_of(len(table), 'setting')} below a training accuracy of {FITTED:.1f}; the lowest "
        f"is {worst['title']} under `{worst['protocol']}` ({worst['train_accuracy']:.2f}). "
        f"{measured} The table says why it is low."
    )


def underfitted_numbers(board: pd.DataFrame) -> str:
    """Return what the mark of underfitted numbers means, where a table of systems has some."""
    marked = board.map(lambda cell: UNDERFITTED in str(cell)).any(axis=None)
    if not marked:
        return ""
    return (
        f"Where a number is marked as {UNDERFITTED}, its networks get fewer than "
        f"{100 * BARELY_FITTED:.0f} of 100 of their own training items right after their epochs: "
        "it is no test of the claim beside it, and its fall from one protocol to another is no "
        "measure of leakage."
    )


def seed_spread(accuracy: pd.DataFrame) -> str:
    """Return that intervals leave out the luck of a seed, and how much that is.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`, of one notebook or of several.
    """
    start = "Intervals draw tracks only; the luck of a seed comes on top of them."
    rows = _of_several_seeds(accuracy)
    if rows.empty:
        return f"{start} No system was trained with several seeds here, so how much is not known."
    return (
        f"{start} {_widest(rows)} {count_of(rows['model'].nunique(), 'system')} had several "
        "seeds. Between two rows of one seed each, a difference below that decides nothing."
    )


def one_seed_line(compared: pd.DataFrame, accuracy: pd.DataFrame) -> str:
    """Return which comparisons rest on one seed, beside how far seeds of one system lie apart.

    Parameters
    ----------
    compared : pd.DataFrame
        As returned by `tables_deep.compared`.
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    """
    seeds = _of_several_seeds(accuracy)
    if seeds.empty:
        return ""
    under = compared[compared["protocol"] == seeds["protocol"].iloc[0]]
    once = under[under["n_seeds"] == 1]
    if once.empty:
        return ""
    which = "all of them" if len(once) == len(under) else "; ".join(once["title"])
    larger = (once["difference"].abs() > seeds["apart"].max()).sum()
    verdict = "none is larger, so none of them decides anything"
    if larger:
        verdict = f"{larger} of {len(once)} {'is' if larger == 1 else 'are'} larger"
        verdict += "; the others decide nothing" if larger < len(once) else ""
    return (
        f"Compared with one seed on each side: {which}. {_widest(seeds)} The intervals leave that "
        f"out. Of these differences, {verdict}."
    )


def _of_several_seeds(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of systems with several seeds under the strictest protocol that has some."""
    rows = accuracy[
        accuracy["model"].isin(list(SYSTEMS))
        & (accuracy["stage"] == "final")
        & (accuracy["unit"] == "track")
        & (accuracy["n_seeds"] > 1)
    ]
    rows = rows[rows["protocol"].isin(_ordered(rows["protocol"])[-1:])]
    return rows.assign(apart=rows["accuracy_seed_high"] - rows["accuracy_seed_low"])


def _widest(rows: pd.DataFrame) -> str:
    row = rows.loc[rows["apart"].idxmax()]
    return (
        f"Under `{row['protocol']}`, single seeds of one system lie up to {row['apart']:.2f} apart "
        f"({row['title']}: {row['accuracy_seed_low']:.3f}–{row['accuracy_seed_high']:.3f} on the "
        f"same {row['n_tracks']:.0f} tracks)."
    )


def systems_alt(shown: pd.DataFrame) -> str:
    """Return the alt text of the figure of all systems by protocol."""
    rows = shown.dropna(subset="accuracy")
    if rows.empty:
        return "An empty chart: no system could be trained on this data."
    parts = []
    for protocol in _ordered(rows["protocol"]):
        best = rows[rows["protocol"] == protocol].sort_values("accuracy").iloc[-1]
        parts.append(f"{protocol}: {best['accuracy']:.2f} ({best['title']})")
    return f"Accuracy of every system by protocol. Highest value of each: {', '.join(parts)}."


def against_published(accuracy: pd.DataFrame, *, model: str) -> str:
    """Return one system's accuracy under every protocol, beside what is claimed of its kind."""
    parts = []
    for protocol in _ordered(accuracy["protocol"]):
        unit = "segment" if protocol == "segment_random" else "track"
        row = _row(accuracy, model=model, protocol=protocol, unit=unit)
        if row is not None:
            parts.append(f"{interval(row)} under `{protocol}` (per {unit})")
    if not parts:
        return f"**{title(model)}** could not be trained on this data."
    text = f"**{title(model)}** reaches {enumeration(parts)}."
    published = SYSTEMS[model].published if model in SYSTEMS else ""
    return text + (f" Claimed of its kind: {published}." if published else "")


def leakage_line(accuracy: pd.DataFrame, *, models: list[str], leaky: str, honest: str) -> str:
    """Return how far systems with a claim fall from a leaky protocol to an honest one.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    models : list of str
        Which systems; those without a claim, or with other lengths of segments under the
        two protocols, are left out.
    leaky, honest : str
        Names of the two protocols.
    """
    parts, falls = [], []
    for model in models:
        under = [_row(accuracy, model=model, protocol=p, unit="segment") for p in (leaky, honest)]
        claim = SYSTEMS[model].published
        if not claim or any(row is None for row in under):
            continue
        if under[0]["segment_s"] == under[1]["segment_s"]:
            falls.append((under[0]["accuracy"] - under[1]["accuracy"], *under))
            parts.append(
                f"{title(model)} from {under[0]['accuracy']:.2f} (claimed: "
                f"{claim.partition(', ')[0]}) to {under[1]['accuracy']:.2f}"
            )
    if not parts or leaky == honest:
        return "How much of the claims is leakage could not be asked on this data."
    least, most = min(fall for fall, *_ in falls), max(fall for fall, *_ in falls)
    budgets = [
        f"{row['n_train_tracks']:.0f} tracks and {count_of(row['epochs'], 'epoch')}"
        for row in falls[0][1:]
    ]
    text = f"Per segment, from `{leaky}` to `{honest}`: {'; '.join(parts)}."
    if least <= 0:
        return f"{text} Not all of them fall, so nothing can be said of leakage."
    fall = f"{most:.2f}" if len(falls) == 1 else f"{least:.2f} to {most:.2f}"
    return (
        f"{text} That is a fall of {fall}, and not all of it is leakage: they were trained on "
        f"{budgets[0]} against {budgets[1]}, and other tracks are tested. Notebook 03 holds the "
        "size of the training part and the test items fixed."
    )


def differences_alt(table: pd.DataFrame) -> str:
    """Return the alt text of a figure of differences."""
    if table.empty:
        return "An empty chart: no pair of systems could be compared on this data."
    parts = [
        f"{row['title']} against {row['against']}, {row['protocol']}: {signed(row['difference'])} "
        f"({signed(row['low'])} to {signed(row['high'])})"
        for _, row in table.iterrows()
    ]
    return f"Differences in accuracy with intervals. {'; '.join(parts)}."


def fusion_answer(table: pd.DataFrame) -> str:
    """Return what joining the branches brings, beside the claimed gain.

    Parameters
    ----------
    table : pd.DataFrame
        As returned by `tables_deep.fusion`.
    """
    if table.empty or not table["better_branch"].any():
        return "Joined network and branches could not be compared on this data."
    rows = table[table["better_branch"]]
    verdicts = {
        "above": "lies above",
        "below": "lies below",
        "around": "holds",
    }
    text = []
    if "segment_random" in set(rows["protocol"]):
        text.append(
            "Scored per track throughout; the tables above score each segment under "
            "`segment_random`, so that their numbers differ."
        )
    for protocol in _ordered(rows["protocol"]):
        row = rows[rows["protocol"] == protocol].iloc[0]
        zero = "leaves out" if row["low"] > 0 or row["high"] < 0 else "holds"
        mean, answers = "", ""
        if row["n_seeds"] > 1:
            mean = f", mean over {count_of(row['n_seeds'], 'seed')}"
            answers = f" on the answers of the {count_of(row['n_seeds'], 'seed')} averaged"
        text.append(
            f"Under `{protocol}` the joined network scores {row['accuracy']:.2f}, its better "
            f"branch ({row['against']}) {row['accuracy_against']:.2f}{mean}: "
            f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])}; "
            f"McNemar's test{answers}: p = {row['mcnemar_p']:.2g}). The interval {zero} zero and "
            f"{verdicts[row['verdict']]} the claimed gain of {signed(row['claim'])}."
        )
    return " ".join(text)


def best_row(accuracy: pd.DataFrame, *, protocol: str, models: list[str]) -> pd.Series:
    """Return the track-level row of the system that the validation part chose."""
    rows = accuracy[
        accuracy["model"].isin(models)
        & (accuracy["protocol"] == protocol)
        & (accuracy["unit"] == "track")
        & (accuracy["stage"] == "final")
        & accuracy["accuracy"].notna()
    ]
    # Rows on fewer tracks are another, easier or harder, question.
    rows = rows[rows["n_tracks"] == rows["n_tracks"].max()]
    return rows.loc[rows["validation_accuracy"].astype(float).fillna(-1).idxmax()]


def _top(accuracy: pd.DataFrame, *, protocol: str, unit: str) -> str:
    rows = accuracy[
        (accuracy["protocol"] == protocol)
        & (accuracy["unit"] == unit)
        & (accuracy["stage"] == "final")
        & accuracy["accuracy"].notna()
    ]
    if rows.empty:
        return ""
    rows = rows[rows["n_tracks"] == rows["n_tracks"].max()]
    top = rows.sort_values("accuracy").iloc[-1]
    return f"{interval(top)} ({top['title']})"


def multimodal_answer(
    accuracy: pd.DataFrame, fusion: pd.DataFrame, *, systems: list[str], protocol: str
) -> str:
    """Return the answer of the notebook on modalities."""
    rows = accuracy[
        accuracy["model"].isin(systems)
        & (accuracy["protocol"] == protocol)
        & (accuracy["unit"] == "track")
        & (accuracy["stage"] == "final")
        & accuracy["accuracy"].notna()
    ]
    alone = [
        f"{row['title']} {interval(row)} on {row['n_tracks']:.0f} tracks"
        for _, row in rows.sort_values("accuracy", ascending=False).iterrows()
    ]
    text = f"Under `{protocol}`, the strictest protocol here: {'; '.join(alone)}."
    random = _top(accuracy[accuracy["model"].isin(systems)], protocol="track_random", unit="track")
    if random and protocol != "track_random":
        text += f" Split at random by tracks, the best of them shows {random}."
    return f"{text} {fusion_answer(fusion[fusion['protocol'] == protocol])}"


def convergence_line(table: pd.DataFrame, *, share: float = 0.9) -> str:
    """Return which of two recurrent layers learns faster, from `tables_deep.convergence`."""
    if table.empty:
        return "No run with a validation part is stored, so convergence cannot be compared."
    protocol = _ordered(table["protocol"])[-1]
    rows = table[table["protocol"] == protocol]
    parts = [
        f"{row.title} comes to {100 * share:.0f} % of its validation accuracy "
        f"({row.validation_accuracy:.2f}) after {row.epochs_to_share:.1f} epochs of "
        f"{row.seconds_an_epoch:.1f} s: {duration(row.seconds_to_share)}"
        for row in rows.itertuples()
    ]
    runs = count_of(rows["n_runs"].max(), "run")
    return f"Under `{protocol}`, mean over {runs}: {'; '.join(parts)}."


def validation_part_line(table: pd.DataFrame, *, protocol: str) -> str:
    """Return what doing without a validation part brings, from `tables_deep.validation_part`."""
    rows = table[table["protocol"] == protocol]
    if rows.empty:
        return "No system was trained both with and without a validation part."
    parts = [f"{stage}: {_gain(of)}" for stage, of in rows.groupby("stage", sort=False)]
    return (
        f"Against the {STAGE_TITLES['final']}, under `{protocol}`, with the same seeds: "
        f"{'; '.join(parts)}."
    )


def _gain(rows: pd.DataFrame) -> str:
    itself = rows["same_network"].astype(bool)
    text, others = _mean_gain(rows[~itself]), rows.loc[itself, "title"]
    if len(others):
        text += (
            f"; not counted: {enumeration(others)}, where the epoch chosen was the last one, so "
            "that a network would be compared with itself"
        )
    return text


def _mean_gain(rows: pd.DataFrame) -> str:
    gains = rows["difference"]
    if rows.empty:
        return "nothing to compare"
    if len(rows) == 1:
        return f"{signed(gains.iloc[0], 3)} ({rows['title'].iloc[0]} alone)"
    return (
        f"{signed(gains.mean(), 3)} on average over {count_of(len(rows), 'system')} "
        f"(from {signed(gains.min(), 3)} to {signed(gains.max(), 3)})"
    )


def ablation_line(
    compared: pd.DataFrame,
    accuracy: pd.DataFrame,
    *,
    unchanged: str,
    all_changes: str,
    best: str,
) -> str:
    """Return what changes of the training data are worth, one by one and together.

    Parameters
    ----------
    compared : pd.DataFrame
        As returned by `tables_deep.compared`: variants with changes against `unchanged`.
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    unchanged, all_changes : str
        The systems without any change, and with all of them.
    best : str
        A system with all changes and a budget of its own.
    """
    rows = compared[compared["baseline"] == unchanged]
    if rows.empty:
        return "What changes of the training data are worth could not be compared on this data."
    protocol = _ordered(rows["protocol"])[-1]
    rows = rows[rows["protocol"] == protocol]
    better, worse = rows.loc[rows["low"] > 0, "title"], rows.loc[rows["high"] < 0, "title"]
    text = (
        f"Under `{protocol}`, with {count_of(rows['n_seeds'].max(), 'seed')}, unchanged training "
        f"data give {rows['accuracy_against'].iloc[0]:.2f}. Of "
        f"{count_of(len(rows), 'variant')} with changes, better with an interval above zero: "
        f"{enumeration(better) if len(better) else 'none'}; worse with one below zero: "
        f"{enumeration(worse) if len(worse) else 'none'}."
    )
    together = rows[rows["model"] == all_changes]
    all_of_them = _row(accuracy, model=all_changes, protocol=protocol, unit="track")
    if together.empty or all_of_them is None:
        return text
    text += f" {_together(together.iloc[0], all_of_them['epochs'])}"
    longer = _row(accuracy, model=best, protocol=protocol, unit="track")
    same_changes = SYSTEMS[best].augmentation == SYSTEMS[all_changes].augmentation
    if longer is not None and same_changes and longer["epochs"] != all_of_them["epochs"]:
        text += (
            f" {longer['title']} has all of them and {count_of(longer['epochs'], 'epoch')} "
            f"({longer['accuracy']:.2f}): how much it owes to the changes, and how much to its "
            "budget, was not measured."
        )
    return text


def _together(row: pd.Series, epochs: float) -> str:
    text = (
        f"All changes together score {row['accuracy']:.2f} ({signed(row['difference'])}, "
        f"{signed(row['low'])} to {signed(row['high'])}): within {count_of(epochs, 'epoch')}, "
    )
    if row["low"] > 0:
        return f"{text}they help."
    if row["difference"] > 0:
        return f"{text}a gain that the interval cannot tell from none."
    return f"{text}nothing shows that training data that never look the same help."


def budget_line(table: pd.DataFrame) -> str:
    """Return which budget the validation part chose.

    Parameters
    ----------
    table : pd.DataFrame
        ``epochs, learning_rate, batch_size, valid_accuracy, seconds``.
    """
    if table.empty:
        return "The budget was not studied on this data."
    best = table.loc[table["valid_accuracy"].idxmax()]
    worst = table["valid_accuracy"].min()
    return (
        f"Of {count_of(len(table), 'setting')}, {count_of(best['epochs'], 'epoch')} with learning "
        f"rate {best['learning_rate']:g} and batches of {best['batch_size']:.0f} give the best "
        f"validation accuracy ({best['valid_accuracy']:.2f}; the worst has {worst:.2f})."
    )


def sequence_answer(accuracy: pd.DataFrame, *, systems: list[str], protocol: str, best: str) -> str:
    """Return the answer of the notebook on sequence models.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    systems : list of str
        The systems compared.
    protocol : str
        The strictest protocol there is.
    best : str
        The system that the notebook calls its best single network.
    """
    ours = _row(accuracy, model=best, protocol=protocol, unit="track")
    text = ""
    if ours is not None:
        text = (
            f"One network, trained from scratch ({ours['title']}), reaches **{interval(ours)}** on "
            f"the {ours['n_tracks']:.0f} tracks of the `{protocol}` test, mean over "
            f"{count_of(ours['n_seeds'], 'seed')} ({ours['by_seed']})."
        )
        refit = _row(accuracy, model=best, protocol=protocol, unit="track", stage="refit")
        if refit is not None:
            text += f" Trained on the validation part as well: {interval(refit)}."
    averaged = accuracy[~accuracy["model"].isin(systems) & (accuracy["protocol"] == protocol)]
    averaged = averaged[averaged["model"].str.contains(" + ", regex=False)]
    averaged = averaged[(averaged["unit"] == "track") & averaged["accuracy"].notna()]
    if len(averaged):
        row = averaged.loc[averaged["model"].str.count(r" \+ ").idxmax()]
        n_averaged = row["model"].count(" + ") + 1
        text += f" Averaging the predictions of {n_averaged} networks gives {interval(row)}."
    leaky = _top(
        accuracy[accuracy["model"].isin(systems)], protocol="segment_random", unit="segment"
    )
    if leaky:
        text += f" Segments split at random, each scored by itself: {leaky}."
    return text.strip() or "No network could be trained on this data."


def occlusion_title(heard: list[dict]) -> str:
    """Return the title of the occlusion maps: which network was asked."""
    return "What the network listens to" + (f": {title(heard[0]['model'])}" if heard else "")


def occlusion_alt(heard: list[dict]) -> str:
    """Return the alt text of the occlusion maps."""
    if not heard:
        return "An empty chart: no map was recorded on this data."
    names = ", ".join(track["genre"] for track in heard)
    return (
        f"{occlusion_title(heard)}. Maps of time and frequency, one track of each genre, coloured "
        f"by how much probability of the true genre is lost when a patch is hidden: {names}."
    )


def occlusion_line(heard: list[dict], *, band_hz) -> str:
    """Return where in time and frequency hiding changes most, and whether any patch matters.

    Parameters
    ----------
    heard : list of dict
        As returned by `tables_deep.heard`.
    band_hz : array_like [shape=(n_mels,)]
        Centre of each mel band in Hz, ascending.
    """
    if not heard:
        return "No map was recorded on this data."
    maps = np.stack([np.asarray(track["drop"], dtype=float) for track in heard])
    effects = np.abs(maps)
    if not effects.any():
        return f"The network asked is **{title(heard[0]['model'])}**. No patch changes anything."
    _, n_bands, n_moments = maps.shape
    times = np.linspace(0, heard[0]["seconds"], n_moments + 1)
    by_moment = effects.sum(axis=(0, 1)) / effects.sum()
    by_band = effects.sum(axis=(0, 2)) / effects.sum()
    moment, band = int(by_moment.argmax()), int(by_band.argmax())
    low, high = _band_edges(band, n_bands, band_hz)
    track, lower, at = np.unravel_index(effects.argmax(), effects.shape)
    largest = maps[track, lower, at]
    bottom, top = _band_edges(int(lower), n_bands, band_hz)
    return (
        f"The network asked is **{title(heard[0]['model'])}**. Of each genre, the figure shows the "
        "track that this network is surest of: easy ones, by choice. Of all changes, summed "
        f"without their signs over {count_of(len(heard), 'track')}, the weightiest moment "
        f"({times[moment]:.0f}–{times[moment + 1]:.0f} s) has {100 * by_moment[moment]:.0f} % (an "
        f"even share: {100 / n_moments:.0f} %), the weightiest band ({low:,.0f}–{high:,.0f} Hz) "
        f"{100 * by_band[band]:.0f} % (even: {100 / n_bands:.0f} %). "
        f"{_how_many((effects >= _NOTABLE).sum(), effects.size)} the true genre's probability by "
        f"{_NOTABLE:g} or more. The largest single effect is on the {heard[track]['genre']} track, "
        f"{times[at]:.0f}–{times[at + 1]:.0f} s, {bottom:,.0f}–{top:,.0f} Hz: hiding it "
        f"{'takes' if largest > 0 else 'adds'} {brief(abs(largest))}. The colours end there, at "
        f"±{brief(abs(largest))}: they cannot be compared with those of another figure."
    )


def _how_many(found: int, of: int) -> str:
    if found == 0:
        return f"No single patch matters much: none of {of:,} changes"
    return f"{found:,} of {of:,} patches change"


def _band_edges(patch: int, n_patches: int, band_hz) -> tuple[float, float]:
    of_patch = np.array_split(np.asarray(band_hz, dtype=float), n_patches)[patch]
    return of_patch[0], of_patch[-1]


def length_alt(accuracy: pd.DataFrame, *, models: list[str], protocols: list[str]) -> str:
    """Return the alt text of the figure of accuracy against segment length."""
    parts = []
    for protocol in protocols:
        for model in models:
            rows = _lengths(accuracy, model, protocol, "segment")
            if len(rows):
                first, last = rows.iloc[0], rows.iloc[-1]
                parts.append(
                    f"{title(model)}, {protocol}: {first['accuracy']:.2f} at "
                    f"{first['segment_s']:g} s, {last['accuracy']:.2f} at {last['segment_s']:g} s"
                )
    if not parts:
        return "An empty chart: no segment length could be answered on this data."
    return f"Accuracy per segment and per track against segment length. {'; '.join(parts)}."


def _lengths(accuracy: pd.DataFrame, model: str, protocol: str, unit: str) -> pd.DataFrame:
    rows = accuracy[
        (accuracy["model"] == model)
        & (accuracy["protocol"] == protocol)
        & (accuracy["unit"] == unit)
        & (accuracy["stage"] == "final")
        & accuracy["accuracy"].notna()
    ]
    return rows.sort_values("segment_s")


def lengths_left_out(accuracy: pd.DataFrame, *, models: list[str]) -> str:
    """Return which protocols were not run at lengths that are possible and that others have."""
    rows = accuracy[accuracy["model"].isin(models) & (accuracy["stage"] == "final")]
    done = rows[rows["accuracy"].notna()]
    parts = []
    for protocol in _ordered(done["protocol"]):
        under = rows[rows["protocol"] == protocol]
        run = set(under.loc[under["accuracy"].notna(), "segment_s"])
        # A clip is one segment of its own length: nothing of it can be split.
        impossible = {inputs.CLIP_S} if protocol == "segment_random" else set()
        impossible |= set(under.loc[under["reason"].notna(), "segment_s"])
        if set(done["segment_s"]) - run - impossible:
            lengths = enumeration([f"{s:g}" for s in sorted(run)])
            parts.append(f"`{protocol}` (only at {lengths} s)")
    if not parts:
        return "Every protocol was run at every length that it allows."
    return f"Not run at every length: {enumeration(parts)}."


def unlike_curves(accuracy: pd.DataFrame, *, network: str, leaky: str, honest: str) -> str:
    """Return what differs between two protocols' curves of accuracy against length.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    network : str
        The system that is spoken of.
    leaky, honest : str
        Names of the two protocols.
    """
    parts = []
    for protocol in dict.fromkeys((leaky, honest)):
        rows = _lengths(accuracy, network, protocol, "track")
        if len(rows):
            parts.append(f"under `{protocol}`, {_how_run(rows)}")
    if len(parts) < 2:
        return ""
    return (
        f"The two curves of **{title(network)}** differ in more than leakage: {'; '.join(parts)}."
    )


def _how_run(rows: pd.DataFrame) -> str:
    epochs, kept = rows["epochs"].max(), sorted(rows["best_epoch"])
    if rows["validation_accuracy"].notna().all():
        ends = f"{kept[0]:.0f}" if kept[0] == kept[-1] else f"{kept[0]:.0f} to {kept[-1]:.0f}"
        text = f"validation keeps one of {count_of(epochs, 'epoch')} (number {ends})"
    else:
        text = f"the last of {count_of(epochs, 'epoch')} counts"
    trained, first, last = rows["n_train_tracks"].max(), rows.iloc[0], rows.iloc[-1]
    text += f", up to {count_of(trained, 'track')} train it, and "
    if rows["n_tracks"].nunique() == 1:
        return f"{text}the same {count_of(first['n_tracks'], 'track')} are tested at every length"
    ends = [
        f"{count_of(row['n_tracks'], 'track')} with {row['segments_a_track']:.1f} segments each at "
        f"{row['segment_s']:g} s"
        for row in (first, last)
    ]
    return f"{text}the tested tracks change: {enumeration(ends)}"


def genres_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the heat map of recall by genre and segment length."""
    if table.empty:
        return "An empty chart: no segment length could be answered on this data."
    means = table.groupby("genre")["recall"].mean().sort_values()
    return (
        f"Recall of each genre at each segment length. Lowest on average: {means.index[0]} "
        f"({means.iloc[0]:.2f}), highest: {means.index[-1]} ({means.iloc[-1]:.2f})."
    )


def costs_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure of parameters and training time by length."""
    if table.empty:
        return "An empty chart: nothing was trained on this data."
    parts = [
        f"{name}: {duration(rows['fit_s'].iloc[0])} at {rows['segment_s'].iloc[0]:g} s, "
        f"{duration(rows['fit_s'].iloc[-1])} at {rows['segment_s'].iloc[-1]:g} s"
        for name, rows in table.groupby("title", sort=False)
    ]
    return f"Parameters and training time against segment length. {'; '.join(parts)}."


def distances_alt(table: pd.DataFrame) -> str:
    """Return the alt text of the figure of distances between segments."""
    return (
        "Distances between segments by relation, and the share of segments whose nearest one is "
        f"of the same track, artist or genre, against segment length. {distance_line(table)}"
    )


def distance_line(table: pd.DataFrame) -> str:
    """Return what the distances between segments say about the curve."""
    rows = table[(table["distance"] == "euclidean") & (table["relation"] == "same track")]
    rows = rows[rows["n_pairs"] > 0].sort_values("segment_s").set_index("segment_s")
    if rows.empty:
        return "No track has two segments here, so there is nothing to compare."
    others = table[(table["distance"] == "euclidean") & (table["relation"] == "other genre")]
    ratio = rows["median"] / others.set_index("segment_s")["median"]
    ends = list(dict.fromkeys((rows.index[0], rows.index[-1])))
    apart = enumeration([f"{ratio[s]:.2f} times at {s:g} s" for s in ends])
    of_two = enumeration([f"{100 * rows.loc[s, 'nearest_share']:.0f} at {s:g} s" for s in ends])
    of_all = enumeration([f"{100 * rows.loc[s, 'nearest_share_all']:.0f} at {s:g} s" for s in ends])
    return (
        f"By Euclidean distance, two segments of a track are {apart} as far apart as segments of "
        f"two genres (medians). With two segments a track, the nearest of all others is of the "
        f"same track in {of_two} of 100 cases; with all segments there, in {of_all}."
    )


def raw_line(accuracy: pd.DataFrame, *, raw: str, processed: str, segment_s: float) -> str:
    """Return how raw samples compare with processed input, beside what is claimed of them.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    raw, processed : str
        The systems compared.
    segment_s : float
        Length of their segments in seconds.
    """
    parts = []
    for protocol in splits.PROTOCOLS:
        setting = {"protocol": protocol, "segment_s": segment_s}
        ratios = []
        for unit in ("segment", "track"):
            ours = _row(accuracy, model=raw, unit=unit, **setting)
            theirs = _row(accuracy, model=processed, unit=unit, **setting)
            if ours is not None and theirs is not None and theirs["accuracy"] > 0:
                ratios.append(
                    f"{ours['accuracy'] / theirs['accuracy']:.2f} times per {unit} "
                    f"({ours['accuracy']:.2f} against {theirs['accuracy']:.2f})"
                )
        if ratios:
            parts.append(
                f"under `{protocol}` {enumeration(ratios)}, on {ours['n_tracks']:.0f} tracks"
            )
    if not parts:
        return "Raw samples and processed input could not be compared on this data."
    return (
        f"Of the accuracy of processed input, raw samples reach {'; '.join(parts)}. Claimed: "
        f"{SYSTEMS[raw].published}."
    )


def length_answer(
    accuracy: pd.DataFrame,
    distances: pd.DataFrame,
    differences: pd.DataFrame,
    *,
    network: str,
    leaky: str,
    honest: str,
) -> str:
    """Return the answer of the notebook on segment length.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    distances : pd.DataFrame
        As returned by `segment_distance.measure`.
    differences : pd.DataFrame
        As returned by `tables_deep.against_best_length`.
    network : str
        The system that is spoken of.
    leaky, honest : str
        Names of the two protocols compared.
    """
    text = []
    for protocol in dict.fromkeys((leaky, honest)):
        rows = {unit: _lengths(accuracy, network, protocol, unit) for unit in ("segment", "track")}
        if len(rows["track"]):
            best = [f"{_highest(of_unit)} per {unit}" for unit, of_unit in rows.items()]
            text.append(f"Under `{protocol}`, the highest are {enumeration(best)}.")
    if not text:
        return "No segment length could be answered on this data."
    validated = _lengths(accuracy, network, honest, "track").dropna(subset="validation_accuracy")
    if len(validated):
        chosen = validated.loc[validated["validation_accuracy"].astype(float).idxmax()]
        text.append(
            f"The validation part would choose {chosen['segment_s']:g} s, with "
            f"{interval(chosen)} per track."
        )
    parts = [distance_line(distances), best_length_line(differences)]
    return f"**{title(network)}**: {' '.join([*text, *parts])}".strip()


def _highest(rows: pd.DataFrame) -> str:
    best = rows.loc[rows["accuracy"].idxmax()]
    return f"{interval(best)} at {best['segment_s']:g} s"


def best_length_line(differences: pd.DataFrame) -> str:
    """Return whether one length is clearly the best, from `tables_deep.against_best_length`."""
    if differences.empty:
        return ""
    first = differences.iloc[0]
    parts = [
        f"**{name}** scores {of['accuracy'].min():.2f} to {of['accuracy_against'].iloc[0]:.2f}; "
        f"{_beside_best(of)}."
        for name, of in differences.groupby("title", sort=False)
    ]
    text = (
        f"How long must a segment be? Per track, with {count_of(first['n_seeds'], 'seed')} on the "
        f"same {first['n_tracks']:.0f} tracks of `{first['protocol']}`: {' '.join(parts)} The "
        "highest was found on these very tracks, which favours it, and the intervals draw tracks "
        "only, no seeds."
    )
    alike = (differences["low"] <= 0) & (differences["high"] >= 0)
    if alike.groupby(differences["title"]).any().all():
        return f"{text} These numbers show no clear best length."
    return text


def _beside_best(rows: pd.DataFrame) -> str:
    """Return which lengths cannot be told from a system's best one, and which are lower."""
    lower = rows["high"] < 0
    best = f"its highest, at {rows['best_s'].iloc[0]:g} s"
    alike, below = (
        enumeration([f"{s:g}" for s in rows.loc[which, "segment_s"]]) if which.any() else ""
        for which in (~lower, lower)
    )
    parts = [f"{alike} s cannot be told from {best}"] if alike else []
    if below:
        parts.append(f"{below} s lie below" + ("" if alike else f" {best}"))
    return ", and ".join(parts)
