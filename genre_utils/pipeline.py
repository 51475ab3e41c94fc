"""Execute the notebooks that are out of date, publish them, check what is published.

``python -m genre_utils.pipeline --help`` lists the commands; ``make`` calls them. Until a
notebook must run, nothing but Python's standard library is needed.
"""

import argparse
import fcntl
import json
import os
import platform
import sys
import time
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from genre_utils import __version__, lineage, project, staleness
from genre_utils.project import Outputs, ProjectError, write_atomic
from genre_utils.staleness import Notebook

UP_TO_DATE, FAILED, WRONG_INPUT, STALE = 0, 1, 2, 3
"""Exit codes."""

_VERSIONS_OF = (
    "numpy", "scipy", "pandas", "sklearn", "xgboost", "optuna", "librosa", "matplotlib", "torch",
)  # fmt: skip


class Request:
    """What the user asked for, checked before anything is written.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``command, dataset, profile, numbers, parameter, from_predictions, pages``.

    Raises
    ------
    ProjectError
        If a data set, folder, profile, notebook or parameter is not known.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.dataset = arguments.dataset
        self.from_predictions, self.pages = arguments.from_predictions, arguments.pages
        name = project.dataset_name(self.dataset)
        if arguments.profile not in project.PROFILES:
            raise ProjectError(
                f"PROFILE={arguments.profile!r} is unknown; expected one of "
                f"{', '.join(project.PROFILES)}"
            )
        self.custom = dict(_pair(*pair) for pair in arguments.parameter)
        self.profile = "custom" if self.custom else arguments.profile
        self.outputs = Outputs(name, self.profile)
        self.notebooks = staleness.selected(arguments.numbers)
        if self.custom:
            if len(arguments.numbers) != 1:
                raise ProjectError("PARAMS goes with one notebook, e.g. make 03 PARAMS='-p seed 1'")
            self.notebooks = [n for n in self.notebooks if n.number == arguments.numbers[0]]
            staleness.check_declared(self.notebooks[0], self.custom, where="PARAMS")
        if self.from_predictions:
            able = staleness.settings()["from_predictions"]
            self.notebooks = [n for n in self.notebooks if n.number in able]
        project.jobs()
        folder = project.dataset_root(self.dataset)
        needs_data = not self.from_predictions and arguments.command != "publish"
        if needs_data and self.dataset != "demo" and not folder.is_dir():
            raise ProjectError(
                f"DATASET={self.dataset}: no folder {_shown(folder)}; put the data there, or say "
                "where the folder above it is with DATA_ROOT=… (make help); to rebuild tables and "
                f"figures from stored predictions: make report DATASET={self.dataset}"
            )
        self.data = staleness.data_state(self.dataset) if needs_data else None

    def parameters(self, notebook: Notebook) -> dict:
        """Return what changes about a notebook's declared parameters."""
        profile = "full" if self.custom else self.profile
        changed = staleness.overrides(notebook, dataset=self.outputs.dataset, profile=profile)
        return changed | self.custom

    def inputs(self, notebook: Notebook) -> dict:
        """Return the digests of what the notebook depends on."""
        return staleness.inputs(
            notebook,
            dataset=self.dataset,
            profile=self.profile,
            parameters=self.parameters(notebook),
            data=self.data,
        )

    def pages_are_fresh(self) -> bool:
        """Tell whether the pages to read are there, and of the study as it is."""
        record = staleness.pages_record(self.outputs)
        if not (record.is_file() and record.with_name("index.html").is_file()):
            return False
        return record.read_text() == staleness.pages_digest(self.outputs)

    def why_stale(self, notebook: Notebook) -> str | None:
        """Return why a notebook must run, or None."""
        if project.retrain():
            return "RETRAIN is set"
        if self.from_predictions:
            return "a report is made anew whenever it is asked for"
        return staleness.why_stale(notebook, self.outputs, self.inputs(notebook))


def _pair(name: str, text: str) -> tuple[str, object]:
    try:
        return name, json.loads(text)
    except json.JSONDecodeError:
        return name, text


def _shown(path: Path) -> str:
    return os.path.relpath(path, Path.cwd())


def check_fresh(request: Request) -> int:
    """Say whether anything must run; return ``UP_TO_DATE`` or ``STALE``."""
    for notebook in request.notebooks:
        if request.why_stale(notebook):
            return STALE
    if request.pages and not request.pages_are_fresh():
        return STALE
    print(
        f"{request.outputs.dataset}: nothing to do, all {len(request.notebooks)} notebooks are "
        f"up to date ({_shown(request.outputs.results)}, {_shown(request.outputs.figures)})"
    )
    return UP_TO_DATE


def run(request: Request) -> int:
    """Execute the notebooks that are out of date and say what was made."""
    with _only_run(request.outputs):
        if request.from_predictions:
            os.environ["FROM_PREDICTIONS"] = "1"
        from genre_utils import datasets

        # Loaded once up front: a data set that cannot be used is said before anything runs.
        dataset = datasets.load(request.dataset)
        executed = []
        for notebook in request.notebooks:
            reason = request.why_stale(notebook)
            if reason is None:
                print(f"{notebook.name}: up to date")
                continue
            print(f"{notebook.name}: running, since {reason}", flush=True)
            seconds = execute(notebook, request)
            print(f"{notebook.name}: done in {seconds:.0f} s", flush=True)
            executed.append(notebook)
        _closing_words(request, dataset, executed)
    return UP_TO_DATE


