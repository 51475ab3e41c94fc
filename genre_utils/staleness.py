"""Say which notebooks are up to date, by digests of all that they depend on.

Like `project`, this module needs Python's standard library alone. A notebook depends on
its own source, on the modules it imports (and those that they import), on its
parameters, on the locked versions, on the data, on the predictions of the notebooks that
it needs, and, for the overview, on the tables of the others. Its provenance record holds
the digests of all these and of all it wrote.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genre_utils import project
from genre_utils.project import Outputs, ProjectError, file_digest, text_digest

OVERVIEW = "00"
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Notebook:
    """One numbered notebook, known by its source ``notebooks/NN_name.py``."""

    source: Path

    @property
    def name(self) -> str:
        """Name without ending, e.g. ``03_baselines``."""
        return self.source.stem

    @property
    def number(self) -> str:
        """The two digits it is called by."""
        return self.name[:2]

    def parameters(self) -> dict:
        """Return the names and literal values that its parameters cell declares.

        Raises
        ------
        ProjectError
            If the cell is missing or holds anything but literals.
        """
        cells = re.split(r"^# %%", self.source.read_text(encoding="utf-8"), flags=re.MULTILINE)
        tagged = [cell for cell in cells if re.match(r'.*tags=\[.*"parameters".*\]', cell)]
        if len(tagged) != 1:
            raise ProjectError(f"{self.source.name}: expected one cell tagged parameters")
        body = tagged[0].split("\n", 1)[1]
        try:
            return {
                statement.targets[0].id: ast.literal_eval(statement.value)
                for statement in ast.parse(body).body
            }
        except (ValueError, AttributeError) as error:
            raise ProjectError(
                f"{self.source.name}: the parameters cell may hold only NAME = literal ({error})"
            ) from error


def notebooks() -> list[Notebook]:
    """List the notebooks in the order in which they run: the overview comes last."""
    found = [Notebook(path) for path in (project.root() / "notebooks").glob("[0-9][0-9]_*.py")]
    return sorted(found, key=lambda nb: (nb.number == OVERVIEW, nb.number))


@cache
def settings() -> dict:
    """Return what ``notebooks/profiles.toml`` says."""
    return tomllib.loads((project.root() / "notebooks" / "profiles.toml").read_text())


def selected(numbers: list[str]) -> list[Notebook]:
    """Return the notebooks asked for and those that they need, in running order.

    Parameters
    ----------
    numbers : list of str
        Two digits each; empty for all.

    Raises
    ------
    ProjectError
        If there is no notebook of a number.
    """
    known = {nb.number: nb for nb in notebooks()}
    wanted, queue = set(), list(numbers) or list(known)
    while queue:
        number = queue.pop()
        if number not in known:
            raise ProjectError(
                f"there is no notebook {number!r}; there are {', '.join(sorted(known))}"
            )
        if number not in wanted:
            wanted.add(number)
            needs = known if number == OVERVIEW else settings()["needs"].get(number, [])
            queue.extend(needs)
    return [nb for nb in notebooks() if nb.number in wanted]


def overrides(notebook: Notebook, *, dataset: str, profile: str) -> dict:
    """Return what a profile changes about a notebook's parameters for a data set.

    Raises
    ------
    ProjectError
        If ``profiles.toml`` names a parameter that the notebook does not declare.
    """
    sections = settings().get(profile, {}).get(notebook.name, {})
    values = dict(sections.get("any", {}))
    values.update(sections.get(dataset, {}))
    check_declared(notebook, values, where="notebooks/profiles.toml")
    return values


def check_declared(notebook: Notebook, values: dict, *, where: str) -> None:
    """Raise a `ProjectError` for the first value that the notebook does not declare."""
    declared = notebook.parameters()
    for name in values:
        if name not in declared:
            raise ProjectError(
                f"{where}: {notebook.name} has no parameter {name!r}; it has {', '.join(declared)}"
            )


@cache
def module_files(module: str) -> frozenset[Path]:
    """Return the files of a module of this package and of all that it imports from it."""
    found: set[Path] = set()
    _collect(_PACKAGE / "__init__.py", found)
    path = _module_path(module)
    if path:
        _collect(path, found)
    return frozenset(found)


def _module_path(dotted: str) -> Path | None:
    path = _PACKAGE.joinpath(*dotted.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _collect(path: Path, found: set[Path]) -> None:
    if path in found:
        return
    found.add(path)
    for module in _imports(path.read_text(encoding="utf-8")):
        imported = _module_path(module)
        if imported:
            _collect(imported, found)


@cache
def _imports(source: str) -> frozenset[str]:
    """Return the modules of this package that a source imports; most notebooks share most."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.split(".")[0] == "genre_utils")


