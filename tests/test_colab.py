"""Badge and cells for Colab, and what the first cell does there, with stand-ins for Colab."""

import json
import os
import shutil
import subprocess
import sys
import types

import nbformat
import pytest

from genre_utils import colab, project, staleness
from genre_utils.project import ProjectError

REAL = project.root()
STUDY = next(nb for nb in staleness.notebooks() if nb.number == "04")


def git(*arguments, folder):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def book():
    return nbformat.read(STUDY.source.with_suffix(".ipynb"), 4)


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.com/some-one/my.study.git", "some-one/my.study"),
        ("https://github.com/someone/study", "someone/study"),
        ("https://name:secret@github.com/someone/study.git", "someone/study"),
        ("git@github.com:someone/study.git", "someone/study"),
        ("ssh://git@github.com/someone/study.git", "someone/study"),
        ("https://gitlab.com/someone/study.git", None),
        ("https://notgithub.com/someone/study.git", None),
        ("https://github.com.example.org/someone/study.git", None),
        ("/srv/git/github.com/study.git", None),
        ("../study", None),
        (None, None),
    ],
)
def test_only_a_remote_on_github_counts(tmp_path, url, repository):
    git("init", "-q", folder=tmp_path)
    if url:
        git("remote", "add", "origin", url, folder=tmp_path)
    assert colab.repository_of_remote(tmp_path) == repository


def test_without_git_there_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert colab.repository_of_remote(tmp_path) is None


def test_badge_and_first_cell_come_first_and_nothing_else_changes(book):
    colab.stamp(book, STUDY, None)
    before = json.dumps(book.cells)
    colab.stamp(book, STUDY, "someone/study")
    badge, first, title, declared, chosen = book.cells[:5]
    link = "colab.research.google.com/github/someone/study/blob/main/notebooks/04_multimodal.ipynb"
    assert link in badge.source and "minutes" in badge.source
    assert "https://github.com/someone/study" in first.source
    assert title.source.startswith("# 04") and "parameters" in declared.metadata["tags"]
    assert chosen.source.endswith("globals().update(chosen)")
    assert colab.repository_of_book(book) == "someone/study"
    nbformat.validate(book)
    once = json.dumps(book.cells)
    colab.stamp(book, STUDY, "someone/study")
    assert json.dumps(book.cells) == once
    colab.stamp(book, STUDY, "other/fork")
    assert colab.repository_of_book(book) == "other/fork"
    assert len(book.cells) == len(json.loads(before)) + 3
    colab.stamp(book, STUDY, None)
    assert json.dumps(book.cells) == before and colab.repository_of_book(book) is None


def test_every_notebook_says_how_long_it_takes_in_colab():
    settings = staleness.settings()
    numbers = {nb.number for nb in staleness.notebooks()}
    assert numbers <= set(settings["minutes"])
    assert all(isinstance(value, int) and value > 0 for value in settings["minutes"].values())


