"""Sentences on networks whose numbers come from results: answers, and alt texts of figures."""

import numpy as np
import pandas as pd

from genre_utils import splits
from genre_utils.results import interval, signed
from genre_utils.systems import SYSTEMS
from genre_utils.tables_deep import FITTED, STAGE_TITLES, duration, title
from genre_utils.words import count_of, enumeration


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
    """Return one system's accuracy under every protocol, beside the published number."""
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
    return text + (f" Published: {published}." if published else "")


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
    """Return what joining the branches brings, beside the published gain.

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
            f"{verdicts[row['verdict']]} the published gain of {signed(row['claim'])}."
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
    gains = rows["difference"]
    if len(rows) == 1:
        return f"{signed(gains.iloc[0], 3)} ({rows['title'].iloc[0]} alone)"
    return (
        f"{signed(gains.mean(), 3)} on average over {count_of(len(rows), 'system')} "
        f"(from {signed(gains.min(), 3)} to {signed(gains.max(), 3)})"
    )


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
        text += f" Segments split at random, as published studies do: {leaky}."
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
    """Return where the network listens: the weightiest band and the sharpest patch.

    Parameters
    ----------
    heard : list of dict
        As returned by `tables_deep.heard`.
    band_hz : array_like [shape=(n_mels,)]
        Centre of each mel band in Hz, ascending.
    """
    if not heard:
        return "No map was recorded on this data."
    maps = [np.asarray(track["drop"], dtype=float) for track in heard]
    by_band = np.mean([m.mean(axis=1) for m in maps], axis=0)
    low, high = _band_edges(int(by_band.argmax()), len(by_band), band_hz)
    sharpest = int(np.argmax([m.max() for m in maps]))
    band, moment = np.unravel_index(maps[sharpest].argmax(), maps[sharpest].shape)
    lower, upper = _band_edges(int(band), len(maps[sharpest]), band_hz)
    at = (moment + 0.5) * heard[sharpest]["seconds"] / maps[sharpest].shape[1]
    return (
        f"The network asked is **{title(heard[0]['model'])}**. Of each genre, the figure shows the "
        "track that this network is surest of: easy ones, by choice. On average over these "
        f"{count_of(len(heard), 'track')}, hiding a patch between {low:,.0f} and {high:,.0f} Hz "
        f"costs most ({by_band.max():.3f} of the true genre's probability). The single patch that "
        f"matters most is of {heard[sharpest]['genre']}, at {at:.0f} s between {lower:,.0f} and "
        f"{upper:,.0f} Hz ({maps[sharpest].max():.2f})."
    )


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


def one_length_line(accuracy: pd.DataFrame, *, models: list[str]) -> str:
    """Return which protocols were run at one segment length only."""
    rows = accuracy[
        accuracy["model"].isin(models)
        & (accuracy["stage"] == "final")
        & accuracy["accuracy"].notna()
    ]
    lengths = rows.groupby("protocol")["segment_s"].unique()
    single = [p for p in _ordered(lengths.index) if len(lengths[p]) == 1]
    if not single:
        return "No protocol was run at one length only."
    parts = [f"`{protocol}` ({lengths[protocol][0]:g} s)" for protocol in single]
    return f"Run at one length only, to save time: {enumeration(parts)}."


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


def raw_line(table: pd.DataFrame, *, raw: str, processed: str) -> str:
    """Return how raw samples compare with processed input, beside "almost half"."""
    rows = table[(table["model"] == raw) & (table["baseline"] == processed)]
    if rows.empty:
        return "Raw samples and processed input could not be compared on this data."
    parts = [
        f"{row.ratio:.2f} times the accuracy of processed input under `{row.protocol}` "
        f"({row.accuracy:.2f} against {row.accuracy_against:.2f}, {row.n_tracks} tracks)"
        for row in rows.itertuples()
    ]
    return f"Raw samples reach {enumeration(parts)}. The published claim is almost half."


def length_answer(
    accuracy: pd.DataFrame,
    distances: pd.DataFrame,
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
    network : str
        The system that is spoken of.
    leaky, honest : str
        Names of the two protocols compared.
    """
    text = []
    for protocol in dict.fromkeys((leaky, honest)):
        for unit in ("segment", "track"):
            rows = _lengths(accuracy, network, protocol, unit)
            if len(rows):
                text.append(_best_length(rows, protocol, unit))
    if not text:
        return "No segment length could be answered on this data."
    validated = _lengths(accuracy, network, honest, "track").dropna(subset="validation_accuracy")
    if len(validated):
        chosen = validated.loc[validated["validation_accuracy"].astype(float).idxmax()]
        text.append(
            f"The validation part would choose {chosen['segment_s']:g} s, with "
            f"{interval(chosen)} per track."
        )
    return f"**{title(network)}**: {' '.join(text)} {distance_line(distances)}"


def _best_length(rows: pd.DataFrame, protocol: str, unit: str) -> str:
    best = rows.loc[rows["accuracy"].idxmax()]
    near = rows[(rows["accuracy_high"] >= best["accuracy"]) & (rows.index != best.name)]
    text = (
        f"under `{protocol}`, per {unit}, {interval(best)} is the highest, at "
        f"{best['segment_s']:g} s"
    )
    if len(near):
        lengths = enumeration([f"{s:g}" for s in near["segment_s"]])
        text += f" (others whose interval reaches it: {lengths} s)"
    return f"{text[0].upper()}{text[1:]}."