def imported_files(notebook: Notebook) -> set[Path]:
    """Return the files of the modules that a notebook imports, and of those that they import."""
    files: set[Path] = set()
    for module in _imports(notebook.source.read_text(encoding="utf-8")):
        files |= module_files(module)
    return files


def source_digest(notebook: Notebook) -> str:
    """Return a digest of a notebook's source, its modules and the package's own facts."""
    files = imported_files(notebook)
    facts = set(project.data_files(_PACKAGE / "data"))
    if _PACKAGE / "bundle.py" not in files:
        # A study that only trains does not depend on the network that is shipped.
        facts -= set(project.data_files(_PACKAGE / "data" / "bundle"))
    files |= facts
    parts = [notebook.name, file_digest(notebook.source)]
    for path in sorted(files):
        parts += [path.relative_to(_PACKAGE).as_posix(), file_digest(path)]
    return text_digest(*parts)


def data_state(dataset: str) -> str | None:
    """Return the digest of a data set's files, or None where they are not there.

    The demo data are made by rule: the rule is among the sources.
    """
    if dataset == "demo":
        return "made by rule"
    folder = project.dataset_root(dataset)
    return project.data_digest(folder) if folder.is_dir() else None


def inputs(
    notebook: Notebook, *, dataset: str, profile: str, parameters: dict, data: str | None
) -> dict:
    """Return the digests of everything that a notebook's outputs depend on.

    Parameters
    ----------
    notebook : Notebook
        Which one.
    dataset : str
        Name or path as the user gave it.
    profile : str
        ``full``, ``smoke`` or ``custom``.
    parameters : dict
        What is changed about the declared parameters.
    data : str or None
        What `data_state` said.
    """
    outputs = Outputs(project.dataset_name(dataset), profile)
    digests = {
        "sources": source_digest(notebook),
        "lock": file_digest(project.root() / "requirements.lock"),
        "parameters": text_digest(json.dumps([outputs.dataset, profile, parameters])),
        "data": data,
    }
    if notebook.number == OVERVIEW:
        digests["tables"] = _digest_of(
            p for p in outputs.results.glob("*.csv") if p.name[:2] != OVERVIEW
        )
    needed = settings()["needs"].get(notebook.number, [])
    stored = [p for n in needed for p in (outputs.results / "predictions").glob(f"{n}_*.*")]
    if stored:
        digests["predictions"] = _digest_of(stored)
    read = [p for n in needed for p in outputs.results.glob(f"{n}_*.csv")]
    if read:
        digests["needed tables"] = _digest_of(read)
    return digests


def pages_digest(outputs: Outputs) -> str:
    """Return a digest of what the pages to read are made of.

    That is a study's records, the code of the pages, and the README, whose sources they list.
    """
    code = _PACKAGE / "report_pages"
    templates = [p for p in project.data_files(code) if "__pycache__" not in p.parts]
    readme = [p for p in [project.root() / "README.md"] if p.is_file()]
    return _digest_of([*project.data_files(outputs.results / "provenance"), *templates, *readme])


def pages_record(outputs: Outputs) -> Path:
    """Return where a study's pages say, in a `pages_digest`, what they were made of."""
    return outputs.results / "report" / "made-from"


def _digest_of(files: Iterable[Path]) -> str:
    return text_digest(*(x for path in sorted(files) for x in (path.name, file_digest(path))))


def record_path(notebook: Notebook, outputs: Outputs) -> Path:
    """Return where a notebook's provenance record is."""
    return outputs.results / "provenance" / f"{notebook.name}.json"


def read_record(notebook: Notebook, outputs: Outputs) -> dict | None:
    """Return a notebook's provenance record, or None where there is no whole one."""
    try:
        return json.loads(record_path(notebook, outputs).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def why_stale(notebook: Notebook, outputs: Outputs, current: dict) -> str | None:
    """Return why a notebook has to run again, or None if it is up to date.

    Parameters
    ----------
    notebook : Notebook
        Which one.
    outputs : Outputs
        Where its results are.
    current : dict
        What `inputs` returns now; where its ``data`` is None the data are not compared.
    """
    record = read_record(notebook, outputs)
    if record is None:
        return "it has not run yet"
    for name, digest in current.items():
        if digest != record["inputs"].get(name) and not (name == "data" and digest is None):
            return f"its {name} changed"
    base = outputs.results.parent.parent
    for name, digest in record["outputs"].items():
        path = base / name
        if not path.is_file():
            return f"{name} is missing"
        if file_digest(path) != digest:
            return f"{name} was changed"
    return None
