"""What is wrong with what the project publishes: stale, contradictory, dead or telltale.

``make check`` prints it. Nothing is computed again: digests, texts and files are compared,
which takes seconds.
"""

import json
import re
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jupytext
import nbformat

from genre_utils import colab, lineage, project, results, staleness
from genre_utils.project import Outputs, ProjectError
from genre_utils.staleness import Notebook

SHORTEST_ALT = 30
"""Characters under which an alt text cannot say what a figure shows."""

MAX_NOTEBOOK_BYTES = 2 << 20
MAX_PREDICTIONS_BYTES = 20 << 20

_README_DATASET = "gtzan"
_DOCUMENTS = ("*.md", "genre_utils/data/*.md", "CITATION.cff")
_CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|(`+)(?!`).+?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
_TARGET = re.compile(
    r"\]\(\s*<?([^)\s>]+)|^\[[^\]]+\]:\s*(\S+)|\b(?:href|src)=[\"']([^\"']+)", re.M
)
_PICTURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)")
_PICTURE_TAG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|private|mnt|var/folders)/[\w.@-]+"
    r"|\b[A-Z]:\\{1,2}Users\b|site-packages/"
)


def problems() -> Iterator[str]:
    """List all that is wrong, one line each, with the way to mend it where there is one."""
    for checked in (
        stale_results,
        unclaimed_files,
        unpaired_notebooks,
        unpublished_outputs,
        readme_numbers,
        dead_links,
        unknown_goals,
        missing_alt_texts,
        traces_of_machines,
        large_files,
        colab_cells,
    ):
        yield from checked()


def notes() -> Iterator[str]:
    """List what a reader should know but what is no mistake: code changed after training."""
    for name in published_datasets():
        for notebook in staleness.notebooks():
            record = staleness.read_record(notebook, Outputs(name)) or {}
            if not (groups := record.get("trained_by")):
                continue
            for n_runs, modules in lineage.changed_since(groups, lineage.training_code(notebook)):
                why = (
                    f"were trained before {', '.join(modules)} changed"
                    if modules
                    else "are there of which nobody noted the code that trained them"
                )
                yield f"results/{name}: {notebook.name}: {n_runs} runs {why}"


def published_datasets() -> list[str]:
    """Return the data sets whose results are part of the project; folders of a user's are not."""
    found = {path.name for path in (project.root() / "results").glob("*") if path.is_dir()}
    return sorted(found & {*project.KNOWN_DATASETS} - {"demo"})


def stale_results() -> Iterator[str]:
    """Compare tables, figures and executed notebooks with all that they were made from."""
    for name in published_datasets():
        outputs = Outputs(name)
        for notebook in staleness.notebooks():
            parameters = staleness.overrides(notebook, dataset=name, profile="full")
            current = staleness.inputs(
                notebook, dataset=name, profile="full", parameters=parameters, data=None
            )
            reason = staleness.why_stale(notebook, outputs, current)
            if reason:
                yield f"results/{name}: {notebook.name}: {reason}; make all DATASET={name}"


def unclaimed_files() -> Iterator[str]:
    """List numbered tables and figures that no notebook says it made."""
    for name in published_datasets():
        outputs = Outputs(name)
        base = outputs.results.parent.parent
        claimed = {
            path
            for notebook in staleness.notebooks()
            for path in (staleness.read_record(notebook, outputs) or {"outputs": []})["outputs"]
        }
        for folder in (outputs.results, outputs.figures, outputs.results / "notebooks"):
            for path in sorted(folder.glob("[0-9][0-9]_*.*")):
                shown = path.relative_to(base).as_posix()
                if shown not in claimed:
                    yield f"{shown}: no notebook made it; remove it, or make all DATASET={name}"


def unpaired_notebooks() -> Iterator[str]:
    """Compare the two forms of each notebook, source and published."""
    sources = staleness.notebooks()
    for notebook in sources:
        path = notebook.source.with_suffix(".ipynb")
        if not path.is_file():
            yield f"notebooks/{path.name} is missing; make publish"
        elif _shape(_source_book(notebook)) != _shape(_published_book(path)):
            yield f"notebooks/{path.name} is not in step with its .py; make publish"
    known = {notebook.name for notebook in sources}
    for path in sorted((project.root() / "notebooks").glob("*.ipynb")):
        if path.stem not in known:
            yield f"notebooks/{path.name} has no .py beside it; remove it"


def _shape(book) -> list[tuple]:
    return [
        (cell.cell_type, cell.source, cell.metadata.get("tags", []))
        for cell in book.cells
        if not colab.is_for_colab(cell)
    ]


