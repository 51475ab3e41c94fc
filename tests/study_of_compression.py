"""A made-up study of compression, for tests of what is said and drawn of one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genre_utils.compression_steps import OnnxInt8
from genre_utils.experiments import TABULAR, StudyResult
from genre_utils.measuring import COLUMNS, Measured

GENRES = ("low", "high")


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    teacher: str | None
    steps: tuple[str, ...]
    purpose: str
    work: tuple = ()
    parent: str | None = None

    @property
    def origin(self):
        return self.teacher if self.steps else None


VARIANTS = {
    v.name: v
    for v in [
        Variant("resnet18_mel", "ResNet18", None, (), "reference"),
        Variant(
            "resnet18_int8",
            "ResNet18, int8",
            "resnet18_mel",
            ("static int8",),
            "smaller",
            (OnnxInt8(),),
        ),  # fmt: skip
        Variant("resnet_small", "Small ResNet", None, (), "best single network"),
        Variant("student_30k", "Student, 30k", "ensemble", ("distilled", "int8"), "smallest"),
        Variant("deep", "ResNet18, deep compressed", "resnet18_mel", ("pruned", "shared"), "tiny"),
        Variant("mlp", "MLP", None, (), "features"),
        Variant("mlp_pruned", "MLP, pruned", "mlp", ("pruned",), "features, fewer weights"),
    ]
}

# bytes of ONNX, of ExecuTorch, of packed weights; right answers of 40; ms alone on one thread
FACTS = {
    "resnet18_mel": ({"onnx": 44_000_000, "pte": 44_100_000}, 20, 0.50, 6.0),
    "resnet18_int8": ({"onnx": 11_200_000}, 19, 0.49, 2.0),
    "resnet_small": ({"onnx": 2_800_000, "pte": 2_790_000}, 26, 0.60, 5.0),
    "student_30k": ({"onnx": 60_000, "pte": 55_000}, 24, 0.58, 0.2),
    "deep": ({"onnx": 44_000_000, "packed": 900_000}, 20, 0.50, 6.0),
    "mlp": ({"onnx": 400_000, "packed": 390_000}, 22, 0.40, 0.02),
    "mlp_pruned": ({"onnx": 400_000, "packed": 39_000}, 22, 0.40, 0.02),
}


def rows(name, run_id, protocol, n_right):
    truth = np.array([0, 1] * 20)
    answers = np.where(np.arange(40) < n_right, truth, 1 - truth)
    p = np.where(answers[:, None] == np.arange(2), 0.8, 0.2).astype(np.float32)
    is_mlp = name.startswith("mlp")
    return pd.DataFrame(
        {
            "run_id": run_id,
            "dataset": "made-up",
            "model": name,
            "input": TABULAR if is_mlp else "spectrogram",
            "source": "table" if is_mlp else "picture",
            "protocol": protocol,
            "fold": 0,
            "seed": 0,
            "stage": "final",
            "segment_s": 10.0 if is_mlp else 30.0,
            "segment_start_s": 0.0,
            "n_train": 100,
            "track_id": [f"{GENRES[t]}.{i:05d}" for i, t in enumerate(truth)],
            "y_true": [GENRES[t] for t in truth],
            "p_low": p[:, 0],
            "p_high": p[:, 1],
        }
    )


def run(name, run_id, protocol):
    formats, _, validation, _ = FACTS[name]
    n = 11_000_000 if "resnet18" in name or name == "deep" else 100_000
    return {
        "run_id": run_id,
        "model": name,
        "teacher": VARIANTS[name].teacher,
        "steps": list(VARIANTS[name].steps),
        "protocol": protocol,
        "seed": 0,
        "input": TABULAR if name.startswith("mlp") else "spectrogram",
        "n_parameters": n,
        "nonzero_parameters": n // 12 if "pruned" in name else n,
        "multiply_adds": 30 * n,
        "bytes": formats,
        "train_accuracy": 0.9,
        "validation_accuracy": validation,
        "n_valid": 100,
        "fit_s": 1.0,
        "agreement": {"same_labels": 0.975, "largest_difference": 0.02},
        "artefacts": {},
        "input_shape": [57] if name.startswith("mlp") else [1, 80, 496],
    }


def result():
    found, runs = [], []
    for name, (_, n_right, _, _) in FACTS.items():
        protocols = ["fault_filtered"] + ["segment_random"] * name.startswith("mlp")
        for protocol in protocols:
            run_id = f"{name}-{protocol}"
            n = n_right + 14 * (protocol == "segment_random")
            found.append(rows(name, run_id, protocol, n))
            runs.append(run(name, run_id, protocol))
    return StudyResult(pd.concat(found, ignore_index=True), pd.DataFrame(runs), pd.DataFrame())


def ensemble():
    return rows("ensemble", "ensemble", "fault_filtered", 28)


def _measured_row(model, runtime, threads, n_bytes, ms):
    times = [ms, 1.1 * ms, 0.9 * ms]
    label = [5 + t for t in times]
    return {
        "model": model, "runtime": runtime, "threads": threads, "reason": None,
        "file_bytes": n_bytes, "import_ms": 100.0, "load_ms": 10.0, "runtime_mb": 50.0,
        "peak_mb": 60.0, "same_labels": 1.0, "largest_difference": 1e-4,
        "network_ms": [2 * t for t in times], "network_cpu_ms": times,
        "waveform_ms": [2 * t for t in label], "waveform_cpu_ms": label,
    }  # fmt: skip


def measured():
    table = [_measured_row("resnet18_mel", "PyTorch", n, 44_000_000, 18.0 / n) for n in (1, 2)]
    for name, (formats, _, _, ms) in FACTS.items():
        for runtime, kind in (("onnxruntime", "onnx"), ("ExecuTorch", "pte")):
            table += [
                _measured_row(name, runtime, n, formats[kind], ms / n)
                for n in (1, 2)
                if kind in formats
            ]
    table.append(_measured_row("bundle", "bundle", 1, 800_000, 2.0))
    table.append({"model": "deep", "runtime": "ExecuTorch", "reason": "there is no network.pte"})
    machine = {"cpu": "a processor", "instructions": ["avx2", "avx512_vnni"], "cores": 2}
    machine |= {"versions": {"torch": "2", "onnxruntime": "1"}, "rounds": 3, "system": "Linux"}
    cold = pd.DataFrame({"seconds": [0.5, 0.6], "cpu_s": [0.4, 0.4]})
    return Measured(pd.DataFrame(table, columns=COLUMNS), cold, machine)
