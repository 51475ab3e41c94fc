"""Sentences of the notebook on compression, filled from its results."""

import pandas as pd

from genre_utils.experiments import TABULAR
from genre_utils.measuring import BUNDLE, Measured
from genre_utils.results import interval, signed
from genre_utils.tables_compression import (
    ASSUMED,
    ENSEMBLE,
    busy,
    difference,
    ratio,
    size,
    times_as,
    title,
)
from genre_utils.words import count_of, enumeration

_UNDISTURBED = 0.1
# By McNemar's exact test a lead of five says nothing, even where all else is answered alike.
_TELLING_LEAD = 6


def machine_line(measured: Measured) -> str:
    """Return what the times were measured on, and how."""
    found = measured.machine
    if not found:
        return "Nothing was measured: there are neither networks nor stored measurements."
    instructions = ", ".join(name.replace("_", "-").upper() for name in found["instructions"])
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    waited = busy(measured)
    other = (
        f" The machine had other work: runs waited {waited:.0%} of the time, and times on two "
        "threads are too long."
        if waited > _UNDISTURBED
        else ""
    )
    return (
        f"Measured on {found['cpu']}, {found['cores']} cores, with {instructions or 'no SIMD'} "
        f"({found['system']}; {versions}). Each network has a process of its own; they take turns "
        f"for {found['rounds']} rounds. Times are medians with quartiles of the rounds; ratios "
        "compare two networks in the same round. On one thread a time is that of the processor, "
        "which other work on the machine does not lengthen; on two threads it is the time that "
        f"passed.{other} Energy was not measured."
    )


def training_line(result, seeds: pd.DataFrame) -> str:
    """Return what the study's training took, and what one seed is worth.

    Parameters
    ----------
    result : StudyResult
        Of `compression.run`.
    seeds : pd.DataFrame
        Of `tables_compression.reference_seeds`.
    """
    runs = result.runs
    used = enumeration(sorted(runs["seed"].unique()))
    return (
        f"{len(runs)} networks under {runs['protocol'].nunique()} splits; the slowest to train "
        f"took {runs['fit_s'].astype(float).max() / 60:.0f} minutes, with the training of those "
        f"that it was made of. Each rests on a single training with seed {used}; another seed "
        "gives another network and another accuracy, and intervals draw tracks, not seeds. So a "
        "network is to be compared with what was made of it."
    ) + _luck_of_the_reference(seeds)


def _luck_of_the_reference(seeds: pd.DataFrame) -> str:
    """Say how good the reference's seed is among others; nothing where there are none."""
    if seeds.empty or seeds["n_seeds"].iloc[0] < 2:
        return ""
    row = seeds.iloc[0]
    above = row["here"] - row["mean"]
    return (
        f" In notebook 04 the reference is trained with {row['n_seeds']} seeds, which reach "
        f"{row['lowest']:.3f} to {row['highest']:.3f} on the same test part, {row['mean']:.3f} on "
        f"average; the one here reaches {row['here']:.3f}. Held against that average instead, "
        f"every network would stand {abs(above):.3f} {'better' if above > 0 else 'worse'}."
    )


def best_line(table: pd.DataFrame) -> str:
    """Return which variant is the best deployable, from `tables_compression.compared`."""
    best = table[table["best"]].iloc[0]
    return (
        f"The best deployable network, by its accuracy on the validation part, is "
        f"**{best['title']}**: {interval(best)} on {best['n_tracks']:.0f} test tracks, in a file "
        f"of {size(best['file_bytes'])}.{_lead(table, best)} Differences are paired: the same "
        "tracks, with a 95 % interval from drawing tracks."
    )


def _lead(table: pd.DataFrame, best: pd.Series) -> str:
    """Say by how much the best deployable variant won, and whether that tells anything."""
    rivals = table[table["file_bytes"].notna() & ~table["best"]]
    if rivals.empty:
        return ""
    scores = rivals["validation_accuracy"].astype(float)
    next_best = rivals.loc[scores.eq(scores.max()), "title"]
    n_ahead = round((best["validation_accuracy"] - scores.max()) * best["n_valid"])
    names = next_best.iloc[0] if len(next_best) == 1 else f"the {len(next_best)} next best"
    if not n_ahead:
        return f" There it is only as accurate as {names}; of equals, the smallest is taken."
    items = "segment" if best["input"] == TABULAR else "track"
    luck = ", which is too little to tell them apart" if n_ahead < _TELLING_LEAD else ""
    return (
        f" There it is {count_of(n_ahead, items)} of {best['n_valid']:.0f} ahead of {names}{luck}."
    )