def unpublished_outputs() -> Iterator[str]:
    """Compare the outputs in each published notebook with those of a published study."""
    for notebook in staleness.notebooks():
        path = notebook.source.with_suffix(".ipynb")
        if not path.is_file():
            continue
        shown = _outputs(_published_book(path))
        executed = [
            Outputs(name).results / "notebooks" / f"{notebook.name}.ipynb"
            for name in published_datasets()
        ]
        if set(shown) == {"[]"}:
            yield f"notebooks/{path.name} has no outputs; make publish"
        elif shown not in [_outputs(_published_book(file)) for file in executed if file.is_file()]:
            yield f"notebooks/{path.name} shows the outputs of an earlier run; make publish"


def _outputs(book) -> list[str]:
    return [
        json.dumps(cell.outputs, sort_keys=True)
        for cell in book.cells
        if cell.cell_type == "code"
        and not colab.is_for_colab(cell)
        and "injected-parameters" not in cell.metadata.get("tags", [])
    ]


def readme_numbers() -> Iterator[str]:
    """Compare the README's generated parts with the results that they come from."""
    if _README_DATASET not in published_datasets():
        return
    text = (project.root() / "README.md").read_text(encoding="utf-8")
    try:
        filled = results.fill_readme(text, results.readme_fragments(_README_DATASET))
        if filled != text:
            yield "README.md does not show the numbers of results/gtzan; make publish"
    except ProjectError as error:
        yield str(error)


def documents() -> dict[Path, str]:
    """Return the Markdown of the project by the file it stands in: pages and notebooks.

    A notebook gives its text cells and the text among its outputs.
    """
    root = project.root()
    texts = {
        path: path.read_text(encoding="utf-8")
        for pattern in _DOCUMENTS
        for path in sorted(root.glob(pattern))
    }
    for notebook in staleness.notebooks():
        path = notebook.source.with_suffix(".ipynb")
        book = _published_book(path) if path.is_file() else _source_book(notebook)
        texts[path if path.is_file() else notebook.source] = "\n\n".join(_markdown_of(book))
    return texts


def _markdown_of(book) -> Iterator[str]:
    for cell in book.cells:
        if cell.cell_type == "markdown":
            yield cell.source
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown", "")
            yield text if isinstance(text, str) else "".join(text)


def dead_links() -> Iterator[str]:
    """List links whose file or heading is not there; links to other hosts are not followed."""
    texts = documents()
    for path, text in texts.items():
        for groups in _TARGET.findall(_CODE.sub("", text)):
            target = next(filter(None, groups))
            if _ELSEWHERE.match(target):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.is_relative_to(project.root().resolve()) or not file.exists():
                yield f"{_shown(path)} links to {target}, which is not there"
            elif anchor and file in texts and anchor not in _anchors(texts[file]):
                yield f"{_shown(path)} links to {target}, and there is no such heading"


