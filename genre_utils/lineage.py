"""Which code trained a stored run, and what of it has changed since.

A run is keyed by recipe versions, which people raise when a change alters predictions. The
code itself may change without that, by mistake or for good reason; so a notebook's
provenance record notes for each run what its training code was, and ``make check`` lists
the runs for which it is another one by now.
"""

import ast
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from genre_utils import staleness
from genre_utils.project import text_digest
from genre_utils.staleness import Notebook

_PACKAGE = Path(__file__).resolve().parent


def training_code(notebook: Notebook) -> dict[str, str]:
    """Return short digests of the modules that train the networks and models of a notebook.

    Parameters
    ----------
    notebook : Notebook
        Which one.

    Returns
    -------
    dict of str to str
        By the module's path inside the package; empty where nothing is trained. Comments,
        docstrings and line breaks do not count.
    """
    files: set[Path] = set()
    for path in staleness.imported_files(notebook):
        if _makes_tasks(path):
            files |= staleness.module_files(_dotted(path))
    return {path.relative_to(_PACKAGE).as_posix(): _code_digest(path) for path in sorted(files)}


def _dotted(path: Path) -> str:
    return ".".join(("genre_utils", *path.relative_to(_PACKAGE).with_suffix("").parts))


@cache
def _makes_tasks(path: Path) -> bool:
    """Tell whether a module makes units of training (`experiments.Task`)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Task"
        for node in ast.walk(tree)
    )


@cache
def _code_digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]
    return text_digest(ast.unparse(tree))[:8]


def _is_text(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def records(path: Path) -> list[dict]:
    """Return the records of a file beside stored predictions.

    Parameters
    ----------
    path : Path
        A study's runs, each with a ``run_id``; a list of settings that were tried on the
        validation part, without one; or measurements of finished runs, which have none.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored.get("runs", []) if isinstance(stored, dict) else stored


def stored_runs(files: Iterable[Path]) -> list[str]:
    """Return the keys of the runs whose records are among some files."""
    return [
        record["run_id"]
        for path in sorted(files)
        if path.parent.name == "predictions" and path.suffix == ".json"
        for record in records(path)
        if "run_id" in record
    ]


def trained_by(
    runs: list[str], *, before: Iterable[str], code: dict[str, str], earlier: list[dict]
) -> list[dict]:
    """Return what a provenance record says about the code behind its runs.

    Parameters
    ----------
    runs : list of str
        Keys of the runs that are stored now.
    before : iterable of str
        Keys of those that were stored before this execution, and are not its own.
    code : dict of str to str
        The `training_code` of this execution.
    earlier : list of dict
        What the record before this one said of those.

    Returns
    -------
    list of dict
        ``code`` (None where it is not known) and ``runs`` that it trained.
    """
    stored = set(before)
    said = {run: group["code"] for group in earlier for run in group["runs"]}
    code_of = {run: said.get(run) if run in stored else code for run in runs}
    groups: list[dict] = []
    for run, made_by in code_of.items():
        same = next((group for group in groups if group["code"] == made_by), None)
        if same is None:
            groups.append(same := {"code": made_by, "runs": []})
        same["runs"].append(run)
    return groups


def changed_since(groups: list[dict], code: dict[str, str]) -> list[tuple[int, list[str] | None]]:
    """Return how many runs were trained by other code than today's.

    Parameters
    ----------
    groups : list of dict
        As from `trained_by`.
    code : dict of str to str
        Today's `training_code`.

    Returns
    -------
    list of (int, list of str or None)
        Number of runs and the modules that changed; None where the code is not known.
    """
    found = []
    for group in groups:
        then = group["code"]
        if then is None:
            found.append((len(group["runs"]), None))
        elif then != code:
            modules = [name for name in sorted({*then, *code}) if then.get(name) != code.get(name)]
            found.append((len(group["runs"]), modules))
    return found
