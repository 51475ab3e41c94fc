"""The recipes in CONTRIBUTING.md work: what they show is applied to a copy and run."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import genre_utils
from genre_utils import project

ROOT = project.root()
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(recipe: str) -> list[tuple[str, str]]:
    """The blocks of code below a heading, each with its language, in their order."""
    section = re.search(rf"^## {recipe}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path, demo):
    """A copy of the project with the environment that runs this test."""
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "bundle", "*.ipynb")
    for name in ("genre_utils", "notebooks", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "tests").mkdir()
    for name in ("conftest.py", "test_features.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    for name in ("pyproject.toml", "requirements.lock", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(folder, command, text=None, **environ):
    settings = {
        "PYTHONPATH": str(folder),
        "OUTPUT_ROOT": str(folder / "out"),
        "CACHE_ROOT": str(project.cache_root()),
        "JOBS": "1",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        env=os.environ | settings | environ,
    )
    return done


def follow(folder, language, text, **environ) -> str:
    """Do what a block says; return what is printed."""
    if language == "diff":
        done = run(folder, ["git", "apply", "-"], text)
    elif language == "python":
        done = run(folder, [".venv/bin/python", "-"], text, **environ)
    else:
        # `make` would set up an environment first; its runner is called as it would call it.
        runner = r".venv/bin/python -m genre_utils.pipeline run \1 --dataset \2 --profile \3"
        script = re.sub(r"^make (\d\d) DATASET=(\S+) PROFILE=(\S+)$", runner, text, flags=re.M)
        assert not re.search("^make", script, re.MULTILINE), script
        done = run(folder, ["bash", "-euc", script], **environ)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_recipe_is_followed_below():
    recipes = re.findall(r"^## (Add .*)$", TEXT, re.MULTILINE)
    assert recipes == ["Add a model", "Add a feature", "Add a data set"]


def test_add_a_model(checkout):
    change, study = blocks("Add a model")
    follow(checkout, *change)
    printed = follow(checkout, *study)
    assert printed.count("naive_bayes") == 3 and "var_smoothing" in printed
    assert (checkout / "out/build/custom/results/demo/predictions/trial.parquet").is_file()
    assert not (checkout / "out/results").exists()


def test_add_a_feature(checkout):
    change, test, command, study = blocks("Add a feature")
    follow(checkout, *change)
    follow(checkout, *test)
    assert "1 passed" in follow(checkout, *command)
    printed = follow(checkout, *study)
    assert "blues" in printed and "rock" in printed and "NaN" not in printed


def test_add_a_data_set(checkout, demo):
    (kind, table), commands, change, by_name = blocks("Add a data set")
    assert kind == "csv"
    folder = checkout / "my_music"
    rows = [line.split(",")[0] for line in table.splitlines()[1:]]
    sounds = iter(demo.tracks.groupby("genre").head(1)["audio_path"])
    for name in rows:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(next(sounds), folder / name)
    (folder / "tracks.csv").write_text(table)
    follow(checkout, *commands, CACHE_ROOT=str(checkout / "cache"))
    made = checkout / "out/build/smoke/results/my-music"
    assert "my_music" in (made / "02_coverage.csv").read_text()
    follow(checkout, *change)
    follow(checkout, *by_name, DATA_ROOT=str(checkout))


# Citation File Format 1.2.0, as far as this project uses it.
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
MAY_STAND = {
    "cff-version", "message", "title", "type", "version", "license", "authors", "keywords",
    "references", "abstract", "date-released", "doi", "repository-code", "url", "identifiers",
    "preferred-citation",
}  # fmt: skip
PERSON = {"family-names", "given-names", "name-particle", "name-suffix", "orcid", "affiliation"}
ENTITY = {"name", "website", "alias"}
REFERENCE = {
    "type", "title", "authors", "journal", "volume", "issue", "start", "end", "year", "doi", "url",
    "conference", "publisher", "identifiers", "notes",
}  # fmt: skip


def test_the_citation_file_is_valid():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION) <= MAY_STAND
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION["version"] == genre_utils.__version__
    assert CITATION["license"] == "MIT" and len(set(CITATION["keywords"])) >= 3
    for reference in CITATION["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference) <= REFERENCE
        assert isinstance(reference["year"], int)
        assert re.fullmatch(r"10\.\d{4,9}/\S+", reference.get("doi", "10.1000/none"))
    for source in [CITATION, *CITATION["references"]]:
        for author in source["authors"]:
            assert set(author) <= PERSON or set(author) <= ENTITY
            assert all(isinstance(value, str) and value for value in author.values())


def test_the_data_set_that_the_results_rest_on_is_cited():
    cited = {reference["doi"] for reference in CITATION["references"] if "doi" in reference}
    assert "10.1109/TSA.2002.800560" in cited
