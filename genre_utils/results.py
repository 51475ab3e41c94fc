"""Tables and figures of a notebook: written with their provenance, read back by the README."""

import io
import json
import os
import re
from pathlib import Path

import pandas as pd
from IPython.display import Image, Markdown

from genre_utils import project
from genre_utils.datasets import Dataset
from genre_utils.project import KNOWN_DATASETS, Outputs, ProjectError, write_atomic

_MARKER = re.compile(
    r"(?P<open><!-- results: (?P<name>[\w./-]+) -->\n).*?(?P<close><!-- /results -->)", re.DOTALL
)

_DPI = 150


class Report:
    """Where one notebook's tables, figures and numbers go.

    Parameters
    ----------
    notebook : str
        Name of the notebook without its ending, e.g. ``03_baselines``.
    dataset : Dataset
        What its numbers rest on.
    profile : str
        ``full``, ``smoke`` or ``custom``.
    """

    def __init__(self, notebook: str, *, dataset: Dataset, profile: str):
        self.notebook, self.dataset = notebook, dataset
        self.outputs = Outputs(dataset.name, profile)
        self._number = notebook.split("_")[0]
        # Tables are read, not skimmed: nothing of a cell is cut off.
        pd.set_option("display.max_colwidth", None, "display.max_rows", 200)

    def header(self) -> Markdown:
        """Return the line that says what this execution rests on."""
        tracks = self.dataset.tracks
        counts = [
            f"{len(tracks):,} tracks",
            f"{tracks['audio_path'].notna().sum():,} with audio",
            f"{tracks['image_path'].notna().sum():,} with a picture",
        ]
        counts += [f"a {length:g}-s feature table" for length in sorted(self.dataset.tables)]
        if not self.dataset.available:
            counts = [f"{len(tracks):,} tracks in the index", "numbers from stored predictions"]
        profile = "" if self.outputs.profile == "full" else f", profile `{self.outputs.profile}`"
        note = " These are not the published numbers." if self.dataset.synthetic else ""
        return Markdown(
            f"> **Executed on: {self.dataset.title}**{profile} ({', '.join(counts)}).{note}"
        )

    def table(self, frame: pd.DataFrame, slug: str, *, numbered: bool = True) -> pd.DataFrame:
        """Write a table to ``results/<dataset>/NN_<slug>.csv`` and return it.

        Its first column says which data set it is of; numbers have six significant digits.

        Parameters
        ----------
        frame : pd.DataFrame
            The table; its index is left out.
        slug : str
            Name of the table.
        numbered : bool
            False for a table that belongs to the data set rather than to one notebook:
            its name goes without ``NN_``.
        """
        name = f"{self._number}_{slug}" if numbered else slug
        path = self.outputs.results / f"{name}.csv"
        written = frame.copy()
        written.insert(0, "dataset", self.dataset.title)
        write_atomic(path, written.to_csv(index=False, float_format="%.6g"))
        self._note(path)
        return frame

    def read(self, name: str) -> pd.DataFrame:
        """Read a results table by its file name without ``.csv``.

        Raises
        ------
        ProjectError
            If the table has not been made; says which notebook makes it.
        """
        path = self.outputs.results / f"{name}.csv"
        if not path.is_file():
            goal = name[:2] if name[:2].isdigit() else "all"
            known = self.dataset.name in KNOWN_DATASETS
            place = self.dataset.name if known else self.dataset.root
            profile = "" if self.outputs.profile == "full" else f" PROFILE={self.outputs.profile}"
            raise ProjectError(
                f"{name}.csv is not there for {self.dataset.name!r}; "
                f"make it with: make {goal} DATASET={place}{profile}"
            )
        return pd.read_csv(path).drop(columns="dataset", errors="ignore")

    def figure(self, figure, slug: str, *, alt: str) -> Image:
        """Write a figure as PNG and SVG and return it as a picture with alt text.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Closed afterwards.
        slug : str
            Name of the figure: ``figures/<dataset>/NN_<slug>.png`` and ``.svg``.
        alt : str
            What a reader who cannot see the figure should know; one or two sentences.
        """
        if self.dataset.synthetic:
            figure.text(
                0.997, 0.993, "demo (synthetic)", ha="right", va="top", fontsize=8, color="0.45"
            )
        path = self.outputs.figures / f"{self._number}_{slug}.png"
        files = figure_files(figure, name=path.stem, alt=alt)
        for ending, content in files.items():
            target = path.with_suffix(f".{ending}")
            write_atomic(target, content)
            self._note(target)
        width = int(figure.get_size_inches()[0] * 96)
        # As metadata, since Colab's IPython does not know the option `alt` yet.
        return Image(files["png"], format="png", width=width, metadata={"alt": alt})

    def keep_predictions(self, *studies: str) -> None:
        """Count stored predictions among this notebook's outputs.

        Parameters
        ----------
        *studies : str
            Names that they are stored under; by default the notebook's own. What is not
            there is left out.
        """
        for study in studies or (self.notebook,):
            for ending in ("parquet", "json"):
                path = self.outputs.results / "predictions" / f"{study}.{ending}"
                if path.is_file():
                    self._note(path)

    def readme(self, **fragments: str) -> None:
        """Write the Markdown that stands between the README's markers of these names."""
        path = self.outputs.results / f"{self._number}_readme.json"
        write_atomic(path, json.dumps(fragments, indent=1) + "\n")
        self._note(path)

    def _note(self, path: Path) -> None:
        manifest = os.environ.get("OUTPUT_MANIFEST")
        if manifest:
            with open(manifest, "a") as stream:
                stream.write(f"{path.resolve()}\n")