def distilled_line(gains: pd.DataFrame) -> str:
    """Return what a teacher adds to labels, from `tables_compression.distilled`."""
    if gains.empty:
        return "No student was both taught and left to labels alone here."
    parts = [
        f"**{row.title}**: {row.accuracy:.3f} taught, {row.accuracy_against:.3f} from labels "
        f"alone, {signed(row.difference, 3)} ({signed(row.low, 3)} to {signed(row.high, 3)})"
        for row in gains.itertuples()
    ]
    n_open = int(((gains["low"] <= 0) & (gains["high"] >= 0)).sum())
    verdict = (
        "nothing shows here that teaching matters"
        if n_open == len(gains)
        else "teaching matters in the others"
        if n_open
        else "that is more than luck of the tracks"
    )
    return (
        f"On the same {gains['n_tracks'].max()} test tracks: {'; '.join(parts)}. "
        f"{n_open} of {count_of(len(gains), 'interval')} "
        f"{'holds' if n_open == 1 else 'hold'} zero: {verdict}. Each rests on one seed."
    )


def cost_line(table: pd.DataFrame, *, reference: str) -> str:
    """Return what the steps were worth, from `tables_compression.compared`."""
    rows = table[table["model"].ne(reference) & table["smaller"].notna()]
    if rows.empty:
        return "There is nothing to compare."
    smallest = rows.loc[rows["smaller"].idxmax()]
    said = (
        f"The smallest file that runs as it is is that of **{smallest['title']}**: "
        f"{size(smallest['file_bytes'])}, {times_as(smallest['smaller'])[:-1]} times smaller than "
        f"the reference's, at {interval(smallest)}."
    )
    packed = rows.loc[rows["stored_smaller"].idxmax()]
    if packed["stored_bytes"] < smallest["file_bytes"]:
        said += (
            f" The smallest packed one is that of **{packed['title']}**: "
            f"{size(packed['stored_bytes'])}, {times_as(packed['stored_smaller'])[:-1]} times "
            f"smaller, at {interval(packed)}; to run it has to be unpacked to "
            f"{size(packed['file_bytes'])}."
        )
    timed = rows[rows["faster"].notna()]
    if timed.empty:
        return said
    fastest = timed.loc[timed["faster"].astype(float).idxmax()]
    return said + (
        f" The fastest network is **{fastest['title']}** in {fastest['runtime']}, without what it "
        f"reads being computed: {fastest['ms']:.2g} ms, "
        f"{ratio(fastest)} the speed of the reference in eager PyTorch."
    )


def both_ways_line(ways: pd.DataFrame) -> str:
    """Return what pruning costs under either split, from `tables_compression.both_ways`."""
    pruned = ways[ways["difference"].notna()]
    if pruned.empty:
        return "No network on hand-made features was pruned here."
    parts = [
        f"{row.title}, {row.protocol.replace('_', ' ')}: {row.accuracy:.3f} with "
        f"{times_as(row.fewer)[:-1]} times fewer weights ({signed(row.difference, 3)}, "
        f"{signed(row.difference_low, 3)} to {signed(row.difference_high, 3)})"
        for row in pruned.itertuples()
    ]
    plain = ways[ways["difference"].isna()].set_index("protocol")["accuracy"]
    text = f"{'; '.join(parts)}."
    if {"segment_random", "fault_filtered"} <= set(plain.index):
        text += (
            f" The network itself scores {plain['segment_random']:.2f} under `segment_random`, "
            f"where segments of the tested tracks are in training, and "
            f"{plain['fault_filtered']:.2f} under `fault_filtered`, which is made to keep tracks "
            f"and artists apart. {_what_else_differs(ways)}{_what_pruning_takes(pruned)}"
        )
    return text


def _what_else_differs(ways: pd.DataFrame) -> str:
    names = ("segment_random", "fault_filtered")
    plain = ways[ways["difference"].isna()].set_index("protocol")["n_train"]
    trained = " against ".join(f"{plain[name]:,.0f}" for name in names)
    parts = ["other tracks are tested", f"the training part is another ({trained} segments)"]
    fewer = [ways.loc[ways["protocol"].eq(name), "fewer"].dropna() for name in names]
    pruned = [enumeration(dict.fromkeys(times_as(n)[:-1] for n in of)) for of in fewer if len(of)]
    if len(set(pruned)) > 1:
        parts.append(f"more or less was pruned ({' against '.join(pruned)} times fewer weights)")
    return f"They differ in more than that: {enumeration(parts)}."


