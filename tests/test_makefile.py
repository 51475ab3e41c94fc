"""What the commands promise: `make`, the set-up behind it, and `.ci/run`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import make_venv
import pytest

from genre_utils import project

ROOT = project.root()
MAKEFILE = (ROOT / "Makefile").read_text()
NUMBERS = sorted(path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def words_of(variable: str) -> list[str]:
    return re.search(rf"^{variable} := (.*)$", MAKEFILE, flags=re.MULTILINE)[1].split()


def run(command: list[str], folder: Path, **environ: str) -> subprocess.CompletedProcess:
    # The outer `make test` must not talk to the inner one.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAKE") and name not in words_of("variables") and name != "MFLAGS"
    }
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environ},
    )


def make(*arguments: str, folder: Path = ROOT, **environ: str) -> subprocess.CompletedProcess:
    return run(["make", *arguments], folder, **environ)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def fresh_checkout(tmp_path_factory) -> Path:
    """The project as a clone has it: no `.venv`, no data, nothing made yet."""
    folder = tmp_path_factory.mktemp("fresh") / "my check out"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
    for name in ("genre_utils", "notebooks", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def runner_stub(tmp_path) -> Path:
    """A checkout whose runner and set-up only write down how they were called."""
    for name in ("genre_utils", "notebooks", "tools", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "notebooks" / "03_baselines.py").touch()
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "genre_utils" / "__init__.py").touch()
    record = (
        "import json, os, sys\n"
        "names = ['DATASET', 'DATA_ROOT', 'PROFILE', 'JOBS', 'RETRAIN']\n"
        "call = {'arguments': sys.argv[1:], 'file': os.path.basename(__file__)}\n"
        "call['environ'] = {n: os.environ[n] for n in names if n in os.environ}\n"
        "open('calls', 'a').write(json.dumps(call) + chr(10))\n"
    )
    status = "sys.exit(int(os.environ.get('FRESH', '3')) if 'check-fresh' in sys.argv else 0)\n"
    (tmp_path / "genre_utils" / "pipeline.py").write_text(record + status)
    for module in ("__main__", "bench", "report_pages", "shipping"):
        (tmp_path / "genre_utils" / f"{module}.py").write_text(record)
    (tmp_path / "tools" / "make_venv.py").write_text(record)
    return tmp_path


def calls_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def test_help_names_every_goal_and_variable_in_80_columns():
    shown = make("help").stdout
    assert shown == make().stdout
    explained = {line.split()[0].split("=")[0] for line in shown.splitlines() if line[:2] == "  "}
    assert set(words_of("goals")) <= explained
    variables = set(words_of("variables"))
    assert variables - {"UPGRADE"} <= explained and "UPGRADE=1" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert all(re.search(rf"^  {number}_", shown, flags=re.MULTILINE) for number in NUMBERS)


def test_every_goal_has_a_recipe():
    for goal in [*words_of("goals"), *NUMBERS]:
        planned = make("-n", goal)
        assert planned.returncode == 0 and planned.stdout.strip(), goal


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["everything"], "everything"),
        (["all", "99"], "99"),
        # A folder of that name exists, which make would call up to date.
        (["genre_utils"], "genre_utils"),
        (["all", "DATSET=gtzan"], "DATSET"),
    ],
)
def test_a_misspelt_word_is_one_clear_error(fresh_checkout, arguments, named):
    before = files_in(fresh_checkout)
    done = make(*arguments, folder=fresh_checkout)
    assert done.returncode == 2
    assert "unknown" in done.stderr and named in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout
    assert files_in(fresh_checkout) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["all", "DATASET=nonsense"], "nonsense"),
        (["all", "DATASET=/no/such folder"], "/no/such folder"),
        (["all", "DATASET=gtzan", "DATA_ROOT=/no/such/place"], "gtzan"),
        (["all", "PROFILE=quick"], "quick"),
        (["all", "JOBS=many"], "many"),
        (["03", "PARAMS=-p no_such_parameter 1"], "no_such_parameter"),
    ],
)
def test_a_wrong_input_is_one_clear_error_and_nothing_is_written(fresh_checkout, arguments, named):
    before = files_in(fresh_checkout)
    done = make(*arguments, f"PYTHON={sys.executable}", folder=fresh_checkout)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode == 2
    assert len(errors) == 1 and named in errors[0]
    assert files_in(fresh_checkout) == before


def test_an_unsupported_python_is_told_before_anything_is_made(fresh_checkout, tmp_path):
    pretend = (
        "import runpy, sys; sys.version_info = (3, 9, 2); del sys.argv[0]; "
        'runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    old = tmp_path / "python"
    old.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{pretend}' \"$@\"\n")
    old.chmod(0o755)
    before = files_in(fresh_checkout)
    done = make("all", f"PYTHON={old}", folder=fresh_checkout)
    assert done.returncode == 2 and "found Python 3.9.2" in done.stderr
    assert files_in(fresh_checkout) == before


def test_values_reach_the_runner_unharmed(runner_stub):
    name = "/data/My 'best' Music"
    done = make("03", f"DATASET={name}", "DATA_ROOT=/my data", "JOBS=2", folder=runner_stub)
    assert done.returncode == 0, done.stderr
    _, fresh, setup, ran = calls_of(runner_stub)
    wanted = ["03", "--dataset", name, "--profile", "full"]
    assert fresh["arguments"] == ["check-fresh", *wanted]
    assert setup == {**setup, "file": "make_venv.py", "arguments": []}
    assert ran["arguments"] == ["run", *wanted]
    assert ran["environ"]["DATA_ROOT"] == "/my data" and ran["environ"]["JOBS"] == "2"
    assert "RETRAIN" not in ran["environ"]


def test_empty_values_are_as_good_as_none(runner_stub):
    make("all", "DATA_ROOT=", "RETRAIN=", folder=runner_stub, JOBS="")
    assert all(call["environ"].keys() == {"DATASET", "PROFILE"} for call in calls_of(runner_stub))


@pytest.mark.parametrize(("status", "exit_code"), [("0", 0), ("2", 2), ("1", 2)])
def test_nothing_is_set_up_unless_something_is_stale(runner_stub, status, exit_code):
    done = make("all", folder=runner_stub, FRESH=status)
    assert done.returncode == exit_code
    assert [c["arguments"][0] for c in calls_of(runner_stub)] == ["--check-python", "check-fresh"]


@pytest.mark.parametrize(
    ("arguments", "last_call"),
    [
        (["03"], ["run", "03", "--dataset", "demo", "--profile", "full"]),
        (["all"], ["--dataset", "demo", "--profile", "full"]),
        (["smoke"], ["run", "--dataset", "demo", "--profile", "smoke"]),
        (["smoke", "PROFILE=full"], ["run", "--dataset", "demo", "--profile", "smoke"]),
        (["report", "DATASET=gtzan"], ["--dataset", "gtzan", "--profile", "full"]),
        (
            ["03", "PARAMS=-p title 'two words' -p n 3"],
            ["run", "03", "--dataset", "demo", "--profile", "full"]
            + ["-p", "title", "two words", "-p", "n", "3"],
        ),
        (["publish"], ["publish", "--dataset", "gtzan"]),
        (["publish", "DATASET=other"], ["publish", "--dataset", "other"]),
        (["data", "DATASET=a b"], ["fetch", "a b"]),
        (["bench", "DATASET=a b"], ["--dataset", "a b"]),
        (["bundle", "DATASET=a b"], ["--dataset", "a b"]),
    ],
)
def test_goals_call_the_runner(runner_stub, arguments, last_call):
    done = make(*arguments, folder=runner_stub)
    assert done.returncode == 0, done.stderr
    assert calls_of(runner_stub)[-1]["arguments"] == last_call


@pytest.mark.parametrize(("goal", "option"), [("all", "--pages"), ("report", "--from-predictions")])
def test_pages_are_made_of_fresh_tables(runner_stub, goal, option):
    done = make(goal, "DATASET=a b", folder=runner_stub)
    assert done.returncode == 0, done.stderr
    first, last = calls_of(runner_stub)[-2:]
    wanted = ["--dataset", "a b", "--profile", "full"]
    assert first["arguments"] == ["run", option, *wanted]
    assert last["file"] == "report_pages.py" and last["arguments"] == wanted


def test_clean_leaves_results_of_real_data_and_the_environment(runner_stub):
    removed = ["build/x", ".cache/x", "results/demo/x", "figures/demo/x", ".units/demo/x"]
    kept = ["results/gtzan/x", "figures/gtzan/x", ".units/gtzan/x", ".venv/x", "data/x"]
    for name in removed + kept:
        (runner_stub / name).parent.mkdir(parents=True, exist_ok=True)
        (runner_stub / name).touch()
    assert make("clean", folder=runner_stub).returncode == 0
    assert not [name for name in removed if (runner_stub / name).exists()]
    assert all((runner_stub / name).exists() for name in kept)
    make("distclean", folder=runner_stub)
    assert not (runner_stub / ".venv").exists() and (runner_stub / "data" / "x").exists()


@pytest.mark.parametrize(("status", "passes"), [(0, True), (1, False)])
def test_ci_fails_when_a_test_fails(tmp_path, status, passes):
    checkout = tmp_path / "check out"
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", checkout / ".ci" / "run")
    (checkout / "Makefile").write_text(
        f'test:\n\t@echo "tests with $$DATA_ROOT in $$PWD"; exit {status}\n'
    )
    data = tmp_path / "shared" / "data"
    data.mkdir(parents=True)
    programs = stubs(tmp_path / "programs", chromium="exit 0")
    done = run([str(checkout / ".ci" / "run")], tmp_path, PATH=f"{programs}:{os.environ['PATH']}")
    assert (done.returncode == 0) == passes
    assert f"tests with {data.resolve()} in {checkout}" in done.stdout


def stubs(folder: Path, **scripts: str) -> Path:
    """Make programs that do as they are told, to be put on PATH."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("user", "installs", "calls"), [(0, True, 2), (0, False, 1), (1000, True, 0)]
)
def test_ci_installs_a_browser_where_it_can_and_goes_on_without(tmp_path, user, installs, calls):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    programs = stubs(
        tmp_path / "programs",
        make="echo tests run",
        id=f"echo {user}",
        timeout='shift; exec "$@"',
        **{"apt-get": f"echo $1 >> {tmp_path}/asked; exit {0 if installs else 100}"},
    )
    for name in ("bash", "dirname"):
        (programs / name).symlink_to(shutil.which(name))
    done = run([str(tmp_path / ".ci" / "run")], tmp_path, PATH=str(programs))
    assert done.returncode == 0 and done.stdout == "tests run\n"
    asked = tmp_path / "asked"
    assert (asked.read_text().split() if calls else []) == ["update", "install"][:calls]
    assert asked.exists() == bool(calls)
    assert ("its tests will be skipped" in done.stderr) == (user == 0 and not installs)


