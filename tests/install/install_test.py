"""The installed tree, seen by someone who has nothing else of the project."""
import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ["FORETOKEN_BUILD"])
VERSION = os.environ["FORETOKEN_VERSION"]


def run(*command, **options):
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                         check=False, **options)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module", name="prefix")
def fixture_prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BUILD, "--prefix", prefix)
    return prefix


def library(prefix):
    found = [path for path in prefix.rglob("libforetoken.so.*") if not path.is_symlink()]
    assert len(found) == 1
    return found[0]


def test_the_tree_holds_what_it_promises(prefix):
    files = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    for expected in ("bin/foretoken", "libexec/foretoken/foretoken-probe",
                     "share/doc/foretoken/LICENSE", "share/doc/foretoken/LICENSE.llama.cpp"):
        assert expected in files
    assert any(name.endswith("cmake/foretoken/foretokenConfig.cmake") for name in files)
    headers = {path.name for path in (HERE.parents[1] / "include" / "foretoken").iterdir()}
    assert {name for name in files if name.endswith(".h")} == {
        f"include/foretoken/{name}" for name in headers}


def test_the_library_shows_its_own_namespace_only(prefix):
    symbols = run("nm", "--dynamic", "--defined-only", "--demangle", "--format=posix",
                  library(prefix)).splitlines()
    own = re.compile(r"(typeinfo for |typeinfo name for |vtable for )?foretoken::")
    assert [line for line in symbols if not own.match(line)] == []
    assert any("foretoken::RuntimeManager::Create" in line for line in symbols)


def test_no_path_of_the_build_is_installed(prefix):
    for path in prefix.rglob("*.cmake"):
        assert str(BUILD) not in path.read_text()
    assert "RUNPATH" not in run("readelf", "--dynamic", library(prefix))


def test_a_strangers_project_builds_and_runs(prefix, tmp_path):
    run("cmake", "-G", "Ninja", "-S", HERE / "stranger", "-B", tmp_path,
        f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path)
    assert run(tmp_path / "stranger").splitlines() == [
        "validate: OK",
        "options: INVALID_ARGUMENT",
        "tenants: 0",
        "missing model: refused",
    ]


def test_another_minor_version_is_refused(prefix, tmp_path):
    major, minor, _ = VERSION.split(".")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES NONE)\n"
        f"find_package(foretoken {major}.{int(minor) + 1} REQUIRED)\n")
    ran = subprocess.run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"),
                          f"-DCMAKE_PREFIX_PATH={prefix}"], capture_output=True, text=True,
                         check=False)
    assert ran.returncode != 0
    assert "compatible" in ran.stderr
