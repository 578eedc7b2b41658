"""scripts/bootstrap in a copy of its own, with stand-ins for the package tools."""
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUBDIR = "package-1.0/vendor/llama.cpp"


def archive():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in (f"{SUBDIR}/include/llama.h", "package-1.0/other"):
            content = b"content"
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


class Machine:
    """A project and a machine whose tools do what the test says and note how they were called."""

    def __init__(self, folder):
        self.folder = folder
        self.tools = folder / "tools"
        self.calls = folder / "calls"
        self.cache = folder / "cache"
        project = folder / "project"
        shutil.copytree(ROOT / "scripts", project / "scripts",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (project / "cmake").mkdir()
        (project / "tests/server").mkdir(parents=True)
        for name in ("requirements.txt", "package.json", "package-lock.json"):
            (project / "tests/server" / name).write_text(f"what {name} lists")
        self.project = project
        self.tools.mkdir()
        self.calls.touch()
        self.packages = [line for line in (ROOT / "scripts/packages.txt").read_text().splitlines()
                         if not line.startswith("#")]
        self.archive = folder / "archive"
        self.archive.write_bytes(archive())
        self.pin(hashlib.sha256(self.archive.read_bytes()).hexdigest())
        self.installed(self.packages)
        self.user(0)
        self.tool("apt-get", "exit 0")
        self.tool("python3", f'case "$*" in *download*) while [ "$1" != --dest ]; do shift; done; '
                             f'cp {self.archive} "$2/package-1.0.tar.gz" ;; '
                             f'*"-m venv"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;; esac')
        self.tool("node", "exit 0")
        self.tool("npm", "mkdir node_modules")

    def tool(self, name, body):
        path = self.tools / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{body}\n')
        path.chmod(0o755)

    def pin(self, sha256):
        self.sources = self.cache / "foretoken" / "src" / f"llama.cpp-{sha256}"
        (self.project / "cmake/llama_cpp_version.txt").write_text(
            f"# pinned\npackage package\nversion 1.0\nfile package-1.0.tar.gz\n"
            f"sha256 {sha256}\nsubdir {SUBDIR}\n")

    def installed(self, packages):
        self.tool("dpkg-query", "\n".join(f"echo installed {name}" for name in packages))

    def user(self, number):
        self.tool("id", f"echo {number}")

    def bootstrap(self, *arguments, path=None):
        return subprocess.run(
            [str(self.project / "scripts/bootstrap"), *arguments], text=True, check=False,
            capture_output=True, env={**os.environ, "XDG_CACHE_HOME": str(self.cache),
                                      "PATH": str(path or f"{self.tools}:{os.environ['PATH']}")})

    def called(self, name):
        return [line for line in self.calls.read_text().splitlines() if line.startswith(name)]


@pytest.fixture(name="machine")
def fixture_machine(tmp_path):
    return Machine(tmp_path)


def test_a_ready_machine_is_left_alone(machine):
    assert machine.bootstrap("--sources-only").returncode == 0
    assert (machine.sources / SUBDIR / "include/llama.h").exists()
    assert not (machine.sources / "package-1.0/other").exists()
    machine.calls.write_text("")
    ran = machine.bootstrap("--sources-only")
    assert ran.returncode == 0
    assert "all installed" in ran.stdout
    assert machine.called("apt-get") + machine.called("python3") == []


def test_root_installs_what_is_missing(machine):
    machine.installed(machine.packages[2:])
    ran = machine.bootstrap("--sources-only")
    assert ran.returncode == 0
    assert machine.called("apt-get") == [
        "apt-get update -qq",
        "apt-get install -y --no-install-recommends "
        f"{' '.join(sorted(machine.packages[:2]))} -qq"]


def test_without_root_the_exact_command_is_printed(machine):
    machine.installed(machine.packages[2:])
    machine.user(1000)
    ran = machine.bootstrap("--sources-only")
    assert ran.returncode == 1
    assert ("sudo apt-get update && sudo apt-get install -y --no-install-recommends "
            f"{' '.join(sorted(machine.packages[:2]))}\n") in ran.stderr
    assert machine.called("apt-get") == []
    assert not machine.cache.exists()


def test_packages_can_be_left_to_the_user(machine):
    machine.installed([])
    machine.user(1000)
    assert machine.bootstrap("--no-packages", "--sources-only").returncode == 0
    assert (machine.sources / SUBDIR / "include/llama.h").exists()


def test_sources_with_another_hash_are_refused(machine):
    got = hashlib.sha256(machine.archive.read_bytes()).hexdigest()
    machine.pin("0" * 64)
    ran = machine.bootstrap("--sources-only")
    assert ran.returncode == 1
    assert f"expected SHA-256 {'0' * 64}" in ran.stderr
    assert f"got              {got}" in ran.stderr
    assert list((machine.cache / "foretoken/src").iterdir()) == []


def test_a_failed_download_is_an_error_that_leaves_nothing(machine):
    machine.tool("python3", 'case "$*" in *download*) exit 3 ;; esac')
    ran = machine.bootstrap("--sources-only")
    assert ran.returncode == 1
    assert "could not download package 1.0" in ran.stderr
    assert list((machine.cache / "foretoken/src").iterdir()) == []


def test_half_unpacked_sources_are_not_mistaken_for_whole_ones(machine):
    (machine.cache / "foretoken/src/.fetch-abc/tree/package-1.0").mkdir(parents=True)
    assert machine.bootstrap("--sources-only").returncode == 0
    assert (machine.sources / SUBDIR / "include/llama.h").exists()


def test_clients_are_installed_once_into_folders_named_after_what_they_hold(machine):
    requirements = machine.project / "tests/server/requirements.txt"
    assert machine.bootstrap("--sources-only").returncode == 0
    assert machine.called("npm") == [] and "-m venv" not in machine.calls.read_text()
    for _ in range(2):
        assert machine.bootstrap("--sources-only", "--clients").returncode == 0
    assert machine.called("npm") == [
        "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error"]
    name = "clients-" + hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = machine.cache / "foretoken" / name
    assert [call for call in machine.called("python") if "pip install" in call] == [
        "python3 -m pip install --quiet --disable-pip-version-check --no-deps "
        f"--requirement {requirements}"]
    assert (folder / "complete").exists()
    node, = machine.cache.glob("foretoken/clients-node-*")
    assert sorted(path.name for path in node.iterdir()) == [
        "complete", "node_modules", "package-lock.json", "package.json"]


def test_clients_that_cannot_be_installed_are_an_error_and_tried_again(machine):
    machine.tool("npm", "exit 1")
    for _ in range(2):
        ran = machine.bootstrap("--sources-only", "--clients")
        assert ran.returncode == 1
        assert "could not install what" in ran.stderr and "package-lock.json" in ran.stderr
    assert len(machine.called("npm")) == 2


def test_without_npm_the_node_client_is_left_out(machine):
    for name in ("node", "npm"):
        (machine.tools / name).unlink()
    for name in ("sh", "bash", "env", "dirname", "awk", "sort", "comm", "grep", "mktemp", "rm",
                 "ls", "sha256sum", "cut", "mkdir", "tar", "gzip", "mv", "cp", "touch", "basename"):
        (machine.tools / name).symlink_to(shutil.which(name))
    ran = machine.bootstrap("--sources-only", "--clients", path=machine.tools)
    assert ran.returncode == 0, ran.stderr
    assert "node and npm are not here" in ran.stdout
    assert list(machine.cache.glob("foretoken/clients-node-*")) == []


@pytest.mark.parametrize("script", ["bootstrap", "quickstart", "format"])
def test_help_and_usage(machine, script):
    path = str(machine.project / "scripts" / script)
    helped = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"Usage: scripts/{script}")
    wrong = subprocess.run([path, "--nonsense"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == helped.stdout
