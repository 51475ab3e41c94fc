"""pyproject.toml, requirements.lock and environment.yml must say the same."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import genre_utils
from genre_utils import project

ROOT = project.root()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_TEXT = (ROOT / "requirements.lock").read_text()
PINS = [
    Requirement(line) for line in LOCK_TEXT.splitlines() if line and not line.startswith(("#", " "))
]
MACHINES = [
    {
        **default_environment(),
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": platform,
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
    }
    for version in ("3.11", "3.12", "3.13")
    for platform in ("linux", "darwin")
]


def direct_requirements() -> list[Requirement]:
    extras = PYPROJECT["project"]["optional-dependencies"]
    texts = PYPROJECT["project"]["dependencies"] + sum(extras.values(), [])
    return [Requirement(text) for text in texts]


def needed(requirement: Requirement, machine: dict) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(machine)


def pinned(name: str, machine: dict) -> list[str]:
    """The versions that the lock gives a package on one kind of machine."""
    return [
        next(iter(pin.specifier)).version
        for pin in PINS
        if canonicalize_name(pin.name) == canonicalize_name(name) and needed(pin, machine)
    ]


@pytest.mark.parametrize("requirement", direct_requirements(), ids=lambda r: r.name)
def test_each_direct_dependency_is_pinned_within_its_range(requirement):
    for machine in MACHINES:
        versions = pinned(requirement.name, machine)
        if needed(requirement, machine):
            assert len(versions) == 1, f"{requirement} on {machine['sys_platform']}: {versions}"
            assert requirement.specifier.contains(versions[0])


def test_the_lock_has_exactly_one_version_a_package():
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in PINS)
    names = [canonicalize_name(pin.name) for pin in PINS]
    assert len(names) == len(set(names))


def test_the_lock_names_no_host_and_no_path_and_says_what_was_run():
    assert "://" not in LOCK_TEXT
    assert not re.search(r"^\s*(-|--)\w|@|file:", LOCK_TEXT, flags=re.MULTILINE)
    assert not re.search(r"(?<![\w.])/\w", LOCK_TEXT)
    assert "Resolved for 3.11–3.13 on Linux and macOS; run on 3.11 Linux only" in LOCK_TEXT


def test_the_installed_versions_are_the_locked_ones():
    wrong = {}
    for pin in PINS:
        try:
            installed = version(pin.name)
        except PackageNotFoundError:
            continue
        if needed(pin, default_environment()) and not pin.specifier.contains(installed):
            wrong[pin.name] = installed
    assert not wrong


def test_audioop_comes_with_pydub_exactly_where_python_has_none():
    (requirement,) = (r for r in direct_requirements() if r.name == "audioop-lts")
    for machine in MACHINES:
        expected = machine["python_version"] == "3.13"
        assert needed(requirement, machine) == expected
        assert bool(pinned("audioop-lts", machine)) == expected


def test_conda_users_get_the_locked_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    assert environment["name"] == "genre_utils"
    assert last == {"pip": ["-c requirements.lock", "-e .[study,dev]"]}
    names = {re.split(r"[ =<>]", entry)[0] for entry in conda}
    assert {"python", "pip", "ffmpeg"} <= names
    # A package that conda installs would have a version of its own.
    assert not names & {canonicalize_name(pin.name) for pin in PINS}
    (python,) = (entry for entry in conda if entry.startswith("python="))
    supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert supported.contains(python.removeprefix("python=") + ".0")


def test_supported_pythons_are_the_same_everywhere():
    import make_venv

    supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
    for minor in range(8, 16):
        by_setup = make_venv.SUPPORTED[0] <= (3, minor) <= make_venv.SUPPORTED[1]
        assert supported.contains(f"3.{minor}.1") == by_setup


def test_citation_has_the_package_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == genre_utils.__version__
    assert citation["license"] == PYPROJECT["project"]["license"] == "MIT"


def test_what_is_imported_is_asked_for():
    """Nothing may come only because another package happens to need it."""
    asked = {canonicalize_name(requirement.name) for requirement in direct_requirements()}
    known, missing = packages_distributions(), {}
    for path in [
        *ROOT.glob("genre_utils/**/*.py"),
        *ROOT.glob("notebooks/*.py"),
        *ROOT.glob("tests/*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                owners = {canonicalize_name(owner) for owner in known.get(name, [])}
                if owners - {"genre-utils"} and not owners & asked:
                    missing.setdefault(name, path.name)
    assert not missing


def test_the_core_works_without_the_study():
    core = {Requirement(text).name for text in PYPROJECT["project"]["dependencies"]}
    assert core == {"numpy", "onnxruntime", "pandas", "soundfile", "soxr", "tqdm"}