# ---- tools/make_venv.py


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 7), (3, 13, 9)])
def test_supported_pythons_pass(version):
    make_venv.check_python(version, "/usr/bin/python3")


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 14), (3, 14, 0)])
def test_other_pythons_are_told_what_to_do(version):
    with pytest.raises(make_venv.SetupError, match=r"PYTHON=python3\.12") as caught:
        make_venv.check_python(version, "/usr/bin/python3")
    assert ".".join(map(str, version)) in str(caught.value)


@pytest.mark.parametrize(
    ("pip_config", "environ", "configured"),
    [
        ("", {}, False),
        ("global.timeout='60'\n:env:.disable-pip-version-check='1'\n", {}, False),
        ("global.index-url='mirror.example/simple'\n", {}, True),
        ("global.extra_index_url='mirror.example/simple'\n", {}, True),
        (":env:.find-links='/wheels'\n", {}, True),
        ("install.find-links='\\n/wheels\\n/more'\n", {}, True),
        ("global.index-url=''\n", {}, False),
        ("global.trusted-host='index-url'\n", {}, False),
        ("", {"UV_DEFAULT_INDEX": "mirror.example/simple"}, True),
        ("", {"UV_CACHE_DIR": "/tmp"}, False),
    ],
)
def test_a_configured_index_is_noticed(pip_config, environ, configured):
    assert make_venv.index_is_configured(pip_config, environ) == configured


