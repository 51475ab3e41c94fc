"""What the report says about data, models and the work of others, from tables and facts."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from genre_utils import bundle, project, tables_deep
from genre_utils.experiments import Store
from genre_utils.project import Outputs, ProjectError
from genre_utils.results import interval
from genre_utils.splits import PROTOCOLS
from genre_utils.systems import SYSTEMS
from genre_utils.tables_transfer import anchors

_RESULTS = [
    "protocol", "scored per", "item", "accuracy", "artists drawn", "macro F1", "seeds",
    "in training", "test tracks",
]  # fmt: skip
_PACKAGE = Path(__file__).resolve().parent.parent


def table(outputs: Outputs, name: str) -> pd.DataFrame:
    """Return a results table by its file name without ending; empty where there is none."""
    path = outputs.results / f"{name}.csv"
    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(path).drop(columns="dataset", errors="ignore")


def _of_each_notebook(outputs: Outputs, slug: str) -> pd.DataFrame:
    """Return a table that several notebooks write, with the notebook in a column."""
    names = sorted(path.stem for path in outputs.results.glob(f"[0-9][0-9]_{slug}.csv"))
    parts = [table(outputs, n).assign(number=n[:2]) for n in names if n[:2] != "00"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@dataclass(frozen=True)
class ModelCard:
    """What people should know of one system of the study.

    Attributes
    ----------
    title : str
        Its name for readers.
    notebook : str
        Name of the notebook that trains it.
    facts : list of tuple of str
        (Name, text) of what it is, how it was trained and what it costs.
    results : pd.DataFrame
        One row a protocol, for readers.
    recall : pd.DataFrame
        One row a genre, under `recall_protocol`; may be empty.
    recall_protocol : str
        The strictest protocol that it was tested under.
    limits : str
        What speaks against relying on it, as a Markdown list.
    """

    title: str
    notebook: str
    facts: list[tuple[str, str]]
    results: pd.DataFrame
    recall: pd.DataFrame
    recall_protocol: str
    limits: str


def model_cards(outputs: Outputs) -> list[ModelCard]:
    """Return a card for each system in the tables of published systems.

    Parameters
    ----------
    outputs : Outputs
        Of the study.
    """
    rows = _systems(outputs)
    sources = {
        slug: _of_each_notebook(outputs, slug) for slug in ("described", "accuracy", "underfitted")
    }
    results = {name: _stored(outputs, name) for name in rows["notebook"].unique()}
    return [_model_card(row, sources, results[row["notebook"]]) for _, row in rows.iterrows()]


def _systems(outputs: Outputs) -> pd.DataFrame:
    """Return the overview's published systems and our best single network, as texts."""
    path = outputs.results / "00_systems.csv"
    if not path.is_file():
        return pd.DataFrame(columns=["system", "notebook", "published"])
    rows = pd.read_csv(path, dtype=str).fillna("–")
    claimed = rows["published"] != tables_deep.NOT_PUBLISHED
    return rows[claimed | (rows["system"] == SYSTEMS[tables_deep.BEST_SINGLE].title)]


def _stored(outputs: Outputs, study: str):
    """Return what a notebook's study stored, or None."""
    try:
        return Store(study, outputs).load()
    except ProjectError:
        return None