def _anchors(text: str) -> set[str]:
    """Return what headings are called in links, as GitHub and as Jupyter spell it."""
    found: set[str] = set(re.findall(r"<a (?:id|name)=[\"']([^\"']+)", text))
    for heading in re.findall(r"^#{1,6} +(.+?)\s*#*$", _without_fences(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found |= {name, plain.replace(" ", "-")}
    return found


def _without_fences(text: str) -> str:
    return re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)


def unknown_goals() -> Iterator[str]:
    """List calls of make in the texts' code whose goal the Makefile does not have."""
    makefile = (project.root() / "Makefile").read_text(encoding="utf-8")
    goals = set(re.search(r"^goals := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)[1].split())
    goals |= {notebook.number for notebook in staleness.notebooks()} | {"NN"}
    for path, text in documents().items():
        code = " \n".join(match[0] for match in _CODE.finditer(text))
        for goal in re.findall(r"(?:^|`|&& )make ([a-z]+|\d\d)\b", code, re.MULTILINE):
            if goal not in goals:
                yield f"{_shown(path)} says make {goal}, which the Makefile does not have"


def missing_alt_texts() -> Iterator[str]:
    """List pictures that say nothing to a reader who cannot see them."""
    for path, text in documents().items():
        for match in _PICTURE.finditer(_CODE.sub("", text)):
            if not match["alt"].strip():
                yield f"{_shown(path)}: the picture {match['target']} has no alt text"
        for tag in _PICTURE_TAG.findall(text):
            if not re.search(r"\balt=[\"'][^\"']", tag):
                yield f"{_shown(path)}: {tag} has no alt text"
    for path in _notebook_files():
        for number, cell in enumerate(_published_book(path).cells):
            for output in cell.get("outputs", []):
                yield from _silent_pictures(output, f"{_shown(path)}, cell {number}")
    for path in sorted((project.root() / "figures").glob("*/*.png")):
        if path.parent.name != "demo":
            yield from _silent_files(path)


def _silent_pictures(output, where: str) -> Iterator[str]:
    for kind in output.get("data", {}):
        if kind.startswith("image/"):
            alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
            if len(alt) < SHORTEST_ALT:
                yield f"{where}: a figure without alt text, or with one too short: {alt!r}"


def _silent_files(png: Path) -> Iterator[str]:
    from PIL import Image

    with Image.open(png) as picture:
        if len(picture.info.get("Description", "")) < SHORTEST_ALT:
            yield f"{_shown(png)} has no alt text"
    svg = png.with_suffix(".svg")
    if not svg.is_file():
        yield f"{_shown(svg)} is missing"
    elif "<dc:description>" not in svg.read_text(encoding="utf-8"):
        yield f"{_shown(svg)} has no alt text"


def traces_of_machines() -> Iterator[str]:
    """List texts that say on whose machine they were made: paths of it, or its name."""
    root = project.root()
    patterns = [_MACHINE_PATH.pattern, *map(re.escape, {str(root), str(Path.home())} - {"/root"})]
    host = socket.gethostname().split(".")[0]
    if len(host) > 3 and host != "localhost":
        patterns.append(rf"(?<![\w/+-]){re.escape(host)}(?![\w/+-])")
    telltale = re.compile("|".join(patterns))
    for path in _published_texts():
        match = telltale.search(path.read_text(encoding="utf-8"))
        if match:
            yield f"{_shown(path)} names the machine that made it: {match[0]!r}"


def _published_texts() -> Iterator[Path]:
    root = project.root()
    yield from (path for pattern in _DOCUMENTS for path in sorted(root.glob(pattern)))
    yield from (root / name for name in ("requirements.lock",) if (root / name).is_file())
    yield from _notebook_files()
    for folder in ("results", "figures"):
        for path in sorted((root / folder).rglob("*")):
            published = path.relative_to(root).parts[1] != "demo"
            if published and path.suffix in (".csv", ".json", ".svg", ".md", ".html"):
                yield path


def _notebook_files() -> Iterator[Path]:
    yield from sorted((project.root() / "notebooks").glob("*.ipynb"))
    for name in published_datasets():
        yield from sorted((Outputs(name).results / "notebooks").glob("*.ipynb"))


def large_files() -> Iterator[str]:
    """List notebooks and predictions that are larger than readers can be asked to load."""
    for path in _notebook_files():
        if path.stat().st_size >= MAX_NOTEBOOK_BYTES:
            yield f"{_shown(path)} is larger than {MAX_NOTEBOOK_BYTES >> 20} MiB"
        if re.search(r'^\s*"audio/[\w.+-]+": ', path.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{_shown(path)} holds sound"
    for name in published_datasets():
        folder = Outputs(name).results / "predictions"
        if sum(path.stat().st_size for path in folder.glob("*")) > MAX_PREDICTIONS_BYTES:
            yield f"{_shown(folder)} is larger than {MAX_PREDICTIONS_BYTES >> 20} MiB"


def colab_cells() -> Iterator[str]:
    """List notebooks whose cells for Colab are others than ``make colab`` writes."""
    books = {
        notebook: _published_book(path)
        for notebook in staleness.notebooks()
        if (path := notebook.source.with_suffix(".ipynb")).is_file()
    }
    repositories = {colab.repository_of_book(book) for book in books.values()}
    if len(repositories) > 1:
        named = ", ".join(sorted(str(name or "none") for name in repositories))
        yield f"the notebooks are opened in Colab from several repositories ({named}); make colab"
        return
    for notebook, book in books.items():
        if repositories != {None}:
            expected = nbformat.from_dict(book)
            colab.stamp(expected, notebook, *repositories)
            if [c.source for c in expected.cells] != [c.source for c in book.cells]:
                yield f"notebooks/{notebook.name}.ipynb: its cells for Colab are old; make colab"


def _shown(path: Path) -> str:
    return path.relative_to(project.root()).as_posix()


def _source_book(notebook: Notebook):
    return jupytext.reads(notebook.source.read_text(encoding="utf-8"), fmt="py:percent")


def _published_book(path: Path):
    return _parsed(path, path.stat().st_mtime_ns)


@cache
def _parsed(path: Path, _time: int):
    return nbformat.read(path, 4)
