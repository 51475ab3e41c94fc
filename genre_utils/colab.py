"""Google Colab: the badge and the two cells of each notebook there, and what these cells do.

``python -m genre_utils.colab`` (``make colab``) writes them into the published notebooks,
for the project's own repository on GitHub; ``--repository none`` takes them out again.
They stand in the ``.ipynb`` files alone: a notebook's source does not know where it is
opened, and its results do not depend on it.

In Colab the first cell clones the repository, with the stored predictions, and calls
`set_up`. Until that has installed what is missing, Python's standard library and what
pip itself needs is all that is used.
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from genre_utils import project, staleness
from genre_utils.project import ProjectError, write_atomic
from genre_utils.staleness import Notebook

CHOICES = {
    "demo": "demo",
    "gtzan-mini": "gtzan-mini",
    "gtzan from stored predictions": "gtzan",
    "gtzan": "gtzan",
}
"""What the first cell offers, and the data set that is meant."""

TAG = "colab"
"""Tag of the cells that are for Colab alone."""

KEPT = ("torch", "torchvision", "torchaudio", "numpy")
"""Packages that are used in whatever version Colab has; its GPU and its modules rest on them."""

_BRANCH = "main"
_CONTENT = "/content"
_DRIVE = Path("/content/drive")
# The notebook runs in a kernel that is there already, and nothing is executed by `make` there.
_NOT_NEEDED = {"ipykernel", "ipython", "ipywidgets", "jupytext", "nbformat", "papermill"}
# Several distributions bring the same module.
_SAME_MODULE = {"xgboost-cpu": "xgboost", "onnxruntime": "onnxruntime-gpu"}
_GITHUB = re.compile(
    r"(?:https?://|ssh://)?(?:[^@/\s]+@)?github\.com[:/](?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[\w.-]+")

_SET_UP = """\
# @title Google Colab: run this first (about two minutes). Elsewhere it does nothing.
DATASET = "demo"  # @param {choices}
PROFILE = "full"  # @param {profiles}
USE_DRIVE = False  # @param {{type: "boolean"}}
import os
import subprocess
import sys

chosen = {{}}
if "google.colab" in sys.modules:
    if not os.path.isdir("{folder}"):
        clone = ["git", "clone", "--quiet", "--depth", "1"]
        subprocess.run([*clone, "https://github.com/{repository}", "{folder}"], check=True)
    os.chdir("{folder}/notebooks")
    sys.path.insert(0, "{folder}")
    from genre_utils import colab

    chosen = colab.set_up("{notebook}", DATASET, profile=PROFILE, use_drive=USE_DRIVE)"""

_CHOSEN = """\
# In Colab, what was chosen above takes the place of these parameters.
globals().update(chosen)"""


def repository_of_remote(folder: Path) -> str | None:
    """Return owner and name of the GitHub repository that a checkout came from.

    Parameters
    ----------
    folder : Path
        The checkout.

    Returns
    -------
    str or None
        ``owner/name``; None where there is no remote ``origin`` on github.com.
    """
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    match = _GITHUB.fullmatch(url)
    return match["name"] if match else None


def repository_of_book(book) -> str | None:
    """Return owner and name of the repository in a notebook's badge, or None without one."""
    for cell in book.cells:
        if is_for_colab(cell) and cell.cell_type == "markdown":
            return re.search(r"/github/([^/]+/[^/]+)/blob/", cell.source)[1]
    return None


def repository_for(path: Path) -> str | None:
    """Return the repository that a published notebook is to be opened from.

    Parameters
    ----------
    path : Path
        The notebook. The repository in its badge is taken where it is there and has one,
        else that of the git remote.
    """
    import nbformat

    known = repository_of_book(nbformat.read(path, 4)) if path.is_file() else None
    return known or repository_of_remote(project.root())


def is_for_colab(cell) -> bool:
    """Tell whether a cell is one of those that this module writes."""
    return TAG in cell.metadata.get("tags", [])


