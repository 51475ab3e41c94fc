"""The report of a study as pages that a browser opens from the file system.

nbconvert renders the executed notebooks; around them stand a cover page, the cards of data
and models, related work, and every training run with its provenance. No page loads anything
from a network.
"""

import argparse
import io
import os
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup
from nbconvert.filters import markdown2html
from PIL import Image

from genre_utils import __version__, datasets, project, staleness, tables, words_eda
from genre_utils.datasets import Dataset
from genre_utils.project import Outputs, ProjectError
from genre_utils.report_pages import articles, cards, finishing, provenance
from genre_utils.report_pages.articles import Article
from genre_utils.splits import PROTOCOLS

MOST_MIB = 25.0
"""Size in MiB that a report should not exceed."""

_HERE = Path(__file__).resolve().parent
# What a page may link to comes along, as long as it is text and not large.
_CARRIED = (".csv", ".md", ".json", ".toml", ".py", ".cff", ".txt")
_MOST_CARRIED = 2**20


@dataclass(frozen=True)
class Page:
    """A page of the report, as its navigation shows it.

    Attributes
    ----------
    file, title : str
        Where it is in the report's folder, and its name for readers.
    number : str
        The two digits of a notebook; empty for other pages.
    opens_group : bool
        Whether the navigation sets it apart from what stands before.
    stamp : str
        What it was made from.
    source : Path
        The folder that links in its text start from.
    """

    file: str
    title: str
    number: str = ""
    opens_group: bool = False
    stamp: str = ""
    source: Path = project.root()

    @property
    def label(self) -> str:
        """Its name with its number."""
        return f"{self.number} · {self.title}" if self.number else self.title

    @property
    def has_code(self) -> bool:
        """Whether it shows code that can be folded."""
        return bool(self.number)


