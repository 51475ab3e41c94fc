"""Time this project's code against the usual ways, side by side: ``make bench``.

Every *way* does the same work on the same clips and the same cores, in turn, several
times over; the order is turned round each time, so that a machine that warms up or has
other work favours nobody. A ratio compares two ways in the same round.
"""

import argparse
import importlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import librosa
import librosa.display
import matplotlib
import numpy as np
import pandas as pd
import scipy.signal
import threadpoolctl
import torch
import torchvision
from matplotlib import pyplot as plt
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from genre_utils import (
    audio,
    datasets,
    features,
    images,
    plots_bench,
    progress,
    project,
    results,
    training,
)
from genre_utils.models import resnet
from genre_utils.training import Clock, Machine

SR = features.SR
SEGMENT_S = 3.0
BATCH_SIZE = 32
SHAPE = (128, 256)
"""Height and width of the pictures that both loops are given at the same resolution."""

OWN_SHAPES = (SHAPE, (128, 130))
"""Grey pictures for this project's networks; the last has a pixel a mel band and frame."""

USUAL_SHAPE = (224, 224)
"""Height and width of what networks for photographs usually see."""

STORED_SHAPE = (288, 432)
"""Height and width of the pictures that are passed around with GTZAN."""

TARGETS = {"table": 10, "log-mel": 10, "pictures": 50, "same resolution": 2, "usual 224": 4}
"""How many times as fast each benchmark is meant to be."""