@pytest.mark.parametrize(
    ("name", "value"),
    [("PIP_INDEX_URL", "x/simple"), ("PIP_EXTRA_INDEX_URL", "x/simple"), ("PIP_FIND_LINKS", "/x")],
)
def test_pip_tells_of_its_environment_variables(monkeypatch, name, value):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for other in [key for key in os.environ if key.startswith("PIP_") and key != "PIP_CONFIG_FILE"]:
        monkeypatch.delenv(other)
    python = Path(sys.executable)
    assert not make_venv.index_is_configured(make_venv._pip_config(python), {})
    monkeypatch.setenv(name, value)
    assert make_venv.index_is_configured(make_venv._pip_config(python), {})


def test_cpu_wheels_only_on_linux_without_gpu_and_without_index():
    wanted = make_venv.wants_cpu_wheels
    assert wanted("linux", gpu=False, configured=False)
    assert not wanted("linux", gpu=True, configured=False)
    assert not wanted("linux", gpu=False, configured=True)
    assert not wanted("darwin", gpu=False, configured=False)


@pytest.fixture
def project_folder(tmp_path, monkeypatch) -> Path:
    """A folder to set up, and a pip that installs nothing but is counted."""
    for name in make_venv.SOURCES:
        (tmp_path / name).write_text(name)
    installs = []
    monkeypatch.setattr(
        make_venv, "_pip_install", lambda root, python, options: installs.append(options)
    )
    monkeypatch.setattr(make_venv, "_pip_config", lambda python: "")
    monkeypatch.setattr(make_venv, "has_nvidia_gpu", lambda: True)
    for name in make_venv._UV_INDEX_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(make_venv, "installs", installs, raising=False)
    return tmp_path


