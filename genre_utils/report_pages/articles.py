"""Executed notebooks, read for the report: what they ask, what they answer, their pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbconvert.exporters import HTMLExporter
from traitlets.config import Config

from genre_utils.project import ProjectError

_FIGURES = "figures"
_TEMPLATES = Path(__file__).parent / "templates"

# Widgets and scripts need a server or a network; what stands beside them as text does not.
_SHOWN = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/plain",
]
_ENDINGS = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg"}

KEY_FIGURE = "key-figure"
"""Tag of the cell whose figure stands for its notebook; without one it is the first figure."""


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes
    ----------
    file : str
        Where it is, from the report's folder.
    alt : str
        What a reader who cannot see it should know.
    """

    file: str
    alt: str


@dataclass(frozen=True)
class Article:
    """An executed notebook.

    Attributes
    ----------
    name : str
        Name of the notebook without ending, e.g. ``03_baselines``.
    title : str
        Its heading without the number.
    question : str
        What it asks, as Markdown.
    answer : str
        What it found: the last paragraph that was filled from results, as Markdown.
    figure : Figure or None
        The figure that stands for it.
    html : str
        Its cells.
    files : dict of str to bytes
        Its pictures, by their place in the report's folder.
    """

    name: str
    title: str
    question: str
    answer: str
    figure: Figure | None
    html: str
    files: dict[str, bytes]

    @property
    def number(self) -> str:
        """The two digits it is called by."""
        return self.name[:2]

    @property
    def page(self) -> str:
        """File name of its page."""
        return f"{self.name}.html"


def read(path: Path) -> Article:
    """Read an executed notebook.

    Parameters
    ----------
    path : Path
        The ``.ipynb`` file, with outputs.

    Raises
    ------
    ProjectError
        If it is no notebook, or does not begin with a heading.
    """
    try:
        book = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path.name} cannot be read as a notebook ({error})") from error
    first = book.cells[0].source if book.cells else ""
    heading = re.match(r"# (?:\d\d · )?(?P<title>.+)", first)
    if not heading:
        raise ProjectError(f"{path.name}: expected its first cell to begin with '# NN · Name'")
    # Numbered through, in the order in which a reader meets them.
    for number, (_, output, kind) in enumerate(_pictures(book), start=1):
        output.metadata["filename"] = f"{path.stem}_{number:02d}.{_ENDINGS[kind]}"
    html, files = _render(book)
    return Article(
        name=path.stem,
        title=heading["title"].strip(),
        question=_labelled(first, "Question"),
        answer=_answer(book),
        figure=_key_figure(book),
        html=html,
        files=files,
    )


def _labelled(text: str, label: str) -> str:
    """Return the paragraph that begins with ``**Label.**``, up to the next label."""
    found = re.search(
        rf"\*\*{label}\.\*\*\s*(?P<body>.+?)(?=\n\s*\n|\*\*[A-Z][\w ]*\.\*\*|\Z)", text, re.DOTALL
    )
    return " ".join(found["body"].split()) if found else ""


def _answer(book) -> str:
    """Return the last text from results of the section ``Answer``, else of the notebook."""
    found, section = {}, ""
    for cell in book.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^##? (.+)$", cell.source, re.MULTILINE)
            section = headings[-1].strip().lower() if headings else section
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown")
            # The line on what an execution rests on is a quotation, and no finding.
            if text and not text.startswith(">"):
                found["answer" if section.startswith("answer") else "any"] = text
    return found.get("answer", found.get("any", ""))


def _pictures(book) -> Iterator[tuple]:
    """Give each picture's cell, its output and its kind."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            kind = next((k for k in _ENDINGS if k in output.get("data", {})), None)
            if kind:
                yield cell, output, kind


def _key_figure(book) -> Figure | None:
    pictures = list(_pictures(book))
    tagged = [found for found in pictures if KEY_FIGURE in found[0].metadata.get("tags", [])]
    for _, output, kind in (tagged or pictures)[:1]:
        alt = output.metadata.get(kind, {}).get("alt", "")
        return Figure(f"{_FIGURES}/{output.metadata['filename']}", alt)
    return None


def _render(book) -> tuple[str, dict[str, bytes]]:
    exporter = HTMLExporter(
        config=Config(
            HTMLExporter={
                "template_name": "notebook",
                "extra_template_basedirs": [str(_TEMPLATES)],
            },
            NbConvertBase={"display_data_priority": _SHOWN},
            ExtractOutputPreprocessor={"enabled": True, "extract_output_types": set(_ENDINGS)},
        )
    )
    html, resources = exporter.from_notebook_node(book, {"output_files_dir": _FIGURES})
    return html, dict(resources["outputs"])