def _packed_png(figure, alt: str) -> bytes:
    """Return a figure as PNG with at most 256 colours, in a third of the bytes."""
    from PIL import Image as Picture
    from PIL.PngImagePlugin import PngInfo

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    picture = (
        Picture.open(drawn)
        .convert("RGB")
        .quantize(256, method=Picture.Quantize.MAXCOVERAGE, dither=Picture.Dither.NONE)
    )
    information = PngInfo()
    information.add_itxt("Description", alt)
    picture.save(packed, "PNG", optimize=True, dpi=(_DPI, _DPI), pnginfo=information)
    return packed.getvalue()


def figure_files(figure, *, name: str, alt: str) -> dict[str, bytes]:
    """Return a figure as the content of its files, ``png`` and ``svg``, and close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    name : str
        Name of the files without ending.
    alt : str
        What a reader who cannot see the figure should know; kept in both files.
    """
    import matplotlib.pyplot as plt

    png, svg = _packed_png(figure, alt), io.BytesIO()
    # Without a date and with a fixed salt, the same numbers make the same bytes.
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, format="svg", metadata={"Description": alt, "Date": None})
    plt.close(figure)
    return {"png": png, "svg": svg.getvalue()}


def prose(text: str, **values) -> Markdown:
    """Return a paragraph whose numbers come from results.

    Parameters
    ----------
    text : str
        Markdown with format fields, e.g. ``"falls to {fair:.2f}"``.
    **values
        What the fields stand for.
    """
    return Markdown(" ".join(text.format(**values).split()))


def markdown_table(frame: pd.DataFrame) -> str:
    """Return a table as Markdown; the index is left out."""
    lines = [frame.columns, ["---"] * frame.shape[1], *frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def interval(row, value: str = "accuracy") -> str:
    """Return a value with its 95 % interval as text, ``0.48 (0.42–0.54)``.

    Parameters
    ----------
    row : mapping
        Holds `value`, ``<value>_low`` and ``<value>_high``; missing values give a dash.
    value : str
        Name of the number.
    """
    if pd.isna(row[value]):
        return "–"
    return f"{row[value]:.2f} ({row[f'{value}_low']:.2f}–{row[f'{value}_high']:.2f})"


def signed(value: float, digits: int = 2) -> str:
    """Return a difference as text, ``-0.14``.

    Parameters
    ----------
    value : float
        A difference. What would look like zero gets a digit more, or two.
    digits : int
        Decimals that are enough for most values.
    """
    tried = (f"{value:+.{n}f}" for n in range(digits, digits + 3))
    return next((text for text in tried if float(text)), f"{0:.{digits}f}")


def brief(value: float) -> str:
    """Return a size as text: whole from 10 on, below with the two digits that count, ``0.35``."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def fill_readme(text: str, fragments: dict[str, str]) -> str:
    """Return the README with what stands between its markers made anew.

    Parameters
    ----------
    text : str
        The README, with ``<!-- results: NAME -->`` and ``<!-- /results -->`` around
        each generated part.
    fragments : dict of str to str
        Markdown by NAME.

    Raises
    ------
    ProjectError
        If a marker names a fragment that is not there, or a fragment has no marker.
    """
    wanted = {match["name"] for match in _MARKER.finditer(text)}
    if wanted != set(fragments):
        raise ProjectError(
            f"README.md has markers for {sorted(wanted)}, the results have {sorted(fragments)}; "
            "each fragment needs one pair of markers"
        )
    return _MARKER.sub(lambda m: f"{m['open']}{fragments[m['name']]}\n{m['close']}", text)


def readme_fragments(dataset: str) -> dict[str, str]:
    """Read the README's fragments that the overview wrote for a data set."""
    path = Outputs(dataset).results / "00_readme.json"
    if not path.is_file():
        raise ProjectError(
            f"results/{dataset}/00_readme.json is not there; "
            f"make it with: make 00 DATASET={dataset}"
        )
    return json.loads(path.read_text())


def write_readme(dataset: str) -> Path:
    """Fill the README's markers from the results of a data set."""
    readme = project.root() / "README.md"
    text = readme.read_text(encoding="utf-8")
    filled = fill_readme(text, readme_fragments(dataset))
    if filled != text:
        write_atomic(readme, filled)
    return readme