PARTS = ("table", "log-mel", "pictures", "training")
_PACKAGES = (
    "numpy", "scipy", "librosa", "numba", "matplotlib", "pillow", "torch", "torchvision",
    "genre-utils",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way to do the work of a benchmark.

    Attributes
    ----------
    benchmark, name : str
        What is compared, and how this way is called.
    run : callable
        ``run()`` does the work once and returns seconds by part of it; parts that ran on
        several cores at once add up to more than the time that passed.
    n_items : int
        How many clips or pictures one run works on.
    """

    benchmark: str
    name: str
    run: Callable[[], dict[str, float]]
    n_items: int


def measure(ways: list[Way], *, repeats: int) -> pd.DataFrame:
    """Time the ways of each benchmark in turn; the first of each is its reference.

    Parameters
    ----------
    ways : list of Way
        Each runs once more before it counts, since first calls compile and import.
    repeats : int
        Number of rounds.

    Returns
    -------
    pd.DataFrame
        One row a way × round × part of the work: benchmark, variant, reference, part
        (``total`` is the time that passed), repeat, seconds, n_items, and ratio: the
        reference's seconds by this way's, an item, in the same round (NaN where the
        reference has no such part).
    """
    rounds = [None, *range(repeats)]
    order = [(r, way) for r in rounds for way in (ways if (r or 0) % 2 == 0 else ways[::-1])]
    rows = []
    for repeat, way in progress.track(order, total=len(order), desc="measuring"):
        start = time.perf_counter()
        parts = way.run()
        parts = {"total": time.perf_counter() - start, **parts}
        if repeat is not None:
            rows += [
                (way.benchmark, way.name, part, repeat, seconds, way.n_items)
                for part, seconds in parts.items()
            ]
    columns = ["benchmark", "variant", "part", "repeat", "seconds", "n_items"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(2, "reference", table["benchmark"].map(_first(ways)))
    cell = ["benchmark", "part", "repeat"]
    each = table.assign(each=table["seconds"] / table["n_items"])
    references = each[each["variant"] == each["reference"]].set_index(cell)["each"]
    matched = references.reindex(pd.MultiIndex.from_frame(table[cell])).to_numpy()
    return table.assign(ratio=matched / each["each"])


def _first(ways: list[Way]) -> dict[str, str]:
    return {way.benchmark: way.name for way in reversed(ways)}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios of each way with their spread.

    Parameters
    ----------
    table : pd.DataFrame
        From `measure`.

    Returns
    -------
    pd.DataFrame
        One row a way that is not a reference: benchmark, variant, reference, milliseconds
        an item of both (medians), ratio (median), ratio_low, ratio_high (smallest and
        largest of all rounds).
    """
    totals = table[table["part"] == "total"]
    totals = totals.assign(ms=1000 * totals["seconds"] / totals["n_items"])
    by_way = totals.groupby(["benchmark", "variant"], sort=False)
    found = by_way.agg(
        reference=("reference", "first"),
        ms=("ms", "median"),
        ratio=("ratio", "median"),
        ratio_low=("ratio", "min"),
        ratio_high=("ratio", "max"),
    ).reset_index()
    of_reference = found.set_index(["benchmark", "variant"])["ms"]
    keys = pd.MultiIndex.from_frame(found[["benchmark", "reference"]])
    found.insert(3, "reference_ms", of_reference.reindex(keys).to_numpy())
    return found[found["variant"] != found["reference"]].reset_index(drop=True)


# ---- the table of features: a clip and its segments, from the file to 57 numbers each

PLAIN_LOOP: dict[str, Callable] = {
    "chroma": lambda y, sr: [librosa.feature.chroma_stft(y=y, sr=sr)],
    "RMS": lambda y, sr: [librosa.feature.rms(y=y)],
    "spectral centroid": lambda y, sr: [librosa.feature.spectral_centroid(y=y, sr=sr)],
    "spectral bandwidth": lambda y, sr: [librosa.feature.spectral_bandwidth(y=y, sr=sr)],
    "spectral rolloff": lambda y, sr: [librosa.feature.spectral_rolloff(y=y, sr=sr)],
    "zero-crossing rate": lambda y, sr: [librosa.feature.zero_crossing_rate(y)],
    "harmonic and percussive": lambda y, sr: librosa.effects.hpss(y),
    "tempo": lambda y, sr: librosa.beat.beat_track(y=y, sr=sr)[0],
    "20 MFCCs": lambda y, sr: librosa.feature.mfcc(y=y, sr=sr, n_mfcc=20),
}
"""The usual loop: each feature by its own call of librosa, which starts from the waveform."""


def plain_features(y: np.ndarray, *, sr: int = SR, clock: Clock | None = None) -> np.ndarray:
    """Compute the 57 features in the usual way.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.
    clock : Clock, optional
        Counts each feature's time.

    Returns
    -------
    values : np.ndarray [shape=(57,), dtype=float64]
        In the order of `features.FEATURE_NAMES`.
    """
    clock = clock or Clock()
    values: list[float] = []
    for name, series_of in PLAIN_LOOP.items():
        with clock.phase(name):
            series = series_of(y, sr)
            if name == "tempo":
                values.append(float(np.squeeze(series)))
            else:
                values += [f(row) for row in series for f in (np.mean, np.var)]
    return np.array(values, dtype=np.float64)


def _cut(y: np.ndarray) -> list[np.ndarray]:
    bounds = audio.segment_bounds(len(y) / SR, SEGMENT_S)
    return [y, *(y[round(start * SR) : round(end * SR)] for start, end in bounds)]


def _plain_table(path: Path) -> dict[str, float]:
    clock = Clock()
    with clock.phase("decoding"):
        y, _ = librosa.load(path, sr=SR)
    for signal in _cut(y):
        plain_features(signal, clock=clock)
    return dict(clock.seconds)


def _our_table(path: Path) -> dict[str, float]:
    clock = Clock()
    with clock.phase("decoding"):
        y = audio.load(path, sr=SR)
    with clock.phase("features"):
        features.tabular_batch(_cut(y), sr=SR)
    return dict(clock.seconds)


def table_ways(paths: list[Path], pool: Executor) -> list[Way]:
    """Return the ways to the 57 features of each clip and of its 3-s segments.

    Parameters
    ----------
    paths : list of Path
        Sound files.
    pool : Executor
        Processes to do it in, one a core.
    """
    return [
        Way("table", name, partial(_together, pool, work, [(path,) for path in paths]), len(paths))
        for name, work in (("librosa, call by call", _plain_table), ("this project", _our_table))
    ]


def _together(pool: Executor, work: Callable, arguments: list[tuple]) -> dict[str, float]:
    """Do the work on all cores; add up its parts' seconds."""
    parts: dict[str, float] = {}
    for seconds in pool.map(work, *zip(*arguments, strict=True)):
        for part, value in seconds.items():
            parts[part] = parts.get(part, 0.0) + value
    return parts


def _workers(cores: int) -> ProcessPoolExecutor:
    """Return as many processes as there are cores, of one thread each."""
    # Not forked: the threads of PyTorch and numba do not survive that.
    return ProcessPoolExecutor(cores, mp_context=get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)
    matplotlib.use("Agg")


# ---- log-mel spectrograms, from samples in memory


def _librosa_log_mel(y: np.ndarray) -> np.ndarray:
    return librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR))