def stamp(book, notebook: Notebook, repository: str | None) -> None:
    """Put the badge and the cells for Colab into a notebook, in place of those it has.

    Parameters
    ----------
    book : nbformat.NotebookNode
        The notebook, which is changed; its other cells and all outputs stay.
    notebook : Notebook
        Which one it is.
    repository : str or None
        ``owner/name``; None to have no such cells.
    """
    book.cells = [cell for cell in book.cells if not is_for_colab(cell)]
    if repository is None:
        return
    from nbformat.v4 import new_code_cell, new_markdown_cell

    marks = {"tags": [TAG]}
    name = repository.split("/")[1]
    form = {"cellView": "form", "tags": [TAG]}
    set_up = _SET_UP.format(
        choices=json.dumps(list(CHOICES)),
        profiles=json.dumps(list(project.PROFILES)),
        folder=f"{_CONTENT}/{name}",
        repository=repository,
        notebook=notebook.name,
    )
    badge = new_markdown_cell(_badge(notebook, repository), id="colab-badge", metadata=marks)
    first = new_code_cell(set_up, id="colab-set-up", metadata=form)
    chosen = new_code_cell(_CHOSEN, id="colab-chosen", metadata=marks)
    (declared,) = (
        position
        for position, cell in enumerate(book.cells)
        if "parameters" in cell.metadata.get("tags", [])
    )
    before, after = book.cells[: declared + 1], book.cells[declared + 1 :]
    book.cells = [badge, first, *before, chosen, *after]


def _badge(notebook: Notebook, repository: str) -> str:
    address = f"{repository}/blob/{_BRANCH}/notebooks/{notebook.name}.ipynb"
    minutes = staleness.settings()["minutes"].get(notebook.number)
    about = "a minute" if minutes == 1 else f"{minutes} minutes"
    time = f"about {about} on the demo data" if minutes else "a few minutes"
    return (
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"(https://colab.research.google.com/github/{address})\n\n"
        f"In Colab: set-up takes about 2 minutes, this notebook {time}. The cell below offers "
        "other data."
    )


def check_repository(name: str) -> str:
    """Return a repository's name as ``owner/name``.

    Raises
    ------
    ProjectError
        If it is anything else.
    """
    if not _NAME.fullmatch(name):
        raise ProjectError(f"REPO={name!r}: expected owner/name of a repository on GitHub")
    return name


def write(repository: str | None) -> list[Path]:
    """Put badge and cells into every published notebook, or take them out.

    Parameters
    ----------
    repository : str or None
        ``owner/name``; None to take them out.

    Returns
    -------
    list of Path
        The files that changed.
    """
    import nbformat

    changed = []
    for notebook in staleness.notebooks():
        path = notebook.source.with_suffix(".ipynb")
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        book = nbformat.reads(before, 4)
        stamp(book, notebook, repository)
        after = nbformat.writes(book)
        if after.rstrip() != before.rstrip():
            changed.append(write_atomic(path, after))
    return changed


def set_up(
    notebook: str, choice: str, *, profile: str = "full", use_drive: bool = False
) -> dict[str, object]:
    """Make a Colab session ready for one notebook.

    What the notebook imports and Colab lacks is installed beside what is there; the data
    that were chosen are fetched.

    Parameters
    ----------
    notebook : str
        Its name without ending.
    choice : str
        One of `CHOICES`.
    profile : str
        ``full``, or ``smoke`` for a quick trial.
    use_drive : bool
        Whether data and cache are kept on the user's Google Drive; Colab asks for leave.

    Returns
    -------
    dict of str to object
        The parameters that take the place of those that the notebook declares.

    Raises
    ------
    ProjectError
        If the choice is unknown or this notebook cannot be made from stored predictions
        alone, or if what it needs cannot be installed or fetched.
    """
    book = Notebook(project.root() / "notebooks" / f"{notebook}.py")
    _check_choice(book, choice, profile)
    install(staleness.settings()["extras"].get(book.number, []))
    if use_drive:
        _mount_drive()
    dataset = CHOICES[choice]
    os.environ.pop("FROM_PREDICTIONS", None)
    if choice != dataset:
        os.environ["FROM_PREDICTIONS"] = "1"
    elif dataset != "demo":
        from genre_utils import downloads

        print(f"{dataset}: fetched where it is not there yet", flush=True)
        downloads.fetch(dataset)
    print(gpu())
    changed = staleness.overrides(book, dataset=dataset, profile=profile)
    return {"dataset": dataset, "profile": profile} | changed


def _check_choice(book: Notebook, choice: str, profile: str) -> None:
    if choice not in CHOICES or profile not in project.PROFILES:
        raise ProjectError(
            f"DATASET={choice!r}, PROFILE={profile!r}: expected one of {', '.join(CHOICES)}, and "
            f"one of {', '.join(project.PROFILES)}"
        )
    able = staleness.settings()["from_predictions"]
    if choice != CHOICES[choice] and book.number not in able:
        raise ProjectError(
            f"{book.name} shows the data themselves, so stored predictions are not enough; "
            "choose another DATASET"
        )