@contextmanager
def _only_run(outputs: Outputs):
    """Hold the data set's lock; the system lets go of it however the process ends."""
    path = outputs.units.parent / f"{outputs.dataset}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProjectError(
                f"another run on {outputs.dataset!r} is going on; wait for it, or stop it"
            ) from None
        yield


def execute(notebook: Notebook, request: Request) -> float:
    """Execute one notebook by papermill and write its provenance record last.

    Parameters
    ----------
    notebook : Notebook
        Which one.
    request : Request
        Data set, profile and parameters.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    ProjectError
        If a cell fails; names the error and where the failed notebook can be read.
    """
    import jupytext
    import nbclient
    import nbformat
    import papermill

    from genre_utils.progress import Watcher

    outputs, started = request.outputs, time.monotonic()
    # Taken before the run: what is changed while it runs makes its outputs stale.
    inputs, code = request.inputs(notebook), lineage.training_code(notebook)
    stored = [] if project.retrain() else _stored_runs(outputs)
    work = project.cache_root() / "running" / f"{outputs.dataset}-{request.profile}"
    work.mkdir(parents=True, exist_ok=True)
    source, result = work / f"{notebook.name}.ipynb", work / f"{notebook.name}.executed.ipynb"
    manifest = work / f"{notebook.name}.outputs"
    manifest.write_text("")
    nbformat.write(_with_kernel(jupytext.read(notebook.source)), source)

    parameters = request.parameters(notebook)
    if request.dataset != "demo":
        parameters = {"dataset": request.dataset} | parameters
    if request.profile != "full":
        parameters["profile"] = request.profile
    os.environ["IPYTHONDIR"] = str(_own_ipython())
    os.environ["OUTPUT_MANIFEST"] = str(manifest)
    os.environ["PROGRESS_FILE"] = str(work / f"{notebook.name}.progress")
    try:
        with Watcher(Path(os.environ["PROGRESS_FILE"]), notebook.name):
            papermill.execute_notebook(
                str(source),
                str(result),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(notebook.source.parent),
                progress_bar=False,
            )
    except papermill.PapermillExecutionError as error:
        raise ProjectError(
            f"{notebook.name} failed: {error.ename}: {error.evalue} (the notebook as far as it "
            f"came: {_shown(result)})"
        ) from error
    except nbclient.exceptions.DeadKernelError as error:
        raise ProjectError(
            f"{notebook.name}: its kernel died, most likely for want of memory; close other "
            "programs or set JOBS=1, and run it again: it goes on where it was"
        ) from error

    executed = outputs.results / "notebooks" / f"{notebook.name}.ipynb"
    write_atomic(executed, nbformat.writes(_without_machine(nbformat.read(result, 4))))
    written = {Path(line) for line in manifest.read_text().splitlines()} | {executed.resolve()}
    _remove_orphans(notebook, outputs, written)
    seconds = time.monotonic() - started
    earlier = staleness.read_record(notebook, outputs) or {}
    runs = lineage.trained_by(
        lineage.stored_runs(written),
        before=stored,
        code=code,
        earlier=earlier.get("trained_by", []),
    )
    _write_record(notebook, request, inputs, written, seconds, runs)
    return seconds


def _stored_runs(outputs: Outputs) -> list[str]:
    return lineage.stored_runs((outputs.results / "predictions").glob("*.json"))


def _own_ipython() -> Path:
    """Return a configuration folder of the project's own: the user's start-up files stay out."""
    folder = project.cache_root() / "ipython"
    config = folder / "profile_default" / "ipython_kernel_config.py"
    if not config.is_file():
        write_atomic(config, "c.IPKernelApp.log_level = 50\nc.HistoryManager.enabled = False\n")
    return folder


def _with_kernel(book):
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return book


def _without_machine(book):
    """Drop what papermill notes of paths and times, so that equal runs give equal files."""
    book.metadata.pop("papermill", None)
    book.metadata.get("language_info", {}).pop("version", None)
    for position, cell in enumerate(book.cells):
        cell["id"] = f"cell-{position:02d}"
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    return book


def _remove_orphans(notebook: Notebook, outputs: Outputs, written: set[Path]) -> None:
    """Remove what an earlier version of the notebook wrote and this one did not."""
    record = staleness.read_record(notebook, outputs) or {"outputs": {}}
    base = outputs.results.parent.parent
    for name in record["outputs"]:
        path = (base / name).resolve()
        if path not in written:
            path.unlink(missing_ok=True)


