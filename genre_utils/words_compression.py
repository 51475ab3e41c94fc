"""Sentences of the notebook on compression, filled from its results."""

import pandas as pd

from genre_utils.measuring import BUNDLE, Measured
from genre_utils.results import interval, signed
from genre_utils.tables_compression import busy, difference, ratio, size, times_as
from genre_utils.words import count_of, enumeration

_UNDISTURBED = 0.1


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


def training_line(result) -> str:
    """Return what the study's training took.

    Parameters
    ----------
    result : StudyResult
        Of `compression.run`.
    """
    runs = result.runs
    seeds = enumeration(sorted(runs["seed"].unique()))
    return (
        f"{len(runs)} networks under {runs['protocol'].nunique()} splits; the dearest took "
        f"{runs['fit_s'].astype(float).max() / 60:.0f} minutes of training, with those before it. "
        f"Each rests on a single training with seed {seeds}; another seed gives another network "
        "and another accuracy. So a network is to be compared with what was made of it; "
        "notebook 04 shows how far seeds of ResNet18 lie apart."
    )


def best_line(table: pd.DataFrame) -> str:
    """Return which variant is the best deployable, from `tables_compression.compared`."""
    best = table[table["best"]].iloc[0]
    return (
        f"The best deployable network, by its accuracy on the validation part, is "
        f"**{best['title']}**: {interval(best)} on {best['n_tracks']:.0f} test tracks, in a file "
        f"of {size(best['file_bytes'])}. Differences are paired: the same tracks, with a 95 % "
        "interval from drawing tracks."
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
            f" The network itself falls from {plain['segment_random']:.2f} to "
            f"{plain['fault_filtered']:.2f} once no track is on both sides."
            if plain["segment_random"] > plain["fault_filtered"]
            else " On this data segments on both sides do not help the network."
        ) + _what_pruning_takes(pruned)
    return text


def _what_pruning_takes(pruned: pd.DataFrame) -> str:
    """Say where pruning costs accuracy and where it does not, as far as intervals tell."""
    of = dict(tuple(pruned.groupby("protocol")))
    if not {"segment_random", "fault_filtered"} <= set(of):
        return ""
    known, strange = (_verdict(of[name]) for name in ("segment_random", "fault_filtered"))
    text = (
        f" With segments of the tested tracks in training, pruning {known}; without, it {strange}."
    )
    if known == _COSTS and strange != _COSTS:
        text += (
            " What is lost looks like memory of those tracks rather than knowledge of genres; a "
            "figure with segments on both sides mixes the two."
        )
    if strange == _COSTS and known != _COSTS:
        text += " Segments on both sides hide what pruning costs on tracks that are new."
    return text


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
        " ".join(parts) + " Each is the most accurate on the validation part of those that fit; "
        "times are those of this machine, not of the device."
    )
