"""Structure of the notebooks, and a smoke run of all of them executed twice."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import jupytext
import nbformat
import pandas as pd
import pytest

from genre_utils import project, staleness

NOTEBOOKS = staleness.notebooks()
BY_NAME = {"argvalues": NOTEBOOKS, "ids": [nb.name for nb in NOTEBOOKS]}
# The aim is 20 s on two free cores. A slow or busy machine is no reason to fail, a notebook that
# forgot its profile is: it would take far longer.
SECONDS_EACH = 180


def cells(notebook):
    return jupytext.read(notebook.source).cells


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_a_notebook_reads_like_an_article(notebook):
    book = cells(notebook)
    assert book[0].cell_type == "markdown" and book[0].source.startswith(
        f"# {notebook.number} · "
    ), "the first cell is the title"
    for word in ("**Question.**", "**Inputs.**", "**Running time.**"):
        assert word in book[0].source
    assert [c for c in book if "parameters" in c.metadata.get("tags", [])] == [book[1]]


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_a_notebook_holds_no_logic(notebook):
    for cell in cells(notebook):
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 30, f"too long:\n{cell.source}"
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(node, ast.ClassDef | ast.FunctionDef), cell.source
                assert not isinstance(node, ast.If | ast.For | ast.While | ast.Try), cell.source


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_no_result_is_typed_into_prose(notebook):
    for cell in cells(notebook):
        if cell.cell_type == "markdown":
            assert not re.search(r"\b0?\.\d+|\d\s*%", cell.source), cell.source


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_parameters_are_literal_and_profiles_name_declared_ones(notebook):
    declared = notebook.parameters()
    assert declared["dataset"] == "demo" and declared["profile"] == "full"
    for profile in project.PROFILES:
        for dataset in project.KNOWN_DATASETS:
            changed = staleness.overrides(notebook, dataset=dataset, profile=profile)
            assert set(changed) <= set(declared)


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_the_published_notebook_is_in_step_with_its_source(notebook):
    pair = [
        [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in book.cells]
        for book in (
            jupytext.read(notebook.source),
            nbformat.read(notebook.source.with_suffix(".ipynb"), 4),
        )
    ]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_the_published_notebook_names_no_machine(notebook):
    text = notebook.source.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|Users|root|tmp)/|[A-Z]:\\\\|site-packages", text)
    assert "audio/" not in re.findall(r'"([a-z]+/)[a-z0-9.+-]+": ', text), "holds sound"
    assert len(text) < 2 * 2**20


def execute_again(executed, smoke, folder):
    """Let nbval execute a notebook on a copy of the outputs: it writes them once more."""
    base = smoke.results.parent.parent
    shutil.copytree(base, folder / "build" / "smoke")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q"]
    command += ["-p", "no:cacheprovider", "-c", os.devnull, str(executed)]
    environment = os.environ | {"OUTPUT_ROOT": str(folder)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=project.root(), env=environment
    )


@pytest.mark.parametrize("notebook", **BY_NAME)
def test_smoke_run_takes_seconds_and_reproduces_itself(notebook, smoke, tmp_path):
    record = staleness.read_record(notebook, smoke)
    assert record["duration_s"] <= SECONDS_EACH
    executed = smoke.results / "notebooks" / f"{notebook.name}.ipynb"
    tags = [c.metadata.get("tags", []) for c in nbformat.read(executed, 4).cells]
    assert any("nbval-check-output" in t for t in tags)
    done = execute_again(executed, smoke, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_nbval_notices_a_changed_output(smoke, tmp_path):
    path = smoke.results / "notebooks" / "03_baselines.ipynb"
    book = nbformat.read(path, 4)
    checked = [c for c in book.cells if "nbval-check-output" in c.metadata.get("tags", [])]
    checked[0].outputs[0]["data"]["text/plain"] = "another table"
    spoilt = tmp_path / "03_baselines.ipynb"
    nbformat.write(book, spoilt)
    assert execute_again(spoilt, smoke, tmp_path / "outputs").returncode == 1


def test_the_smoke_study_teaches_what_it_should(smoke):
    """The demo's best honest model learns something, and is not perfect."""
    accuracy = pd.read_csv(smoke.results / "03_accuracy.csv")
    honest = accuracy.query("protocol == 'artist_grouped'")["accuracy"]
    assert 0.5 <= honest.max() <= 0.9
    ladder = pd.read_csv(smoke.results / "03_ladder.csv").query("model == 'knn_1'")
    rungs = ladder.set_index("protocol")["accuracy"]
    assert rungs["segment_random"] - rungs["artist_grouped"] >= 0.15


def test_every_output_is_recorded_and_says_that_it_is_synthetic(smoke):
    base = smoke.results.parent.parent
    recorded = set()
    for notebook in NOTEBOOKS:
        record = staleness.read_record(notebook, smoke)
        assert record["profile"] == "smoke" and record["versions"]["numpy"]
        recorded |= {base / name for name in record["outputs"]}
    written = {p for p in base.rglob("*") if p.is_file() and "provenance" not in p.parts}
    written = {p for p in written if p.name != "test_uses.csv" and ".units" not in p.parts}
    assert written == recorded
    for figure in smoke.figures.glob("*.svg"):
        assert "demo (synthetic)" in figure.read_text()
    for table in smoke.results.glob("0*.csv"):
        frame = pd.read_csv(table)
        assert set(frame["dataset"]) <= {"demo (synthetic)"}
    for executed in (smoke.results / "notebooks").glob("*.ipynb"):
        assert "Executed on: demo (synthetic)" in executed.read_text()


def test_figures_in_executed_notebooks_have_alt_text(smoke):
    for path in (smoke.results / "notebooks").glob("*.ipynb"):
        pictures = [
            output
            for cell in nbformat.read(path, 4).cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        for picture in pictures:
            alt = picture["metadata"].get("image/png", {}).get("alt", "")
            assert len(alt) > 30, json.dumps(picture["metadata"])