def _what_pruning_takes(pruned: pd.DataFrame) -> str:
    """Say where pruning costs accuracy and where it does not, as far as intervals tell."""
    of = dict(tuple(pruned.groupby("protocol")))
    if not {"segment_random", "fault_filtered"} <= set(of):
        return ""
    known, strange = (_verdict(of[name]) for name in ("segment_random", "fault_filtered"))
    text = f" Pruning {known} under the first; under the second, it {strange}."
    if (known == _COSTS) == (strange == _COSTS):
        return text
    reading = (
        "what is lost is memory of the tested tracks"
        if known == _COSTS
        else "segments on both sides hide what pruning costs on new tracks"
    )
    return f"{text} One reading: {reading}. So many differences leave room for others."


_COSTS = "costs accuracy"


def _verdict(rows: pd.DataFrame) -> str:
    lost, won = rows["difference_high"] < 0, rows["difference_low"] > 0
    if lost.all():
        return _COSTS
    if won.all():
        return "adds some"
    return f"makes a difference beyond luck in {(lost | won).sum()} of {len(rows)} cases"


def exports_line(agreement: pd.DataFrame, times: pd.DataFrame) -> str:
    """Return whether exported networks say what those in PyTorch say.

    Parameters
    ----------
    agreement : pd.DataFrame
        Of `tables_compression.agreement`.
    times : pd.DataFrame
        Of `tables_compression.latencies`.
    """
    if agreement.empty:
        return "Nothing was exported here."
    rounded = agreement["rounded_in_file"].astype(bool)
    text = (
        "Files were loaded again and held against the network in PyTorch, on the validation part."
    )
    for of, rows in (
        ("written as the network is", agreement[~rounded]),
        ("rounded to eight bits on the way into the file", agreement[rounded]),
    ):
        if len(rows):
            worst = rows.loc[rows["largest_difference"].idxmax()]
            text += (
                f" Of {count_of(len(rows), 'file')} {of}, {(rows['same_labels'] == 1).sum()} give "
                f"every clip the same label; the fewest same labels are "
                f"{rows['same_labels'].min():.1%}, the largest difference of a probability is "
                f"{worst['largest_difference']:.2g} ({worst['title']})."
            )
    mobile = times[(times["runtime"] == "ExecuTorch") & times["same_labels"].notna()]
    if len(mobile):
        text += (
            f" ExecuTorch and onnxruntime agree on at least {mobile['same_labels'].min():.0%} of "
            f"the labels of any network; no probability differs by more than "
            f"{mobile['largest_difference'].max():.2g}."
        )
    return text


def bundle_line(measured: Measured, times: pd.DataFrame) -> str:
    """Return what the bundle takes, from `tables_compression.latencies`."""
    rows = times[(times["model"] == BUNDLE) & (times["threads"] == 1)]
    if rows.empty:
        return "This copy comes without a trained network."
    row = rows.iloc[0]
    text = (
        f"The bundle that comes with the package is {size(row['file_bytes'])} in all. Loaded "
        f"({row['load_ms']:.0f} ms), it takes a sound file of 30 s to its label in "
        f"{row['label_ms']:.0f} ms of one core, {row['ms']:.1f} ms of them in the network; its "
        f"process never has more than {row['peak_mb']:.0f} MB."
    )
    if len(measured.cold):
        cold = measured.cold.median()
        text += (
            f" From a cold start of the command line it takes {cold['seconds']:.2f} s "
            f"({cold['cpu_s']:.2f} s of the processor). PyTorch is not imported."
        )
    return text


def answer(devices: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return which network to take for which device.

    Parameters
    ----------
    devices, table : pd.DataFrame
        Of `tables_compression.for_devices` and `tables_compression.compared`.
    """
    by_model = table.set_index("model")
    parts = []
    for row in devices.itertuples():
        if not isinstance(row.model, str):
            parts.append(f"**{row.device}**: none of these is small enough.")
            continue
        chosen = by_model.loc[row.model]
        said = f"**{row.device}**: {row.title} in {row.runtime}, {size(row.file_bytes)}, "
        said += interval(pd.Series(row._asdict()))
        if row.ms == row.ms:
            said += f", {row.ms:.2g} ms"
        if not chosen["best"]:
            said += f"; against the best {difference(chosen, 'best')}"
        parts.append(said + ".")
    return (
        f"{' '.join(parts)} Each is the most accurate on the validation part of those that fit; "
        f"times are those of this machine, not of the device. {ASSUMED}{_beyond(table)}"
    )


def _beyond(table: pd.DataFrame) -> str:
    """Say what the ensemble reaches, where it is known and better than all of these."""
    taught = table[table["teacher"].eq(ENSEMBLE) & table["teacher_difference"].notna()]
    reached = (taught["accuracy"] - taught["teacher_difference"]).max()
    if not reached > table["accuracy"].max():
        return ""
    return (
        f" These are single networks: {title({}, ENSEMBLE)} (notebook 07), which is many, reaches "
        f"{reached:.2f}."
    )