def _rows(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    return frame[frame[column] == value] if column in frame else pd.DataFrame()


def _model_card(row: pd.Series, sources: dict[str, pd.DataFrame], result) -> ModelCard:
    name = row["system"]
    described = _rows(sources["described"], "system", name)
    accuracy = _rows(sources["accuracy"], "title", name)
    done = accuracy[accuracy["accuracy"].notna()] if len(accuracy) else accuracy
    if "stage" in done:
        done = done[done["stage"] == "final"] if (done["stage"] == "final").any() else done
    keys = done["model"].unique() if len(done) else []
    protocol = next((p for p in reversed(PROTOCOLS) if len(_rows(done, "protocol", p))), "")
    recall = pd.DataFrame()
    if result is not None and len(keys) == 1 and keys[0] in SYSTEMS and protocol:
        recall = tables_deep.by_genre(result, model=keys[0], protocol=protocol)
    return ModelCard(
        title=name,
        notebook=row["notebook"],
        facts=_facts(row, described, keys[0] if len(keys) == 1 else ""),
        results=_results(done, accuracy),
        recall=_recall_to_read(recall) if len(recall) else recall,
        recall_protocol=protocol,
        limits=_limits(recall, _rows(sources["underfitted"], "title", name)),
    )


def _facts(row: pd.Series, described: pd.DataFrame, key: str) -> list[tuple[str, str]]:
    facts = []
    if len(described):
        said = described.iloc[0]
        facts += [
            ("What it is", f"{said['purpose'][0].upper()}{said['purpose'][1:]}."),
            ("Reads", f"{said['reads']}, items of {row['item']}"),
            ("Training", f"{said['budget']}; {row['training']} a run"),
        ]
    if key in SYSTEMS:
        system = SYSTEMS[key]
        recipe, changes = system.recipe, system.augmentation
        facts.append(
            (
                "Recipe",
                f"AdamW, learning rate {recipe.learning_rate:g}, weight decay "
                f"{recipe.weight_decay:g}, label smoothing {recipe.label_smoothing:g}; version "
                f"{system.version} of its code",
            )
        )
        on = [f"{name} {value:g}" for name, value in vars(changes).items() if value]
        facts.append(("Changes to training data", ", ".join(on) or "none"))
    facts += [
        ("Pretrained", str(row["pretrained"])),
        ("Size", f"{row['parameters']} parameters, {row['MB']} MB"),
        ("Claimed of such a system", str(row["published"])),
    ]
    return facts


def _results(done: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies as the table of systems scores them, or why there are none."""
    lines = []
    for protocol in PROTOCOLS:
        unit = "segment" if protocol == "segment_random" else "track"
        rows = _rows(done, "protocol", protocol)
        whole = rows[rows["unit"] == unit] if len(rows) else rows
        for _, row in (whole if len(whole) else rows).iterrows():
            lines.append(
                {
                    "protocol": protocol,
                    "scored per": row["unit"],
                    "item": f"{row['segment_s']:g} s",
                    "accuracy": interval(row),
                    "artists drawn": _between(row),
                    "macro F1": interval(row, "macro_f1"),
                    "seeds": _seeds(row),
                    "in training": f"{row['train_accuracy']:.2f}",
                    "test tracks": f"{row['n_tracks']:.0f}",
                }
            )
        if rows.empty:
            reasons = _rows(accuracy, "protocol", protocol)
            reason = reasons["reason"].dropna().iloc[:1] if "reason" in reasons else []
            why = tables_deep.short_reason(reason.iloc[0]) if len(reason) else "not run"
            lines.append({"protocol": protocol, "accuracy": why})
    return pd.DataFrame(lines, columns=_RESULTS).fillna("–")


def _seeds(row: pd.Series) -> str:
    """Return how many seeds were trained, and the standard deviation between them."""
    count, spread = row.get("n_seeds"), row.get("accuracy_sd")
    if pd.isna(count):
        return "–"
    return f"{count:.0f}" if pd.isna(spread) or count < 2 else f"{count:.0f} (± {spread:.2f})"


def _between(row: pd.Series) -> str:
    low, high = row.get("accuracy_artist_low"), row.get("accuracy_artist_high")
    return "–" if pd.isna(low) else f"{low:.2f}–{high:.2f}"


def _limits(recall: pd.DataFrame, underfitted: pd.DataFrame) -> str:
    limits = []
    if len(recall):
        whole = recall[recall["segment_s"] == recall["segment_s"].max()].sort_values("recall")
        worst = ", ".join(f"{row.genre} ({row.recall:.0%})" for row in whole.head(3).itertuples())
        limits.append(f"- Least recognised genres: {worst}.")
    for row in underfitted.drop_duplicates("why").itertuples() if len(underfitted) else ():
        limits.append(
            f"- Accuracy on its training part under `{row.protocol}` is {row.train_accuracy:.2f} "
            f"only. {row.why}"
        )
    return "\n".join(limits)


def _recall_to_read(recall: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "genre": recall["genre"],
            "item": [f"{length:g} s" for length in recall["segment_s"]],
            "recall": [interval(row, "recall") for _, row in recall.iterrows()],
            "test tracks": recall["n_tracks"],
        }
    )


def bundle_card(outputs: Outputs) -> str:
    """Return the card of the network that is shipped for a data set, as Markdown.

    Empty where no network has been packed up for it.
    """
    is_published = outputs == Outputs("gtzan")
    folder = bundle.default_folder() if is_published else outputs.results / "bundle"
    path = folder / "CARD.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def published_claims(outputs: Outputs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was claimed for systems beside what they reach here.

    Returns
    -------
    rebuilt : pd.DataFrame
        Claim, its protocol, and our accuracies, one row a system of this study.
    others : pd.DataFrame
        Claims for systems that this study of the data set has not run.
    """
    rows = _systems(outputs)
    claims = pd.DataFrame(
        [
            {"system": s.title, "claim": _claim(s.published)[0], "protocol": _claim(s.published)[1]}
            for s in SYSTEMS.values()
            if s.published
        ]
    )
    rows = rows.drop_duplicates("system").set_index("system")
    ours = [name for name in rows.columns if name.split(",")[0] in PROTOCOLS]
    is_run = claims["system"].isin(rows.index)
    rebuilt = claims[is_run].rename(columns={"claim": "published", "protocol": "its split"})
    scores = rows[ours].map(_without_reason).rename(columns=_with_unit)
    rebuilt = rebuilt.join(scores, on="system")
    return rebuilt, claims[~is_run]


def _without_reason(cell: str) -> str:
    """Return a score, or only that there is none: the reason stands on the model's card."""
    return cell if re.match(r"\d", cell) else cell.partition(":")[0]


def _with_unit(column: str) -> str:
    protocol, _, unit = column.partition(", ")
    return f"{protocol} ({unit})" if unit else protocol


def _claim(published: str) -> tuple[str, str]:
    """Return what is claimed, and how the data was parted for it."""
    claim, _, protocol = published.partition(", ")
    return claim, protocol or "not stated"


def published_on_this_split() -> pd.DataFrame:
    """Return what others report on the fault-filtered test part, with sources."""
    return anchors().rename(columns={"pretrained_on": "pretrained on"})


def reported_faults(outputs: Outputs) -> pd.DataFrame:
    """Return how many faults of the data the literature and the audit count."""
    rows = table(outputs, "01_literature")
    first = [name for name in ("claim", "criterion", "reported", "found") if name in rows]
    return rows[first + [name for name in rows if name not in first]]


def readme_sources() -> str:
    """Return the list of sources in the README, as Markdown; empty without a README."""
    path = project.root() / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.search(r"^## Sources[^\n]*\n+(?P<items>(?:- .*\n(?:  .*\n)*)+)", text, re.MULTILINE)
    return found["items"] if found else ""


@cache
def methods() -> list[str]:
    """Return the papers that the package's docstrings name, in alphabetical order."""
    found = set()
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                entries = re.findall(r"^\.\. \[\d+\] (.+(?:\n   .+)*)", text, re.MULTILINE)
                found |= {" ".join(entry.split()) for entry in entries}
    return sorted(found)


def facts_on_tracks(dataset: str) -> str:
    """Return what the package states about a data set's tracks and how it is known."""
    if dataset not in ("gtzan", "gtzan-mini"):
        return ""
    return (_PACKAGE / "data" / "SOURCES.md").read_text(encoding="utf-8")