def _write_record(
    notebook: Notebook,
    request: Request,
    inputs: dict,
    written: set[Path],
    seconds: float,
    runs: list[dict],
) -> None:
    outputs = request.outputs
    base = outputs.results.parent.parent.resolve()
    earlier = staleness.read_record(notebook, outputs)
    if inputs["data"] is None and earlier:
        # Rebuilt from predictions: they still rest on the data of the run that made them.
        inputs["data"] = earlier["inputs"]["data"]
    record = {
        "notebook": notebook.name,
        "dataset": outputs.dataset,
        "profile": request.profile,
        "parameters": notebook.parameters() | request.parameters(notebook),
        "from_predictions": request.from_predictions,
        "duration_s": round(seconds, 1),
        "genre_utils": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": _versions(),
        "inputs": inputs,
        "trained_by": runs,
        "outputs": {
            path.relative_to(base).as_posix(): project.file_digest(path) for path in sorted(written)
        },
    }
    write_atomic(staleness.record_path(notebook, outputs), json.dumps(record, indent=1) + "\n")


def _versions() -> dict[str, str]:
    # The distribution's name may differ from the module's (xgboost comes as xgboost-cpu, too).
    distributions = metadata.packages_distributions()
    return {name: metadata.version(distributions[name][0]) for name in _VERSIONS_OF}


def _closing_words(request: Request, dataset, executed: list[Notebook]) -> None:
    outputs = request.outputs
    tables = len(list(outputs.results.glob("*.csv")))
    figures = len(list(outputs.figures.glob("*.png")))
    print(
        f"\n{dataset.title}: {len(executed)} of {len(request.notebooks)} notebooks executed.\n"
        f"  {tables} tables     {_shown(outputs.results)}\n"
        f"  {figures} figures    {_shown(outputs.figures)}\n"
        f"  notebooks    {_shown(outputs.results / 'notebooks')}"
    )
    if request.from_predictions:
        kept = [n.name for n in staleness.notebooks() if n not in request.notebooks]
        print(
            f"Made from stored predictions. Left as it was, since it shows data: {', '.join(kept)}."
        )
    if dataset.synthetic:
        print(
            "These are numbers of the demo (synthetic) data, not the published ones: "
            "those are in README.md and results/gtzan."
        )
    elif request.profile != "full":
        print(f"Profile {request.profile!r}: a trial, not a result to publish.")


def publish(request: Request) -> int:
    """Copy a finished run's outputs into ``notebooks/`` and its numbers into the README.

    Raises
    ------
    ProjectError
        If the run is of the demo data, of another profile than ``full``, or out of date.
    """
    import jupytext
    import nbformat

    from genre_utils import colab, results

    if request.outputs.dataset == "demo" or request.profile != "full":
        raise ProjectError("only a full run on real data can be published (DATASET=gtzan)")
    for notebook in request.notebooks:
        reason = request.why_stale(notebook)
        if reason:
            raise ProjectError(
                f"{notebook.name} is out of date ({reason}); first run: "
                f"make all DATASET={request.dataset}"
            )
    for notebook in request.notebooks:
        executed = nbformat.read(
            request.outputs.results / "notebooks" / f"{notebook.name}.ipynb", 4
        )
        book = _with_kernel(jupytext.read(notebook.source))
        _take_outputs(book, executed)
        path = notebook.source.with_suffix(".ipynb")
        colab.stamp(_without_machine(book), notebook, colab.repository_for(path))
        write_atomic(path, nbformat.writes(book))
        print(f"published {_shown(path)}")
    print(f"filled {_shown(results.write_readme(request.outputs.dataset))}")
    return UP_TO_DATE


def _take_outputs(book, executed) -> None:
    """Give the cells of a notebook the outputs of its executed copy."""
    ran = [c for c in executed.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    for cell, twin in zip(book.cells, ran, strict=True):
        if cell.source != twin.source:
            raise ProjectError("the executed notebook is not of this source; run it again")
        if cell.cell_type == "code":
            cell["outputs"], cell["execution_count"] = twin.outputs, twin.execution_count


def check() -> int:
    """List what is wrong with what is published; return ``FAILED`` if anything is."""
    from genre_utils import consistency

    for note in consistency.notes():
        print(f"note: {note}")
    problems = list(consistency.problems())
    for problem in problems:
        print(f"check: {problem}", file=sys.stderr)
    print(f"check: {len(problems) or 'no'} problems in what is published")
    return FAILED if problems else UP_TO_DATE


def main(argv: list[str] | None = None) -> int:
    """Run a command of the pipeline; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m genre_utils.pipeline", description=__doc__)
    parser.add_argument("command", choices=("check-fresh", "run", "publish", "check"))
    parser.add_argument("numbers", nargs="*", metavar="NN", help="notebooks; all if none is given")
    parser.add_argument("--dataset", default="demo", help="demo, gtzan, gtzan-mini or a folder")
    parser.add_argument("--profile", default="full", help="full or smoke")
    parser.add_argument("--from-predictions", action="store_true", help="use no data at all")
    parser.add_argument("--pages", action="store_true", help="the pages to read must be fresh, too")
    parser.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    arguments = parser.parse_args(argv)
    commands = {"check-fresh": check_fresh, "run": run, "publish": publish}
    try:
        if arguments.command == "check":
            return check()
        return commands[arguments.command](Request(arguments))
    except ProjectError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT if not error.__cause__ else FAILED
    except KeyboardInterrupt:
        print("\nstopped; the next run goes on from what is finished", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