def build(dataset: Dataset, outputs: Outputs) -> Path:
    """Build the report of a study from what it has stored.

    Parameters
    ----------
    dataset : Dataset
        What the study learnt from; its files are not needed.
    outputs : Outputs
        Where the study's results are. The report is put there, as a whole or not at all.

    Returns
    -------
    Path
        The cover page, ``report/index.html``.

    Raises
    ------
    ProjectError
        If no notebook has been executed, or one cannot be read.
    """
    found = sorted((outputs.results / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ProjectError(
            f"{outputs.dataset}: no executed notebook to report on; first run: "
            f"make all DATASET={outputs.dataset}"
        )
    folder = outputs.results / "report"
    partial_folder = folder.with_name(f".report.{os.getpid()}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    try:
        for name, content in _Site(dataset, outputs, [articles.read(p) for p in found]).files():
            path = partial_folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made_from = partial_folder / staleness.pages_record(outputs).name
        made_from.write_text(staleness.pages_digest(outputs))
        shutil.rmtree(folder, ignore_errors=True)
        partial_folder.rename(folder)
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return folder / "index.html"


class _Site:
    """The pages of one report and the files that they need."""

    def __init__(self, dataset: Dataset, outputs: Outputs, found: list[Article]):
        self._dataset, self._outputs, self._articles = dataset, outputs, found
        self._records = provenance.records(outputs)
        self._runs = provenance.runs(outputs)
        self._extra: dict[str, bytes] = {}
        for article in found:
            self._extra |= article.files
        self._pages = self._listed()
        self._environment = _environment()

    def files(self):
        """Give each file of the report: its name and its content."""
        contents = {article.page: article.html for article in self._articles} | {
            "index.html": self._cover(),
            "data_card.html": self._data_card(),
            "model_cards.html": self._model_cards(),
            "related_work.html": self._related_work(),
            "runs.html": self._provenance(),
        }
        for position, page in enumerate(self._pages):
            yield page.file, self._finished(position, contents[page.file]).encode()
        yield from self._extra.items()
        for path in sorted((_HERE / "assets").iterdir()):
            yield f"assets/{path.name}", path.read_bytes()

    def _listed(self) -> list[Page]:
        stamps = {record["notebook"]: _stamp(record) for record in self._records}
        notebooks = [
            Page(
                article.page,
                article.title,
                number=article.number,
                opens_group=position == 0,
                stamp=stamps.get(article.name, ""),
                source=project.root() / "notebooks",
            )
            for position, article in enumerate(self._articles)
        ]
        return [
            Page("index.html", "Cover"),
            *notebooks,
            Page("data_card.html", "Data card", opens_group=True),
            Page("model_cards.html", "Model cards"),
            Page("related_work.html", "Related work"),
            Page("runs.html", "Runs and provenance"),
        ]

    def _finished(self, position: int, content: str) -> str:
        page = self._pages[position]
        html, headings = finishing.finish(
            content,
            link=partial(self._address, page.source),
            picture_size=self._picture_size,
            # The report lies beside the executed notebooks, so that their paths hold here, too.
            at_hand=lambda address: (self._outputs.results / "notebooks" / address).is_file(),
        )
        return self._environment.get_template("page.html.j2").render(
            page=page,
            pages=self._pages,
            report=self._title(),
            headings=[h for h in headings if h.level == 2 or page.number],
            content=html,
            before=self._pages[position - 1] if position else None,
            after=self._pages[position + 1] if position + 1 < len(self._pages) else None,
            synthetic=self._dataset.synthetic,
            profile=self._outputs.profile,
        )

    def _title(self) -> str:
        return f"Music genre classification: {self._dataset.title}"

    def _address(self, folder: Path, address: str) -> str | None:
        """Return where in the report something is that a page links to, or None."""
        path, _, fragment = address.partition("#")
        if path in {page.file for page in self._pages} | set(self._extra):
            return f"{path}#{fragment}" if fragment else path
        target = (folder / path).resolve()
        pages = {article.name: article.page for article in self._articles}
        if target.suffix in (".ipynb", ".py") and target.stem in pages:
            return pages[target.stem]
        if not target.is_relative_to(project.root()) or target.suffix not in _CARRIED:
            return None
        if not target.is_file() or target.stat().st_size > _MOST_CARRIED:
            return None
        name = f"files/{target.relative_to(project.root()).as_posix()}"
        self._extra[name] = target.read_bytes()
        return name

    def _picture_size(self, address: str) -> tuple[int, int] | None:
        if address not in self._extra or address.endswith(".svg"):
            return None
        with Image.open(io.BytesIO(self._extra[address])) as picture:
            return picture.size

    def _filled(self, template: str, **values) -> str:
        return self._environment.get_template(f"{template}.html.j2").render(**values)

    def _cover(self) -> str:
        return self._filled(
            "cover", title=self._title(), articles=self._articles, tiles=self._tiles()
        )

    def _tiles(self) -> list[tuple[str, str]]:
        """Return the figures that stand at the top: (value, what it is)."""
        data = self._dataset
        uses = cards.table(self._outputs, "test_uses")
        n_uses = uses["times"].sum() if len(uses) else 0
        tiles = [
            (f"{len(data.tracks):,}", f"tracks of {len(data.genres)} genres"),
            (f"{len(self._runs):,}", "stored training runs"),
            (f"{n_uses:,}", "evaluations of a test part, each one counted"),
        ]
        ladder = cards.table(self._outputs, "03_ladder")
        if len(ladder):
            rungs = ladder[ladder["model"] == ladder["model"].iloc[0]].set_index("protocol")
            known = [p for p in PROTOCOLS if p in rungs.index]
            first, last = (rungs.loc[p, "accuracy"] for p in (known[0], known[-1]))
            label = f"{rungs['title'].iloc[0]}: accuracy under {known[0]}, and under {known[-1]}"
            tiles.append((f"{first:.2f} → {last:.2f}", label))
        return tiles

    def _data_card(self) -> str:
        named = {
            "01_balance": (
                "How much there is of each genre",
                "Tracks, and what of each is at hand: sound, pictures, hours, levels.",
            ),
            "01_artists": (
                "How many artists stand for a genre",
                "Shares are of the tracks whose artist is known; the last one says of how many "
                "tracks another one by the same artist is trained on, where tracks are split at "
                "random.",
            ),
            "01_faults": (
                "What the audit finds",
                "Each kind of finding, how often, and the worst example.",
            ),
        }
        shown = [(*texts, cards.table(self._outputs, name)) for name, texts in named.items()]
        return self._filled(
            "data_card",
            card=words_eda.data_card(self._dataset),
            tables=[entry for entry in shown if len(entry[-1])],
            facts=cards.facts_on_tracks(self._dataset.name),
        )

    def _model_cards(self) -> str:
        return self._filled(
            "model_cards",
            cards=cards.model_cards(self._outputs),
            shipped=cards.bundle_card(self._outputs),
            genres=self._dataset.genres,
        )

    def _related_work(self) -> str:
        rebuilt, others = cards.published_claims(self._outputs)
        return self._filled(
            "related_work",
            rebuilt=rebuilt,
            others=others,
            anchors=cards.published_on_this_split(),
            faults=cards.reported_faults(self._outputs),
            sources=cards.readme_sources(),
            citation=self._dataset.citation,
            methods=cards.methods(),
        )

    def _provenance(self) -> str:
        if len(self._runs):
            self._extra["files/runs.csv"] = self._runs.to_csv(index=False).encode()
        uses = cards.table(self._outputs, "test_uses")
        return self._filled(
            "runs",
            executions=provenance.executions(self._records),
            versions=provenance.versions(self._records),
            records=self._records,
            uses=tables.uses_summary(uses) if len(uses) else uses,
            n_runs=len(self._runs),
            studies=[
                (study, provenance.summary(rows), provenance.to_read(rows))
                for study, rows in self._runs.groupby("study", sort=False)
            ],
            impossible=provenance.impossible(self._outputs),
        )


def _stamp(record: dict) -> str:
    """Return the line that says what a notebook's page was made from."""
    how = "rebuilt from stored predictions" if record["from_predictions"] else "executed on data"
    digests = ", ".join(
        f"{name} {provenance.short(record['inputs'].get(name))}"
        for name in ("sources", "data", "lock")
    )
    return (
        f"{record['dataset']}, {how} in {record['duration_s']:.0f} s by genre_utils "
        f"{record['genre_utils']} on Python {record['python']} ({record['system']}). {digests}."
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["version"] = __version__
    environment.filters |= {
        "markdown": lambda text: Markup(markdown2html(text)),
        "table": _table,
        "named": lambda frame: frame.rename(columns=lambda name: name.replace("_", " ")),
        "demoted": lambda html, by: Markup(finishing.demoted(html, by=by)),
    }
    return environment


def _table(frame: pd.DataFrame) -> Markup:
    with pd.option_context("display.max_colwidth", None):
        return Markup(
            frame.to_html(index=False, border=0, na_rep="–", float_format=lambda x: f"{x:.3g}")
        )


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m genre_utils.report_pages``; return the exit code.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the program.
    """
    parser = argparse.ArgumentParser(prog="python -m genre_utils.report_pages", description=__doc__)
    parser.add_argument("--dataset", default="demo", help="demo, gtzan, gtzan-mini or a folder")
    parser.add_argument("--profile", default="full", choices=project.PROFILES, help="full or smoke")
    options = parser.parse_args(arguments)
    try:
        dataset = datasets.load(options.dataset, missing_ok=True)
        cover = build(dataset, Outputs(dataset.name, options.profile))
    except ProjectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in cover.parent.rglob("*") if path.is_file()) / 2**20
    pages = len(list(cover.parent.glob("*.html")))
    print(f"report       {os.path.relpath(cover)} ({pages} pages, {size:.1f} MiB)")
    if size > MOST_MIB:
        print(f"warning: the report is larger than {MOST_MIB:g} MiB", file=sys.stderr)
    return 0