def test_elsewhere_the_cells_do_nothing(book, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    colab.stamp(book, STUDY, "someone/study")
    path, space = list(sys.path), {"dataset": "as it was"}
    exec(book.cells[1].source, space)
    exec(book.cells[4].source, space)
    assert space["dataset"] == "as it was" and space["chosen"] == {}
    assert os.getcwd() == str(tmp_path) and sys.path == path


# ------------------------------------------------------------------ the notebooks' files


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The notebooks in a folder of their own."""
    folder = tmp_path / "checkout"
    shutil.copytree(REAL / "notebooks", folder / "notebooks")
    monkeypatch.setattr(project, "root", lambda: folder)
    colab.write(None)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "notebooks").iterdir()}


def test_the_goal_writes_for_a_repository_and_takes_out_again(checkout, capsys):
    before = contents(checkout)
    n_published = len(list((checkout / "notebooks").glob("*.ipynb")))
    assert colab.main(["--repository", "someone/study"]) == 0
    assert f"for someone/study: {n_published} notebooks changed" in capsys.readouterr().out
    assert all(b"someone/study" in c for n, c in contents(checkout).items() if "ipynb" in n)
    assert all(before[n] == c for n, c in contents(checkout).items() if "ipynb" not in n)
    colab.main(["--repository", "someone/study"])
    assert ": 0 notebooks changed" in capsys.readouterr().out
    colab.main(["--repository", "none"])
    assert contents(checkout) == before


def test_the_goal_reads_the_git_remote_or_says_what_to_do(checkout, capsys):
    git("init", "-q", folder=checkout)
    before = contents(checkout)
    assert colab.main([]) == 2
    assert "make colab REPO=owner/name" in capsys.readouterr().err
    assert contents(checkout) == before
    git("remote", "add", "origin", "git@github.com:someone/study.git", folder=checkout)
    assert colab.main(["--repository", ""]) == 0
    assert "for someone/study" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["study", "a/b/c", "https://github.com/a/b", "a b/c", "/study"])
def test_a_repository_has_an_owner_and_a_name(checkout, capsys, name):
    before = contents(checkout)
    assert colab.main(["--repository", name]) == 2
    assert "expected owner/name" in capsys.readouterr().err
    assert contents(checkout) == before


def test_publishing_again_keeps_the_badge(checkout):
    path = checkout / "notebooks" / "04_multimodal.ipynb"
    assert colab.repository_for(path) is None
    colab.write("someone/study")
    assert colab.repository_for(path) == "someone/study"
    assert colab.repository_for(checkout / "notebooks" / "99_new.ipynb") is None


# ------------------------------------------------------------------ inside Colab


@pytest.fixture
def in_colab(tmp_path, monkeypatch):
    """A session like Colab's: its modules, a GitHub that is a folder, a pip that is counted."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "bundle")
    for name in ("genre_utils", "notebooks"):
        shutil.copytree(REAL / name, source / name, ignore=ignored)
    shutil.copy(REAL / "pyproject.toml", source)
    stored = source / "results" / "gtzan" / "predictions"
    stored.mkdir(parents=True)
    (stored / "04_multimodal.parquet").write_text("rows")
    git("init", "-q", "-b", "main", folder=source)
    git("add", "-A", folder=source)
    git("commit", "-qm", "All", folder=source)
    git("clone", "-q", "--bare", source, tmp_path / "someone" / "study", folder=tmp_path)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{tmp_path}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    for name in ("FROM_PREDICTIONS", "DATA_ROOT"):
        # Set first, so that what the cell sets is taken back in any case.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    mounted = []
    drive = types.ModuleType("google.colab.drive")
    drive.mount = mounted.append
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "google.colab.drive", drive)
    monkeypatch.setattr(sys, "path", list(sys.path))
    calls = []
    monkeypatch.setattr(colab, "_pip", lambda *words, held=(): calls.append((words, list(held))))
    monkeypatch.chdir(tmp_path)
    return types.SimpleNamespace(folder=tmp_path / "content" / "study", mounted=mounted, pip=calls)


def run_first_cells(session, repository="someone/study", **form):
    """Run the cells for Colab as they stand in the notebook, after a choice in their form."""
    book = nbformat.read(STUDY.source.with_suffix(".ipynb"), 4)
    colab.stamp(book, STUDY, repository)
    first = book.cells[1].source.replace("/content", str(session.folder.parent))
    for name, value in form.items():
        lines = [
            f"{name} = {value!r}" if x.startswith(f"{name} =") else x for x in first.split("\n")
        ]
        first = "\n".join(lines)
    space = {}
    exec(first, space)
    for cell in book.cells[3:5]:
        exec(cell.source, space)
    return space


def test_the_first_cell_brings_package_predictions_and_parameters(in_colab, capsys):
    space = run_first_cells(in_colab)
    assert (in_colab.folder / "results/gtzan/predictions/04_multimodal.parquet").is_file()
    assert os.getcwd() == str(in_colab.folder / "notebooks")
    assert sys.path[0] == str(in_colab.folder)
    # The declared parameters, but for what the demo data change.
    assert space["dataset"] == "demo" and space["profile"] == "full"
    changed = staleness.overrides(STUDY, dataset="demo", profile="full")
    assert space["epochs"] == changed["epochs"] is not None
    assert space["branches"] == ["resnet18_mel", "lstm_mfcc"]
    assert in_colab.pip[0][0][:2] == ("--no-deps", "--editable")
    assert "GPU: " in capsys.readouterr().out
    assert not in_colab.mounted
    # Run once more, as people do.
    assert run_first_cells(in_colab, PROFILE="smoke")["systems"][0] == "resnet18_mel"
    assert not (in_colab.folder / "notebooks" / "study").exists()


def test_stored_predictions_need_no_data(in_colab):
    space = run_first_cells(in_colab, DATASET="gtzan from stored predictions")
    assert space["dataset"] == "gtzan" and space["epochs"] is None
    assert project.from_predictions()
    run_first_cells(in_colab)
    assert not project.from_predictions()


@pytest.mark.parametrize("dataset", ["gtzan-mini", "gtzan"])
def test_real_data_are_fetched(in_colab, monkeypatch, dataset):
    fetched = []
    monkeypatch.setattr("genre_utils.downloads.fetch", fetched.append)
    assert run_first_cells(in_colab, DATASET=dataset)["dataset"] == dataset
    assert fetched == [dataset]


