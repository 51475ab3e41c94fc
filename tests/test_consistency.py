"""`make check`: a small published project is clean, and each thing broken in it is named."""

import json
import shutil

import matplotlib.pyplot as plt
import nbformat
import pytest
from nbformat.v4 import new_output

from genre_utils import colab, consistency, lineage, pipeline, project, results, staleness
from genre_utils.project import Outputs

REAL = project.root()
ALT = "Two bars of which the second one is twice as high."
OVERVIEW = """\
# %% [markdown]
# # 00 · Overview
#
# See [the study](03_small.ipynb#the-study) and [the page](../README.md#results).

# %% tags=["parameters"]
dataset = "demo"
profile = "full"

# %%
from genre_utils import words
"""
STUDY = """\
# %% [markdown]
# # 03 · Small
#
# ## The study
#
# It runs with `make 03`.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"

# %%
from genre_utils import experiments
"""
PACKAGE = {
    "__init__.py": "",
    "data/facts.csv": "a",
    "words.py": "NAME = 1\n",
    "tuning.py": '"""Choose."""\nBEST = 1\n',
    "experiments.py": "from genre_utils import tuning\n\nTASKS = [Task(tuning.BEST)]\n",
}
README = """\
# Small

![Two bars](figures/gtzan/03_bars.png)

## Results

<!-- results: ladder -->
It falls from 0.90 to 0.41.
<!-- /results -->

[More](CONTRIBUTING.md), [at once](#results), [elsewhere](https://example.org/nothing).

```sh
make all
```
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def forget():
    staleness.settings.cache_clear()
    staleness.module_files.cache_clear()
    for function in (lineage._makes_tasks, lineage._code_digest, consistency._parsed):
        function.cache_clear()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A project of two notebooks with published results on GTZAN, all of it up to date."""
    folder = tmp_path_factory.mktemp("published") / "small"
    for name in ("pyproject.toml", "requirements.lock", "Makefile", "CITATION.cff"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(REAL / name, folder / name)
    for name, text in PACKAGE.items():
        write(folder / "genre_utils" / name, text)
    write(folder / "README.md", README)
    write(folder / "CONTRIBUTING.md", "# Contributing\n\nRun `make check`.\n")
    write(folder / "notebooks/00_overview.py", OVERVIEW)
    write(folder / "notebooks/03_small.py", STUDY)
    settings = 'from_predictions = ["03"]\n[needs]\n[minutes]\n03 = 2\n[extras]\n'
    write(folder / "notebooks/profiles.toml", settings)
    base = folder / "results/gtzan"
    write(base / "03_scores.csv", "dataset,accuracy\nGTZAN,0.5\n")
    write(base / "00_readme.json", json.dumps({"ladder": "It falls from 0.90 to 0.41."}))
    write(base / "predictions/03_small.json", json.dumps({"runs": [{"run_id": "aa"}]}))
    write(base / "predictions/03_small.parquet", "rows")
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.bar([0, 1], [1, 2])
    for ending, content in results.figure_files(figure, name="03_bars", alt=ALT).items():
        path = folder / f"figures/gtzan/03_bars.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        for notebook in staleness.notebooks():
            publish(notebook)
        for notebook in staleness.notebooks():
            record(notebook, folder)
    return folder


@pytest.fixture
def root(published, tmp_path, monkeypatch):
    """A copy of that project, to be broken."""
    folder = shutil.copytree(published, tmp_path / "small")
    enter(folder, monkeypatch)
    yield folder
    forget()


def enter(folder, patch):
    """Let a folder be the project that is looked at."""
    patch.setattr(project, "root", lambda: folder)
    patch.setattr(staleness, "_PACKAGE", folder / "genre_utils")
    patch.setattr(lineage, "_PACKAGE", folder / "genre_utils")
    patch.setenv("OUTPUT_ROOT", ".")
    forget()


def publish(notebook):
    book = consistency._source_book(notebook)
    picture = new_output(
        "display_data", {"image/png": "AAAA"}, metadata={"image/png": {"alt": ALT}}
    )
    book.cells[-1]["outputs"] = [picture]
    path = Outputs("gtzan").results / "notebooks" / f"{notebook.name}.ipynb"
    write(path, nbformat.writes(book))
    shutil.copy(path, notebook.source.with_suffix(".ipynb"))


def record(notebook, folder):
    outputs = Outputs("gtzan")
    made = [outputs.results / "notebooks" / f"{notebook.name}.ipynb"]
    made += [*outputs.results.glob(f"{notebook.number}_*"), *outputs.figures.glob("03_*")]
    made += outputs.results.glob(f"predictions/{notebook.number}_*")
    current = staleness.inputs(notebook, dataset="gtzan", profile="full", parameters={}, data=None)
    code = lineage.training_code(notebook)
    runs = lineage.stored_runs(made)
    content = {
        "inputs": current,
        "outputs": {p.relative_to(folder).as_posix(): project.file_digest(p) for p in made},
        "trained_by": lineage.trained_by(runs, before=[], code=code, earlier=[]),
    }
    write(staleness.record_path(notebook, outputs), json.dumps(content))


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def found(root) -> list[str]:
    forget()
    return list(consistency.problems())


def test_a_project_that_is_up_to_date_is_clean(root, capsys):
    assert found(root) == [] and list(consistency.notes()) == []
    assert pipeline.main(["check"]) == 0
    assert capsys.readouterr().out == "check: no problems in what is published\n"


def test_results_of_a_users_own_music_are_not_published_ones(root, capsys):
    (root / "results" / "my-music").mkdir()
    (root / "results" / "my-music" / "03_accuracy.csv").write_text("a\n1\n")
    assert consistency.published_datasets() == ["gtzan"]
    assert pipeline.check() == pipeline.UP_TO_DATE, capsys.readouterr().err


def test_what_is_found_is_said_and_fails(root, capsys):
    (root / "results/gtzan/03_scores.csv").unlink()
    assert pipeline.main(["check"]) == 1
    said = capsys.readouterr()
    assert "check: results/gtzan: 03_small: results/gtzan/03_scores.csv is missing" in said.err
    assert "problems in what is published" in said.out


BREAKS = {
    # Stale: tables, figures, notebooks, against predictions and sources.
    "a changed table": (
        "results/gtzan/03_scores.csv", "0.5", "0.6",
        "03_small: results/gtzan/03_scores.csv was changed",
    ),
    "a changed figure": (
        "figures/gtzan/03_bars.svg", "</svg>", "</svg> ",
        "03_small: figures/gtzan/03_bars.svg was changed",
    ),
    "changed predictions": (
        "results/gtzan/predictions/03_small.parquet", "rows", "others",
        "03_small: results/gtzan/predictions/03_small.parquet was changed",
    ),
    "a changed executed notebook": (
        "results/gtzan/notebooks/03_small.ipynb", "AAAA", "AAAB",
        "03_small: results/gtzan/notebooks/03_small.ipynb was changed",
    ),
    "a changed module": (
        "genre_utils/tuning.py", "BEST", "MOST", "03_small: its sources changed",
    ),
    "a changed source of a notebook": (
        "notebooks/03_small.py", "The study", "A study", "03_small: its sources changed",
    ),
    "changed versions": (
        "requirements.lock", "numpy==", "numpy===", "03_small: its lock changed",
    ),
    "changed parameters": (
        "notebooks/profiles.toml", "[minutes]", "[full.03_small.any]\nseed=1\n[minutes]",
        "03_small has no parameter 'seed'",
    ),
    # The published notebooks.
    "pairs out of step": (
        "notebooks/03_small.ipynb", "It runs with", "It ran with",
        "notebooks/03_small.ipynb is not in step with its .py",
    ),
    "outputs of an earlier run": (
        "notebooks/03_small.ipynb", "AAAA", "AAAB",
        "notebooks/03_small.ipynb shows the outputs of an earlier run",
    ),
    # Numbers and links.
    "a number typed into the README": (
        "README.md", "0.41", "0.42", "README.md does not show the numbers of results/gtzan",
    ),
    "a marker without results": (
        "README.md", "<!-- results: ladder -->", "<!-- results: other -->",
        "README.md has markers for ['other']",
    ),
    "a dead link": (
        "README.md", "(CONTRIBUTING.md)", "(CONTRIBUTE.md)",
        "README.md links to CONTRIBUTE.md, which is not there",
    ),
    "a link out of the project": (
        "README.md", "(CONTRIBUTING.md)", "(../elsewhere.md)", "README.md links to ../elsewhere.md",
    ),
    "a dead anchor": (
        "README.md", "(#results)", "(#outcome)",
        "README.md links to #outcome, and there is no such heading",
    ),
    "a dead anchor in a notebook": (
        "notebooks/00_overview.ipynb", "#the-study", "#the-studio",
        "notebooks/00_overview.ipynb links to 03_small.ipynb#the-studio",
    ),
    "a goal that is not there": (
        "CONTRIBUTING.md", "make check", "make checks",
        "CONTRIBUTING.md says make checks, which the Makefile does not have",
    ),
    "a goal that is not there, in a block": (
        "README.md", "make all", "make everything", "README.md says make everything",
    ),
    # Alt texts.
    "a picture without alt text": (
        "README.md", "![Two bars]", "![]", "the picture figures/gtzan/03_bars.png has no alt text",
    ),
    "a tag without alt text": (
        "README.md", "## Results", '<img src="figures/gtzan/03_bars.png">\n\n## Results',
        '<img src="figures/gtzan/03_bars.png"> has no alt text',
    ),
    "an output without alt text": (
        "notebooks/03_small.ipynb", ALT, "",
        "notebooks/03_small.ipynb, cell 2: a figure without alt text",
    ),
    "a vector figure without alt text": (
        "figures/gtzan/03_bars.svg", "dc:description", "dc:nothing",
        "figures/gtzan/03_bars.svg has no alt text",
    ),
    # The machine that made it.
    "a home folder in a table": (
        "results/gtzan/03_scores.csv", "GTZAN", "/home/me/gtzan",
        "results/gtzan/03_scores.csv names the machine that made it: '/home/me'",
    ),
    "a scratch folder in a notebook": (
        "notebooks/03_small.ipynb", "It runs", "in /tmp/xy it runs",
        "notebooks/03_small.ipynb names the machine that made it: '/tmp/xy'",
    ),
    "a Windows path in a record": (
        "results/gtzan/predictions/03_small.json", "aa", "C:\\\\Users\\\\me",
        "predictions/03_small.json names the machine",
    ),
    "the host's name in a figure": (
        "figures/gtzan/03_bars.svg", "</svg>", "<!-- lab-pc-17 --></svg>",
        "figures/gtzan/03_bars.svg names the machine that made it: 'lab-pc-17'",
    ),
    "sound in a notebook": (
        "notebooks/03_small.ipynb", '"image/png": "AAAA"', '"audio/wav": "AAAA"',
        "notebooks/03_small.ipynb holds sound",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_named(root, monkeypatch, name):
    path, old, new, expected = BREAKS[name]
    monkeypatch.setattr("socket.gethostname", lambda: "lab-pc-17.example")
    replace(root / path, old, new)
    try:
        assert [p for p in found(root) if expected in p]
    except project.ProjectError as error:
        assert expected in str(error)


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ("figures/gtzan/03_bars.png", "figures/gtzan/03_bars.png is missing"),
        ("figures/gtzan/03_bars.svg", "figures/gtzan/03_bars.svg is missing"),
        ("notebooks/03_small.ipynb", "notebooks/03_small.ipynb is missing; make publish"),
        ("notebooks/03_small.py", "notebooks/03_small.ipynb has no .py beside it"),
        ("results/gtzan/notebooks/03_small.ipynb", "notebooks/03_small.ipynb is missing"),
        ("results/gtzan/provenance/03_small.json", "03_small: it has not run yet"),
        ("results/gtzan/00_readme.json", "00_readme.json is not there"),
    ],
)
def test_what_is_missing_is_named(root, gone, expected):
    (root / gone).unlink()
    assert [p for p in found(root) if expected in p]


@pytest.mark.parametrize(
    "left", ["results/gtzan/03_old.csv", "figures/gtzan/03_old.png", "figures/gtzan/04_old.svg"]
)
def test_what_no_notebook_made_is_named(root, left):
    kind = "figures/gtzan/03_bars.png" if left.endswith("png") else "README.md"
    shutil.copy(root / kind, root / left)
    assert [p for p in found(root) if p.startswith(f"{left}: no notebook made it")]


def test_a_raster_figure_without_alt_text_is_named(root):
    plt.imsave(root / "figures/gtzan/03_bars.png", [[0, 1]])
    assert "figures/gtzan/03_bars.png has no alt text" in found(root)


def test_a_notebook_without_outputs_is_named(root):
    path = root / "notebooks/03_small.ipynb"
    book = nbformat.read(path, 4)
    book.cells[-1]["outputs"] = []
    nbformat.write(book, path)
    assert "notebooks/03_small.ipynb has no outputs; make publish" in found(root)


def test_files_that_are_too_large_are_named(root, monkeypatch):
    monkeypatch.setattr(consistency, "MAX_NOTEBOOK_BYTES", 1 << 10)
    monkeypatch.setattr(consistency, "MAX_PREDICTIONS_BYTES", 8)
    named = " ".join(found(root))
    assert "notebooks/03_small.ipynb is larger than" in named
    assert "results/gtzan/predictions is larger than" in named


def test_the_predictions_of_a_notebook_that_is_needed_count(root):
    study = root / "notebooks/03_small.py"
    write(root / "notebooks/07_next.py", study.read_text().replace("03 · Small", "07 · Next"))
    replace(root / "notebooks/profiles.toml", "[needs]", '[needs]\n07 = ["03"]')
    forget()
    next_one = next(nb for nb in staleness.notebooks() if nb.number == "07")
    publish(next_one)
    record(next_one, root)
    assert found(root) == []
    replace(root / "results/gtzan/predictions/03_small.parquet", "rows", "others")
    assert [p for p in found(root) if "07_next: its predictions changed" in p]


def test_runs_whose_training_code_changed_are_listed_and_no_problem(root):
    replace(root / "genre_utils/tuning.py", "Choose", "Choose well")
    forget()
    assert list(consistency.notes()) == [], "a docstring trains nothing"
    replace(root / "genre_utils/tuning.py", "BEST = 1", "BEST = 2")
    problems = found(root)
    assert [p for p in problems if "its sources changed" in p]
    (note,) = consistency.notes()
    assert note == "results/gtzan: 03_small: 1 runs were trained before tuning.py changed"
    for notebook in staleness.notebooks():
        path = staleness.record_path(notebook, Outputs("gtzan"))
        kept = json.loads(path.read_text())["trained_by"]
        record(notebook, root)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"trained_by": kept}))
    assert found(root) == [] and list(consistency.notes()) == [note]
    assert pipeline.main(["check"]) == 0


def test_cells_for_colab_are_the_same_everywhere_or_named(root):
    assert len(colab.write("someone/small")) == 2
    assert found(root) == []
    path = root / "notebooks/03_small.ipynb"
    replace(path, 'PROFILE = \\"full\\"', 'PROFILE = \\"smoke\\"')
    assert found(root) == ["notebooks/03_small.ipynb: its cells for Colab are old; make colab"]
    book = nbformat.read(path, 4)
    colab.stamp(book, staleness.notebooks()[0], None)
    nbformat.write(book, path)
    assert "from several repositories (none, someone/small); make colab" in found(root)[0]


# The project as it is: what does not depend on a study that is going on.


def test_the_projects_own_pages_have_no_dead_link_and_no_silent_picture():
    assert list(consistency.dead_links()) == []
    assert list(consistency.unknown_goals()) == []
    assert list(consistency.missing_alt_texts()) == []


def test_the_project_names_no_machine_and_has_one_repository():
    assert list(consistency.traces_of_machines()) == []
    assert list(consistency.colab_cells()) == []
