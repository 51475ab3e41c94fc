"""Measure what finished networks take: size, memory, time to load, time to answer.

Every network runs in a process of its own (`measured_process`). Networks take turns, round
after round, and the order is turned round each time, so that a machine that warms up or has
other work favours nobody; a ratio compares two networks in the same round. What was measured
is kept beside the predictions: it is data of the study, and no table or figure needs the
networks again. Energy is not measured.
"""

import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch import nn

from genre_utils import (
    arrays,
    bundle,
    compression,
    deep,
    deployment,
    features,
    inputs,
    progress,
    project,
    splits,
    training,
)
from genre_utils.compression_variants import NETWORKS, VARIANTS
from genre_utils.datasets import Dataset
from genre_utils.experiments import TABULAR, StudyResult
from genre_utils.project import Outputs, ProjectError

BUNDLE = "bundle"
"""How the network that comes with the package is called among the models."""

SOUND_S = 30.0
"""Length in seconds of the sound that is taken to its label."""

FILES = {"onnxruntime": "network.onnx", "ExecuTorch": "network.pte"}
"""What a variant's folder holds for each runtime."""

_VERSION = 1
_N_ITEMS = 20
_PACKAGES = ("torch", "onnxruntime", "executorch", "torchao", "numpy")
_MODULES = {"onnxruntime": "onnxruntime", "ExecuTorch": "executorch", "PyTorch": "torch"}


@dataclass(frozen=True)
class Subject:
    """A network in a runtime.

    Attributes
    ----------
    model, runtime : str
        A variant's name, or `BUNDLE`; and one of `measured_process.RUNTIMES`.
    file : Path
        What is loaded.
    items : np.ndarray [shape=(n_items, ...)]
        What it reads, at least one item.
    front : str or None
        One of `measured_process.FRONTS`, or None where nothing makes its input of sound.
    """

    model: str
    runtime: str
    file: Path
    items: np.ndarray = field(repr=False, compare=False)
    front: str | None


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes
    ----------
    rows : pd.DataFrame
        One row a model × runtime × number of threads: ``model, runtime, threads, reason``
        (why it could not be measured), ``file_bytes, import_ms, load_ms, runtime_mb`` (most
        memory of the process before the network), ``peak_mb`` (after it has run),
        ``same_labels`` and ``largest_difference`` (of a probability, from the first runtime
        of this model, on clips outside the test part), and lists with an entry a round:
        ``network_ms, network_cpu_ms, waveform_ms, waveform_cpu_ms``.
    cold : pd.DataFrame
        One row a cold start of the command line on a sound file: ``seconds, cpu_s``.
    machine : dict
        ``cpu, instructions, cores, system, python, versions, rounds``; empty where nothing
        is stored.
    """

    rows: pd.DataFrame
    cold: pd.DataFrame
    machine: dict


COLUMNS = [
    "model", "runtime", "threads", "reason", "file_bytes", "import_ms", "load_ms", "runtime_mb",
    "peak_mb", "same_labels", "largest_difference", "network_ms", "network_cpu_ms",
    "waveform_ms", "waveform_cpu_ms",
]  # fmt: skip


def measured(
    dataset: Dataset,
    result: StudyResult,
    *,
    study: str,
    outputs: Outputs,
    runtimes: list[str],
    eager: list[str],
    threads: list[int],
    rounds: int,
    seconds: float,
) -> Measured:
    """Measure the finished variants of a study and the bundle, or return what is stored.

    Parameters
    ----------
    dataset : Dataset
        Where items come from that the networks read.
    result : StudyResult
        Of `compression.run`.
    study : str
        Name under which the measurements are kept.
    outputs : Outputs
        Where they are kept.
    runtimes : list of str
        Some of `FILES`.
    eager : list of str
        Variants that are measured in eager PyTorch, too; such as have a network in 32 bits.
    threads : list of int
        Numbers of threads; more than there are cores are left out.
    rounds : int
        How often each network has its turn.
    seconds : float
        How long a turn is; at least three runs are timed.

    Returns
    -------
    Measured
        Empty where nothing is stored and nothing can be measured.
    """
    kept = outputs.results / "predictions" / f"{study}_measured.json"
    if project.from_predictions() or not dataset.available:
        return _read(kept)
    settings = [runtimes, eager, threads, rounds, seconds]
    key = project.text_digest(
        str(_VERSION), json.dumps(settings), _bundle_digest(), *sorted(result.runs["run_id"])
    )
    stored = _read(kept)
    if not project.retrain() and stored.machine.get("key") == key:
        return stored
    run_ids = _one_run_a_model(result.runs)["run_id"]
    gone = [run_id for run_id in run_ids if not compression.folder_of(run_id).is_dir()]
    if gone and len(stored.rows):
        raise ProjectError(
            f"{len(gone)} of {len(run_ids)} networks to measure are not in the cache, and what was "
            "measured of them would be lost; RETRAIN=1 make 08 trains and measures all of them"
        )
    with tempfile.TemporaryDirectory() as folder:
        sound = _made_up_sound(Path(folder) / "sound.wav")
        subjects, missing = _subjects(dataset, result, runtimes, eager, Path(folder))
        threads = [n for n in threads if n <= (os.cpu_count() or 1)]
        rows = measure(subjects, sound=sound, threads=threads, rounds=rounds, seconds=seconds)
        cold = cold_starts(sound, n=min(rounds, 5)) if _bundle_digest() else []
    content = {
        "machine": training.hardware(_PACKAGES) | {"rounds": rounds, "key": key},
        "rows": [*rows, *missing],
        "cold": cold,
    }
    project.write_atomic(kept, json.dumps(_rounded(content)) + "\n")
    return _read(kept)


def _read(kept: Path) -> Measured:
    content = {"rows": [], "cold": [], "machine": {}}
    if kept.is_file():
        content = json.loads(kept.read_text())
    return Measured(
        pd.DataFrame(content["rows"], columns=COLUMNS),
        pd.DataFrame(content["cold"], columns=["seconds", "cpu_s"]),
        content["machine"],
    )


def _rounded(value):
    """Return content with numbers of five significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _bundle_digest() -> str:
    """Return the digest of the shipped network; nothing where there is none."""
    try:
        return bundle.default().network_digest
    except bundle.BundleError:
        return ""