def test_set_up_is_done_once_and_again_when_a_source_changes(project_folder):
    assert make_venv.make(project_folder)
    assert (project_folder / ".venv" / "bin" / "python").exists()
    assert not make_venv.make(project_folder)
    assert len(make_venv.installs) == 1
    os.utime(project_folder / "pyproject.toml")
    assert not make_venv.make(project_folder)
    (project_folder / "requirements.lock").write_text("changed")
    assert make_venv.make(project_folder)
    assert len(make_venv.installs) == 2


def test_a_set_up_cut_off_is_done_again(project_folder, monkeypatch):
    make_venv.make(project_folder)
    (project_folder / "pyproject.toml").write_text("changed")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make_venv, "_pip_install", killed)
        with pytest.raises(KeyboardInterrupt):
            make_venv.make(project_folder)
    assert make_venv.make(project_folder)
    # What a kill inside the making of the environment leaves: a Python without pip.
    shutil.rmtree(project_folder / ".venv" / "lib")
    (project_folder / ".venv" / "made-from").unlink()
    assert make_venv.make(project_folder)
    assert make_venv._pip_works(project_folder / ".venv" / "bin" / "python")


def test_only_torch_is_looked_for_in_the_index_of_cpu_wheels(project_folder, monkeypatch):
    monkeypatch.setattr(make_venv, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(make_venv.sys, "platform", "linux")
    make_venv.make(project_folder)
    torch, everything = make_venv.installs
    assert torch[-5:] == [
        "--no-deps",
        "--extra-index-url",
        make_venv.CPU_INDEX,
        "torch",
        "torchvision",
    ]
    assert everything == ["--constraint", "requirements.lock", "--editable", ".[study,dev]"]


def test_what_pip_says_is_shown_when_it_fails(tmp_path):
    with pytest.raises(make_venv.SetupError, match="no-such-file.txt"):
        make_venv._pip_install(tmp_path, Path(sys.executable), ["-r", "no-such-file.txt"])