def _mount_drive() -> None:
    importlib.import_module("google.colab.drive").mount(str(_DRIVE))
    home = _DRIVE / "MyDrive" / "genre_utils"
    os.environ["DATA_ROOT"], os.environ["CACHE_ROOT"] = str(home / "data"), str(home / "cache")
    print(f"data and cache are kept in {home}")


def gpu() -> str:
    """Return a line that says which graphics processor the session has."""
    import torch

    if torch.cuda.is_available():
        return f"GPU: {torch.cuda.get_device_name()}"
    return (
        "GPU: none. Stored predictions and the demo data need none; to train on real data, "
        "choose one under Runtime > Change runtime type"
    )


def install(extras: Iterable[str] = ()) -> None:
    """Install this package and what it lacks, without changing what must stay as it is.

    Parameters
    ----------
    extras : iterable of str
        Extras of ``pyproject.toml`` besides ``study``. What of these does not go with
        the PyTorch that is there is left out, and said.

    Raises
    ------
    ProjectError
        If pip fails; holds what it said last.
    """
    facts = tomllib.loads((project.root() / "pyproject.toml").read_text())["project"]
    optional = facts["optional-dependencies"]
    _pip("--no-deps", "--editable", str(project.root()))
    _install_missing([*facts["dependencies"], *optional["study"]])
    for extra in extras:
        try:
            _install_missing(optional[extra])
        except ProjectError as error:
            print(f"left out: {extra}, since it does not go with what is here ({error})")


def lacking(requirements: Iterable[str]) -> list[str]:
    """Return those requirements that what is installed does not fulfil.

    Parameters
    ----------
    requirements : iterable of str
        As in ``pyproject.toml``. `KEPT` packages that are there count as fulfilled in any
        version, and what only a local run needs is left out.
    """
    from packaging.requirements import Requirement

    found = []
    for text in requirements:
        wanted = Requirement(text)
        if wanted.name in _NOT_NEEDED or (wanted.marker and not wanted.marker.evaluate()):
            continue
        there = _version(wanted.name) or _version(_SAME_MODULE.get(wanted.name, wanted.name))
        if there is None or not (
            wanted.name in KEPT or wanted.specifier.contains(there, prereleases=True)
        ):
            found.append(text)
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _install_missing(requirements: list[str]) -> None:
    from packaging.requirements import Requirement

    missing = lacking(requirements)
    if not missing:
        return
    names = [Requirement(text).name for text in missing]
    print(f"installing {', '.join(names)}", flush=True)
    moved = _imported(names)
    there = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    held = [f"{name}=={version}" for name, version in there.items() if name not in names]
    try:
        _pip(*missing, held=held)
    except ProjectError:
        # Something that is needed asks for a newer version of what is there.
        _pip(*missing, held=[line for line in held if line.split("==")[0] in KEPT])
    importlib.invalidate_caches()
    if moved:
        raise ProjectError(
            f"{', '.join(moved)} came in another version than the one in use: choose "
            "Runtime > Restart session, then run this cell again"
        )


def _imported(names: list[str]) -> list[str]:
    """Return those distributions of which a module is in use already."""
    return sorted(
        {
            owner
            for module, owners in metadata.packages_distributions().items()
            for owner in owners
            if owner in names and module in sys.modules
        }
    )


def _pip(*arguments: str, held: Iterable[str] = ()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "held.txt")
        constraints.write_text("".join(f"{line}\n" for line in held))
        command = [sys.executable, "-m", "pip", "install", "--quiet"]
        command += ["--disable-pip-version-check", "--constraint", str(constraints), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise ProjectError(f"pip: {(said or done.stderr.splitlines())[-1]}")


def main(argv: list[str] | None = None) -> int:
    """Write badge and cells into the published notebooks; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genre_utils.colab", description=__doc__)
    parser.add_argument(
        "--repository", default="", help="owner/name; by default that of the git remote"
    )
    asked = parser.parse_args(argv).repository
    try:
        known = None if asked == "none" else asked or repository_of_remote(project.root())
        if asked != "none" and known is None:
            raise ProjectError(
                "this checkout has no remote on github.com; say which repository the notebooks "
                "are to be opened from: make colab REPO=owner/name (none takes the cells out)"
            )
        changed = write(check_repository(known) if known else None)
    except ProjectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    where = f"for {known}" if known else "taken out"
    print(f"Colab's badge and cells, {where}: {len(changed)} notebooks changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