# ---- what is measured


def _subjects(
    dataset: Dataset, result: StudyResult, runtimes: list[str], eager: list[str], folder: Path
) -> tuple[list[Subject], list[dict]]:
    """Return what can be measured, and a row with the reason for what cannot."""
    examples = _Examples(dataset, result)
    subjects, missing = [], []
    strict = _one_run_a_model(result.runs)
    for run in strict.itertuples():
        items = examples.of(run.run_id)
        if run.model in eager:
            file = folder / f"{run.model}.pt"
            torch.save(_in_torch(run.model, run.run_id, items, len(dataset.genres)), file)
            subjects.append(Subject(run.model, "PyTorch", file, items, examples.front(run.run_id)))
        for runtime in runtimes:
            file = compression.folder_of(run.run_id) / FILES[runtime]
            reason = _why_not(runtime, file)
            if reason:
                missing.append({"model": run.model, "runtime": runtime, "reason": reason})
            else:
                found = Subject(run.model, runtime, file, items, examples.front(run.run_id))
                subjects.append(found)
    if _bundle_digest():
        found = bundle.default()
        shape = (1, found.preprocessing.n_mels, found.preprocessing.n_frames)
        items = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)
        subjects.append(Subject(BUNDLE, "bundle", found.folder, items, "bundle"))
    else:
        reason = "this copy comes without a trained network (make bundle)"
        missing.append({"model": BUNDLE, "runtime": "bundle", "reason": reason})
    return subjects, missing