def _our_log_mel(y: np.ndarray) -> np.ndarray:
    return features.log_mel(y, sr=SR)


def _torchaudio_log_mel(y: np.ndarray) -> np.ndarray:
    return _torchaudio_transform()(torch.from_numpy(y)).numpy()


@lru_cache(maxsize=1)
def _torchaudio_transform() -> nn.Module:
    transform = importlib.import_module("torchaudio").transforms
    mel = transform.MelSpectrogram(
        SR, n_fft=2048, hop_length=512, n_mels=128, norm="slaney", mel_scale="slaney",
        pad_mode="constant",
    )  # fmt: skip
    return nn.Sequential(mel, transform.AmplitudeToDB("power", top_db=80))


def _nnaudio_log_mel(y: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        mel = _nnaudio_transform()(torch.from_numpy(y))[0].numpy()
    return librosa.power_to_db(mel)


@lru_cache(maxsize=1)
def _nnaudio_transform() -> nn.Module:
    spectrogram = importlib.import_module("nnAudio.features").MelSpectrogram
    return spectrogram(
        sr=SR, n_fft=2048, hop_length=512, n_mels=128, pad_mode="constant", verbose=False
    )


LOG_MEL: dict[str, tuple[Callable, str | None, int]] = {
    "librosa": (_librosa_log_mel, None, 10),
    "this project": (_our_log_mel, None, 10),
    "torchaudio": (_torchaudio_log_mel, "torchaudio", 10),
    "nnAudio": (_nnaudio_log_mel, "nnAudio.features", 1),
}
"""Ways to a log-mel spectrogram, with the module they need, and how often a run repeats it."""


def why_not(module: str) -> str | None:
    """Return the reason why a module cannot be used here, None where it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a library for another PyTorch fails in ways of its own
        # A record never holds a path of the machine.
        reason = re.sub(r"\S*[/\\]\S*[/\\]", "", str(error).strip().split("\n")[0])
        return f"{type(error).__name__}: {reason}"
    return None


def log_mel_ways(
    signals: Path, n_clips: int, pool: Executor, cores: int
) -> tuple[list[Way], dict[str, str]]:
    """Return the ways to log-mel spectrograms, and why others are left out.

    Parameters
    ----------
    signals : Path
        Array file of the clips [shape=(n_clips, n_samples), dtype=float32].
    n_clips : int
        Number of clips.
    pool : Executor
        Processes to do it in.
    cores : int
        Number of processes; each gets its share of the clips.
    """
    skipped, ways = {}, []
    for name, (function, module, passes) in LOG_MEL.items():
        reason = why_not(module) if module else None
        if reason:
            skipped[f"log-mel: {name}"] = reason
            continue
        tasks = [(function, signals, range(k, n_clips, cores), passes) for k in range(cores)]
        ways.append(
            Way("log-mel", name, partial(_together, pool, _repeatedly, tasks), passes * n_clips)
        )
    return ways, skipped


def _repeatedly(function: Callable, signals: Path, rows: range, passes: int) -> dict[str, float]:
    clock, clips = Clock(), np.load(signals, mmap_mode="r")
    for row in rows:
        y = np.array(clips[row])
        with clock.phase("log-mel"):
            for _ in range(passes):
                function(y)
    return dict(clock.seconds)


# ---- pictures, from samples in memory to a file


def _plot_mel(y: np.ndarray) -> None:
    librosa.display.specshow(_librosa_log_mel(y), sr=SR, x_axis="time", y_axis="mel")
    plt.colorbar(format="%+2.0f dB")


def _plot_waveform(y: np.ndarray) -> None:
    plt.plot(np.arange(len(y)) / SR, y)


def _plot_zcr(y: np.ndarray) -> None:
    plt.plot(librosa.feature.zero_crossing_rate(y)[0])


def _plot_mfcc(y: np.ndarray) -> None:
    librosa.display.specshow(librosa.feature.mfcc(y=y, sr=SR, n_mfcc=20), sr=SR, x_axis="time")
    plt.colorbar()


def _plot_gtzan(y: np.ndarray) -> None:
    hz, seconds, power = scipy.signal.spectrogram(y, SR)
    plt.pcolormesh(seconds, hz, np.log(power + 1e-12))


PICTURES: dict[str, tuple[Callable, Callable]] = {
    "mel": (_plot_mel, images.mel_picture),
    "waveform": (_plot_waveform, images.waveform_picture),
    "ZCR": (_plot_zcr, images.zcr_picture),
    "MFCC": (_plot_mfcc, images.mfcc_picture),
    "images_original": (_plot_gtzan, images.gtzan_picture),
}
"""Kinds of picture: how it is plotted, and how this project makes it."""


def _plotted(plot: Callable, y: np.ndarray) -> bytes:
    """Plot with matplotlib at its default size of 640 × 480, and save as PNG."""
    plt.figure()
    plot(y)
    file = BytesIO()
    plt.savefig(file, format="png")
    plt.close()
    return file.getvalue()


def _drawn(picture: Callable, y: np.ndarray) -> bytes:
    """Make a picture as an array, and save it as the cache does."""
    file = BytesIO()
    np.save(file, picture(y))
    return file.getvalue()


def _all_pictures(
    save: Callable, which: int, signals: Path, rows: range, passes: int
) -> dict[str, float]:
    clock, clips = Clock(), np.load(signals, mmap_mode="r")
    for row in rows:
        y = np.array(clips[row])
        for kind, ways in PICTURES.items():
            with clock.phase(kind):
                for _ in range(passes):
                    save(ways[which], y)
    return dict(clock.seconds)


def picture_ways(signals: Path, n_clips: int, pool: Executor, cores: int) -> list[Way]:
    """Return the ways to all five pictures of each clip; arguments as `log_mel_ways`.

    This project's way goes through the clips ten times: once is too short to time.
    """
    ways = []
    for name, save, which, passes in (
        ("matplotlib", _plotted, 0, 1),
        ("this project", _drawn, 1, 10),
    ):
        tasks = [(save, which, signals, range(k, n_clips, cores), passes) for k in range(cores)]
        ways.append(
            Way("pictures", name, partial(_together, pool, _all_pictures, tasks), passes * n_clips)
        )
    return ways


# ---- one epoch of training


def _pieces(signals: np.ndarray, n: int) -> list[np.ndarray]:
    """Cut n different pieces from clips, in turn."""
    length = int(SEGMENT_S * SR)
    starts = [i // len(signals) * length % max(1, signals.shape[1] - length) for i in range(n)]
    return [np.array(signals[i % len(signals), s : s + length]) for i, s in enumerate(starts)]


def usual_epochs(folder: Path, shape: tuple[int, int]) -> Callable[[], dict[str, float]]:
    """Return the usual training loop, one epoch a call: ImageFolder, float32, Adam."""
    transform = transforms.Compose(
        [
            transforms.Resize(shape),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    dataset = torchvision.datasets.ImageFolder(folder, transform)
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True)
    network = torchvision.models.resnet18(weights=None, num_classes=10)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> dict[str, float]:
        clock = Clock()
        network.train()
        batches = iter(loader)
        for _ in range(len(loader)):
            with clock.phase("loading"):
                x, y = next(batches)
            with clock.phase("forward"):
                loss = loss_of(network(x), y)
            with clock.phase("backward"):
                optimiser.zero_grad()
                loss.backward()
            with clock.phase("optimiser"):
                optimiser.step()
        return clock.seconds

    return epoch


def our_epochs(x: np.ndarray, y: np.ndarray, machine: Machine) -> Callable[[], dict[str, float]]:
    """Return this project's training, one epoch a call."""
    network = training.standardised(resnet.build(n_channels=x.shape[1]), x)
    recipe = training.Recipe(epochs=1, batch_size=BATCH_SIZE)

    def epoch() -> dict[str, float]:
        history = training.fit(network, (x, y), recipe=recipe, machine=machine).history
        return {phase: history[f"seconds_{phase}"].sum() for phase in training.PHASES}

    return epoch


def training_ways(folder: Path, signals: np.ndarray, n_images: int, machine: Machine) -> list[Way]:
    """Return the ways to train ResNet18 for one epoch on pictures of the same 3-s pieces.

    ``same resolution`` gives both loops the same network and coloured pictures of `SHAPE`;
    ``usual 224`` sets coloured ones of `USUAL_SHAPE` against grey ones of `OWN_SHAPES`.
    """
    pieces, labels = _pieces(signals, n_images), np.arange(n_images) % 10
    for i, piece in enumerate(pieces):
        target = folder / f"genre{labels[i]}" / f"{i:05d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_mel_pictures([piece], STORED_SHAPE)[0].transpose(1, 2, 0)).save(target)
    runs = [
        ("same resolution", "usual loop", SHAPE, 3, usual_epochs(folder, SHAPE)),
        (
            "same resolution",
            "this project",
            SHAPE,
            3,
            our_epochs(_mel_pictures(pieces, SHAPE), labels, machine),
        ),
        ("usual 224", "usual loop", USUAL_SHAPE, 3, usual_epochs(folder, USUAL_SHAPE)),
    ]
    for shape in OWN_SHAPES:
        grey = _mel_pictures(pieces, shape, cmap=None)[:, None]
        runs.append(("usual 224", "this project", shape, 1, our_epochs(grey, labels, machine)))
    return [
        Way(benchmark, f"{name}, {shape[0]} × {shape[1]} × {channels}", run, n_images)
        for benchmark, name, shape, channels, run in runs
    ]


def _mel_pictures(pieces: list[np.ndarray], shape: tuple[int, int], **options) -> np.ndarray:
    height, width = shape
    return np.stack([images.mel_picture(y, height=height, width=width, **options) for y in pieces])


# ---- the command


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m genre_utils.bench``; return the exit code."""
    options = _parsed(arguments)
    cores = _use_cores(options.cores)
    try:
        dataset = datasets.load(options.dataset)
        paths = chosen(dataset, options.clips)
    except project.ProjectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    machine = Machine.cpu()
    print(
        f"timing on {len(paths)} clips of {dataset.title}, {cores} cores, {options.repeats} rounds"
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, _workers(cores) as pool:
        ways, skipped = _ways(options, paths, pool, cores, machine, Path(folder))
        table = measure(ways, repeats=options.repeats).assign(cores=cores)
    record = {
        "dataset": dataset.name,
        "clips": [path.name for path in paths],
        "seconds_of_a_clip": round(float(np.mean([audio.duration(p) for p in paths])), 2),
        "repeats": options.repeats,
        "images": options.images,
        "batch_size": BATCH_SIZE,
        "skipped": skipped,
        "duration_s": round(time.perf_counter() - started, 1),
        **training.hardware(_PACKAGES, cores=cores),
        "bfloat16": machine.bfloat16,
    }
    _write(table, record, synthetic=dataset.synthetic)
    return 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    def positive(text: str) -> int:
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
        return int(text)

    parser = argparse.ArgumentParser(prog="python -m genre_utils.bench", description=__doc__)
    parser.add_argument("--dataset", default="demo", help="whose clips (demo)")
    for name, default, what in (
        ("clips", 8, "number of clips"),
        ("repeats", 5, "number of rounds"),
        ("images", 128, "number of pictures in an epoch of training"),
        ("cores", 2, "number of cores for either side"),
    ):
        parser.add_argument(
            f"--{name}", type=positive, default=default, metavar="N", help=f"{what} ({default})"
        )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="leave out the rest"
    )
    return parser.parse_args(arguments)


def chosen(dataset: datasets.Dataset, n_clips: int) -> list[Path]:
    """Return the sound files of some tracks, of as many genres as there can be.

    Raises
    ------
    ProjectError
        If the data set has fewer tracks with audio.
    """
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()]
    if len(tracks) < n_clips:
        raise project.ProjectError(
            f"{dataset.title} has {len(tracks)} tracks with audio in {dataset.root}; expected "
            f"{n_clips}; ask for fewer with --clips, or for another --dataset"
        )
    turn = tracks.groupby("genre").cumcount()
    return list(tracks.loc[turn.sort_values(kind="stable").index[:n_clips], "audio_path"])


def _use_cores(wanted: int) -> int:
    """Keep this process and its children to some cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))[:wanted]
        os.sched_setaffinity(0, allowed)
        wanted = len(allowed)
    cores = min(wanted, os.cpu_count() or 1)
    torch.set_num_threads(cores)
    return cores