def test_drive_is_used_where_it_is_asked_for(in_colab):
    run_first_cells(in_colab, USE_DRIVE=True)
    assert in_colab.mounted == ["/content/drive"]
    assert os.environ["DATA_ROOT"].startswith("/content/drive/MyDrive/")
    assert os.environ["CACHE_ROOT"].startswith("/content/drive/MyDrive/")


def test_a_repository_that_is_not_there_is_an_error(in_colab):
    with pytest.raises(subprocess.CalledProcessError):
        run_first_cells(in_colab, repository="someone/else")


def test_what_a_notebook_cannot_show_is_said_before_anything_is_installed(in_colab):
    with pytest.raises(ProjectError, match="expected one of demo"):
        colab.set_up("04_multimodal", "gtzna")
    with pytest.raises(ProjectError, match="expected one of .*full, smoke"):
        colab.set_up("04_multimodal", "demo", profile="quick")
    with pytest.raises(ProjectError, match="01_eda shows the data themselves"):
        colab.set_up("01_eda", "gtzan from stored predictions")
    assert not in_colab.pip


def test_the_graphics_processor_is_named(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "Change runtime type" in colab.gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    assert colab.gpu() == "GPU: Tesla T4"


# ------------------------------------------------------------------ what is installed


@pytest.fixture
def there(monkeypatch):
    """Versions of what is installed, instead of the real ones."""
    versions = {"torch": "2.10.0+cu128", "numpy": "1.26.4", "pandas": "2.2.2", "xgboost": "3.2.0"}
    monkeypatch.setattr(colab, "_version", versions.get)
    owners = {name: [name] for name in versions}
    monkeypatch.setattr(colab.metadata, "packages_distributions", lambda: owners)
    distribution = types.SimpleNamespace
    monkeypatch.setattr(
        colab.metadata,
        "distributions",
        lambda: [distribution(metadata={"Name": n}, version=v) for n, v in versions.items()],
    )
    return versions


def test_only_what_is_lacking_is_installed_and_torch_never(there):
    asked = [
        "torch==2.15.*", "numpy>=2.4", "pandas>=2", "onnx>=1", "xgboost-cpu>=3.2",
        "ipykernel>=7", "papermill>=2", "scipy>=1; python_version < '3'",
    ]  # fmt: skip
    assert colab.lacking(asked) == ["onnx>=1"]
    assert colab.lacking(["pandas>=3", "xgboost-cpu>=4"]) == ["pandas>=3", "xgboost-cpu>=4"]


def test_everything_that_is_there_is_held(there, monkeypatch):
    calls = []
    monkeypatch.setattr(colab, "_pip", lambda *words, held=(): calls.append((words, held)))
    monkeypatch.setattr(colab, "_imported", lambda names: [])
    colab._install_missing(["torch>=3", "onnx>=1", "pandas>=3"])
    ((words, held),) = calls
    assert words == ("onnx>=1", "pandas>=3")
    assert held == ["torch==2.10.0+cu128", "numpy==1.26.4", "xgboost==3.2.0"]
    colab._install_missing(["torch>=3"])
    assert len(calls) == 1


def test_where_that_cannot_be_torch_is_still_held(there, monkeypatch):
    calls = []

    def pip(*words, held=()):
        calls.append(held)
        if len(calls) == 1:
            raise ProjectError("pip: no way")

    monkeypatch.setattr(colab, "_pip", pip)
    monkeypatch.setattr(colab, "_imported", lambda names: [])
    colab._install_missing(["onnx>=1"])
    assert calls[1] == ["torch==2.10.0+cu128", "numpy==1.26.4"]


def test_an_extra_that_does_not_go_with_torch_is_left_out_and_said(monkeypatch, capsys):
    def missing(requirements):
        if any(text.startswith("executorch") for text in requirements):
            raise ProjectError("pip: executorch needs another torch")

    monkeypatch.setattr(colab, "_pip", lambda *words, held=(): None)
    monkeypatch.setattr(colab, "_install_missing", missing)
    colab.install(["compression"])
    assert "left out: compression" in capsys.readouterr().out


def test_a_module_in_use_in_another_version_asks_for_a_restart(there, monkeypatch):
    monkeypatch.setattr(colab, "_pip", lambda *words, held=(): None)
    with pytest.raises(ProjectError, match="pandas .*Restart session"):
        colab._install_missing(["pandas>=3"])


def test_pip_says_why_it_failed():
    with pytest.raises(ProjectError, match=r"pip: ERROR.*no-such-file"):
        colab._pip("--no-index", "-r", "no-such-file.txt")


def test_pip_keeps_to_what_is_held(tmp_path):
    """The real pip refuses to move a version that is held."""
    installed = colab._version("packaging")
    with pytest.raises(ProjectError, match="(?i)conflict|impossible|no matching"):
        colab._pip("--no-index", "--dry-run", "packaging>99", held=[f"packaging=={installed}"])