def _one_run_a_model(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the run of each model under its strictest protocol: one network a model."""
    rank = runs["protocol"].map(splits.PROTOCOLS.index)
    ordered = runs.assign(rank=-rank).sort_values(["rank", "seed"], kind="stable")
    return ordered.drop_duplicates("model").sort_index()


def _why_not(runtime: str, file: Path) -> str | None:
    if importlib.util.find_spec(_MODULES[runtime]) is None:
        return f"{runtime} is not installed (pip install 'genre_utils[compression]')"
    if not file.parent.is_dir():
        return "its files are not in the cache any more (RETRAIN=1 makes them again)"
    if not file.is_file():
        return f"there is no {file.name} of it"
    return None


def _in_torch(name: str, run_id: str, items: np.ndarray, n_classes: int) -> nn.Module:
    """Return a variant's network as it is run in training, with its weights if they are kept."""
    network = deep.build(NETWORKS[VARIANTS[name].network], items, n_classes=n_classes, seed=0)
    weights = compression.folder_of(run_id) / "weights.safetensors"
    if weights.is_file():
        network = deployment.with_weights(network, weights.read_bytes())
    return network.eval()


class _Examples:
    """Items outside the test part, of what each variant reads."""

    def __init__(self, dataset: Dataset, result: StudyResult):
        self._dataset = dataset
        settings = result.predictions.drop_duplicates("run_id").set_index("run_id")
        self._settings = settings[["input", "source", "segment_s"]]
        self._found: dict[tuple, np.ndarray] = {}

    def of(self, run_id: str) -> np.ndarray:
        """Return items that a run's network reads [shape=(n_items, ...)]."""
        setting = tuple(self._settings.loc[run_id])
        if setting not in self._found:
            self._found[setting] = self._load(*setting)
        return self._found[setting]

    def front(self, run_id: str) -> str | None:
        """Return what makes a run's input of sound, if anything that is shipped does."""
        name, _, _ = self._settings.loc[run_id]
        if name == TABULAR:
            return TABULAR
        shipped = bundle.Preprocessing()
        fits = self.of(run_id).shape[1:] == (1, shipped.n_mels, shipped.n_frames)
        return "spectrogram" if fits else None

    def _load(self, name: str, source: str, segment_s: float) -> np.ndarray:
        if name == TABULAR:
            table = features.table(self._dataset, segment_s=segment_s)
            return table.X[self._outside_test(table.items)].astype(np.float32)
        data = inputs.spectrograms(self._dataset, segment_s, source=source)
        return data.x[self._outside_test(data.items)]

    def _outside_test(self, items: pd.DataFrame) -> np.ndarray:
        """Return positions of some items, evenly spread, of the validation part if there is one."""
        part = items["fault_filtered_split"].fillna("")
        positions = np.flatnonzero(part == "valid" if (part == "valid").any() else part != "test")
        return positions[arrays.spread(len(positions), _N_ITEMS)]


def _made_up_sound(file: Path) -> Path:
    """Write chords with some noise: 30 s, one channel, 16 bits."""
    rng, sr = np.random.default_rng(0), features.SR
    seconds = np.arange(round(SOUND_S * sr)) / sr
    pitches = rng.uniform(80, 4000, (15, 4))
    chords = [
        sum(np.sin(2 * np.pi * hz * part) for hz in of_chord)
        for of_chord, part in zip(pitches, np.array_split(seconds, 15), strict=True)
    ]
    y = 0.15 * np.concatenate(chords) + 0.02 * rng.standard_normal(len(seconds))
    soundfile.write(file, y, sr, subtype="PCM_16")
    return file


# ---- measuring


def measure(
    subjects: list[Subject], *, sound: Path, threads: list[int], rounds: int, seconds: float
) -> list[dict]:
    """Measure networks, each in a process of its own, in turn.

    Parameters
    ----------
    subjects : list of Subject
        What to measure; the first runtime of a model is what its others are compared with.
    sound : Path
        Sound file that is taken to its label.
    threads : list of int
        Numbers of threads.
    rounds : int
        Turns of each network.
    seconds : float
        Length of a turn.

    Returns
    -------
    list of dict
        One row a subject × number of threads; see `Measured`.
    """
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        processes = [
            stack.enter_context(_process(subject, sound, Path(folder, f"{position}.npy")))
            for position, subject in enumerate(subjects)
        ]
        loaded = [process.ask("load") for process in processes]
        for process, row in zip(processes, loaded, strict=True):
            row["logits"] = process.ask("logits") if "reason" not in row else None
        _compare(subjects, loaded)
        turns = _turns(processes, threads, rounds)
        rows = {
            (position, n): {"model": subject.model, "runtime": subject.runtime, "threads": n}
            | loaded[position]
            | {name: [] for name in COLUMNS if name.endswith("_ms") and name[0] in "nw"}
            for position, subject in enumerate(subjects)
            for n in threads
        }
        for position, n in progress.track(turns, total=len(turns), desc="measuring"):
            for what in ("network", "waveform"):
                found = processes[position].ask(what, threads=n, seconds=seconds)
                if found and "reason" in found:
                    rows[position, n]["reason"] = found["reason"]
                elif found:
                    rows[position, n][f"{what}_ms"].append(found["ms"])
                    rows[position, n][f"{what}_cpu_ms"].append(found["cpu_ms"])
    return list(rows.values())


def _turns(processes: list, threads: list[int], rounds: int) -> list[tuple[int, int]]:
    positions = list(range(len(processes)))
    return [
        (position, n)
        for n in threads
        for turn in range(rounds)
        for position in (positions if turn % 2 == 0 else positions[::-1])
    ]


def _compare(subjects: list[Subject], loaded: list[dict]) -> None:
    """Hold what each runtime says against what the first one of its model says."""
    first: dict[str, np.ndarray] = {}
    for subject, row in zip(subjects, loaded, strict=True):
        logits = row.pop("logits")
        row["file_bytes"] = _bytes_of(subject.file)
        if logits is None:
            continue
        probabilities = bundle.softmax(np.array(logits))
        if subject.model in first:
            other = first[subject.model]
            same = probabilities.argmax(axis=1) == other.argmax(axis=1)
            row["same_labels"] = float(same.mean())
            row["largest_difference"] = float(np.abs(probabilities - other).max())
        first.setdefault(subject.model, probabilities)


def _bytes_of(file: Path) -> int:
    files = file.iterdir() if file.is_dir() else [file]
    return sum(part.stat().st_size for part in files)


@contextmanager
def _process(subject: Subject, sound: Path, items: Path) -> Iterator["_Process"]:
    np.save(items, subject.items)
    process = _Process(subject, sound, items)
    try:
        yield process
    finally:
        process.end()


class _Process:
    """A network in its process, spoken to in lines of JSON."""

    def __init__(self, subject: Subject, sound: Path, items: Path):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._reason: str | None = None
        self._what = {
            "runtime": subject.runtime,
            "file": str(subject.file),
            "item": str(items),
            "sound": str(sound),
            "front": subject.front,
        }
        package = str(Path(__file__).resolve().parent.parent)
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "genre_utils.measured_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # What the environment says of threads would be stronger than what is asked for.
            env={k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
            | {"PYTHONPATH": os.pathsep.join(paths)},
        )

    def ask(self, what: str, **how) -> dict | list | None:
        """Send a request and return its answer, or the reason why there is none."""
        if self._reason is None:
            request = {"do": what, "how": how} | ({"what": self._what} if what == "load" else {})
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                return json.loads(self._process.stdout.readline())
            except (BrokenPipeError, json.JSONDecodeError):
                self._process.wait()
                self._reason = self._last_words()
        return {"reason": self._reason}

    def end(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        # A record never holds a path of the machine.
        last = re.sub(r"\S*[/\\]\S*[/\\]", "", lines[-1]) if lines else "no message"
        return f"its process ended with: {last}"


def cold_starts(sound: Path, *, n: int, model: Path | None = None) -> list[dict]:
    """Time the command line from its start to the label of a sound file.

    Parameters
    ----------
    sound : Path
        Sound file.
    n : int
        How often.
    model : Path, optional
        A bundle's folder; by default the one that comes with the package.

    Returns
    -------
    list of dict
        ``seconds`` that passed, and ``cpu_s`` of the processor in all of its threads.

    Raises
    ------
    ProjectError
        If the command fails; with what it said.
    """
    command = [sys.executable, "-m", "genre_utils", "predict", "--json", str(sound)]
    command += ["--model", str(model)] if model else []
    found = []
    for _ in range(n):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=project.root())
        passed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise ProjectError(f"the command line failed on made-up sound: {done.stderr.strip()}")
        worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append({"seconds": passed, "cpu_s": worked})
    return found