def _ways(
    options: argparse.Namespace,
    paths: list[Path],
    pool: Executor,
    cores: int,
    machine: Machine,
    folder: Path,
) -> tuple[list[Way], dict[str, str]]:
    loaded = [audio.load(path, sr=SR) for path in paths]
    shortest = min(map(len, loaded))
    clips, signals = np.stack([y[:shortest] for y in loaded]), folder / "signals.npy"
    np.save(signals, clips)
    ways, skipped = [], {}
    if "table" in options.only:
        ways += table_ways(paths, pool)
    if "log-mel" in options.only:
        made, skipped = log_mel_ways(signals, len(clips), pool, cores)
        ways += made
    if "pictures" in options.only:
        ways += picture_ways(signals, len(clips), pool, cores)
    if "training" in options.only:
        ways += training_ways(folder / "pictures", clips, options.images, machine)
    return ways, skipped


def _write(table: pd.DataFrame, record: dict, *, synthetic: bool) -> None:
    outputs = project.Outputs(record["dataset"])
    results_folder, figures_folder = outputs.results.parent, outputs.figures.parent
    found = summary(table).assign(target=lambda frame: frame["benchmark"].map(TARGETS))
    bf16 = "bfloat16" if record["bfloat16"] else "float32 (no bfloat16 instructions here)"
    caption = (
        f"{record['cpu']}, {record['cores']} cores, {record['repeats']} rounds, "
        f"{len(record['clips'])} clips of {record['dataset']}; training in {bf16}; "
        f"librosa {record['versions']['librosa']}, PyTorch {record['versions']['torch']}"
    )
    figure = plots_bench.speed(found, table, caption=caption, synthetic=synthetic)
    project.write_atomic(
        results_folder / "bench.csv", table.to_csv(index=False, float_format="%.6g")
    )
    project.write_atomic(results_folder / "bench.json", json.dumps(record, indent=1) + "\n")
    for ending, content in results.figure_files(figure, name="bench", alt=described(found)).items():
        project.write_atomic(figures_folder / f"bench.{ending}", content)
    print(found.round(3).to_string(index=False))
    for what, reason in record["skipped"].items():
        print(f"left out: {what} ({reason})")
    print(f"wrote bench.csv and bench.json to {results_folder}, bench.png to {figures_folder}")


def described(found: pd.DataFrame) -> str:
    """Return in words what the figure of a `summary` shows."""
    said = [
        f"{row.benchmark}: {row.variant} {row.ratio:.1f} times as fast as {row.reference} "
        f"({row.ratio_low:.1f} to {row.ratio_high:.1f})"
        for row in found.itertuples()
    ]
    return f"How many times as fast, and where the time goes. {'; '.join(said)}."


if __name__ == "__main__":
    # Worker processes import functions by their module's name, and __main__ is none.
    from genre_utils import bench

    sys.exit(bench.main())
