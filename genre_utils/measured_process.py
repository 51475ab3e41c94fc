"""One network in a process of its own, which says what loading and running it takes.

`measuring` starts it as ``python -m genre_utils.measured_process`` and sends one request a
line, in JSON; each is answered by a line. Nothing is imported before the runtime that is
measured: what this module needs itself is small.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
"""Takes a batch of one item and returns its logits."""

_FEWEST, _MOST = 3, 300


def main() -> None:
    """Answer requests until standard input ends."""
    # Libraries print as they like: the real standard output is kept for answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    network = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "load":
            network = _Network(**request["what"])
        answer = getattr(network, f"do_{request['do']}")(**request.get("how", {}))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class _Network:
    """A loaded network.

    Parameters
    ----------
    runtime : str
        One of `RUNTIMES`.
    file : str
        What is loaded: a file, or a bundle's folder.
    item : str
        Array file with items that it reads.
    sound : str
        Sound file that is taken from waveform to label.
    front : str or None
        One of `FRONTS`: what is made of sound before the network; None where this network
        reads nothing that is made of sound here.
    """

    def __init__(self, runtime: str, file: str, item: str, sound: str, front: str | None):
        self._runtime = RUNTIMES[runtime](Path(file))
        self._items = np.load(item)
        self._sound, self._front = Path(sound), front
        self._threads = 0

    def do_load(self) -> dict:
        """Import the runtime, load the network on one thread, run it once."""
        started = time.perf_counter()
        self._runtime.import_it()
        imported = time.perf_counter()
        before = _peak_mb()
        self._use(1)
        loaded = time.perf_counter()
        self._run(self._items[:1])
        return {
            "import_ms": 1000 * (imported - started),
            "load_ms": 1000 * (loaded - imported),
            "runtime_mb": before,
            "peak_mb": _peak_mb(),
        }

    def do_logits(self) -> list[list[float]]:
        """Return what the network says of all items."""
        self._use(1)
        return np.concatenate(
            [self._run(self._items[i : i + 1]) for i in range(len(self._items))]
        ).tolist()

    def do_network(self, threads: int, seconds: float) -> dict:
        """Time the network alone."""
        self._use(threads)
        item = np.ascontiguousarray(self._items[:1])
        return _timed(lambda: self._run(item), threads, seconds)

    def do_waveform(self, threads: int, seconds: float) -> dict | None:
        """Time the way from a sound file to the number of its genre."""
        if self._front is None:
            return None
        self._use(threads)
        front = FRONTS[self._front]
        return _timed(lambda: front(self._sound, self._run, self._runtime), threads, seconds)

    def _use(self, threads: int) -> None:
        if threads != self._threads:
            self._run, self._threads = self._runtime.load(threads), threads


def _timed(work: Callable[[], object], threads: int, seconds: float) -> dict:
    """Return medians of the time that passed and of the processor's, in milliseconds.

    Other work on the machine makes time pass, but takes no time of this thread.
    """
    clock = time.thread_time if threads == 1 else time.process_time
    work()
    passed, worked, started = [], [], time.perf_counter()
    while len(passed) < _FEWEST or (
        time.perf_counter() - started < seconds and len(passed) < _MOST
    ):
        begun, begun_work = time.perf_counter(), clock()
        work()
        passed.append(time.perf_counter() - begun)
        worked.append(clock() - begun_work)
    return {"ms": 1000 * median(passed), "cpu_ms": 1000 * median(worked)}


def _peak_mb() -> float:
    """Return the most memory that this process has had so far, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


class _Runtime:
    """A library that runs networks, and the file of the one that it shall run."""

    def __init__(self, file: Path):
        self._file = file


class _OnnxRuntime(_Runtime):
    def import_it(self) -> None:
        import onnxruntime

        self._library = onnxruntime

    def load(self, threads: int) -> Run:
        options = self._library.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        session = self._library.InferenceSession(
            self._file, options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})[0]


class _ExecuTorch(_Runtime):
    def import_it(self) -> None:
        import torch
        from executorch import runtime
        from executorch.extension.pybindings import portable_lib

        self._torch, self._runtime, self._library = torch, runtime.Runtime.get(), portable_lib

    def load(self, threads: int) -> Run:
        self._torch.set_num_threads(threads)
        # Only programs that are loaded afterwards use the new threads.
        self._library._unsafe_reset_threadpool(threads)
        program = self._runtime.load_program(self._file)
        method = program.load_method("forward")
        return lambda x: method.execute([self._torch.from_numpy(x)])[0].numpy()


class _PyTorch(_Runtime):
    def import_it(self) -> None:
        import torch
        import torchvision

        self._torch, self._vision = torch, torchvision

    def load(self, threads: int) -> Run:
        self._torch.set_num_threads(threads)
        # Written by the process that measures: a whole network, as it is run in training.
        network = self._torch.load(self._file, weights_only=False).eval()

        def run(x: np.ndarray) -> np.ndarray:
            with self._torch.inference_mode():
                return network(self._torch.from_numpy(x)).numpy()

        return run


class _Bundle(_Runtime):
    def import_it(self) -> None:
        from genre_utils import bundle, inference

        self._library, self.predict = bundle, inference.predict

    def load(self, threads: int) -> Run:
        self.found = self._library.load(self._file, threads=threads)
        return self.found.network.logits


RUNTIMES = {
    "PyTorch": _PyTorch,
    "onnxruntime": _OnnxRuntime,
    "ExecuTorch": _ExecuTorch,
    "bundle": _Bundle,
}
"""What a network runs in: PyTorch is eager; a bundle runs in onnxruntime behind its checks."""


def _from_spectrogram(sound: Path, run: Run, runtime) -> int:
    from genre_utils import audio, gtzan_spectrogram

    y = gtzan_spectrogram.sixteen_bits(audio.load(sound, sr=gtzan_spectrogram.SR))
    S = gtzan_spectrogram.mel_levels(gtzan_spectrogram.levels(y))
    return int(run(np.ascontiguousarray(S[None, None])).argmax())


def _from_features(sound: Path, run: Run, runtime) -> int:
    from genre_utils import audio, features

    values = features.tabular(audio.load(sound, sr=features.SR), sr=features.SR)
    return int(run(values[None].astype(np.float32)).argmax())


def _by_bundle(sound: Path, run: Run, runtime) -> str:
    return runtime.predict(sound, model=runtime.found).genre


FRONTS = {
    "spectrogram": _from_spectrogram,
    "57 features": _from_features,
    "bundle": _by_bundle,
}
"""What is made of sound before a network, by what it reads."""


if __name__ == "__main__":
    main()
