#!/usr/bin/env python3
"""Builds and runs every test; `scripts/test` prepares the machine and then starts this.

Stages: release (everything, with the small model), clang (warnings as errors, unit tests, fuzz
targets), asan and tsan (unit tests), then the checks of the sources: layout, format, lint.
A stage that fails does not stop the others. Full output is in build/test-logs.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test-logs"
CORES = str(os.cpu_count() or 1)
PRESETS = ("release", "clang", "asan", "tsan")
FORETOKEN = "build/release/apps/foretoken/foretoken"
MODEL = "smollm2-135m"
PAIR = ("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b")

# A line of ninja ("[3/14] Building ...") or ctest ("3/14 Test  #3: ... Passed").
PROGRESS = re.compile(r"^\s*\[?(\d+)/(\d+)\]?\s")
CTEST_NOISE = re.compile(r"^\s*Start\s+\d+: |^Test project |^\s*\d+/\d+ Test .*Passed")


class Progress:
    """Shows a command's output condensed: how far it is, and every line that is not routine."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.live = out.isatty()
        self.shown = 0  # percent, without a terminal
        self.pending = False

    def line(self, line):
        match = PROGRESS.match(line)
        if match:
            done, total = int(match.group(1)), int(match.group(2))
            percent = 100 * done // max(total, 1)
            if self.live:
                self.out.write(f"\r\033[K      {done}/{total}")
                self.pending = True
            elif percent - self.shown >= 25 or (done == total and percent != self.shown):
                self.out.write(f"      {done}/{total}\n")
                self.shown = percent
            if not (line.lstrip().startswith("[") or CTEST_NOISE.match(line)):
                self.text(line)
        elif line.strip() and not CTEST_NOISE.match(line):
            self.text(line)
        self.out.flush()

    def text(self, line):
        self.end()
        self.out.write(line.rstrip("\n") + "\n")

    def end(self):
        if self.pending:
            self.out.write("\r\033[K")
            self.pending = False


class Totals:
    """Passed, failed and skipped tests over all runners."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add_junit(self, path):
        """False if the runner left no report or ran nothing."""
        try:
            suite = xml.etree.ElementTree.parse(path).getroot()
        except (OSError, xml.etree.ElementTree.ParseError):
            return False
        count = {name: int(suite.get(name, 0))
                 for name in ("tests", "failures", "skipped", "disabled")}
        skipped = count["skipped"] + count["disabled"]
        self.failed += count["failures"]
        self.skipped += skipped
        self.passed += count["tests"] - count["failures"] - skipped
        return count["tests"] > 0

    def add(self, passed):
        self.passed += passed
        self.failed += not passed

    def closing_line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


class Run:
    """The stages of one run, in order, with their times and verdicts."""

    def __init__(self, options):
        self.options = options
        self.totals = Totals()
        self.summary = []
        self.planned = [(name, getattr(self, name)) for name in options.presets]
        self.planned.append(("layout", self.layout))
        self.planned.append(("format", self.format))
        if not options.fast:
            self.planned.append(("lint", self.lint))

    def all(self):
        for number, (name, stage) in enumerate(self.planned, 1):
            print(f"\n[{number}/{len(self.planned)}] {name}", flush=True)
            started = time.monotonic()
            passed = stage()
            seconds = time.monotonic() - started
            self.summary.append((name, passed, seconds))
            print(f"      {'passed' if passed else 'FAILED'} in {seconds:.0f} s", flush=True)
        return all(passed for _, passed, _ in self.summary)

    def command(self, log, *command):
        """Runs a command; its whole output goes to build/test-logs/<log>.log."""
        print("    $ " + " ".join(command), flush=True)
        progress = Progress()
        with open(LOGS / f"{log}.log", "a", encoding="utf-8") as full, subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            for line in process.stdout:
                full.write(line)
                progress.line(line)
        progress.end()
        return process.returncode == 0

    def build(self, preset):
        built = (self.command(preset, "cmake", "--preset", preset, "--log-level=NOTICE") and
                 self.command(preset, "cmake", "--build", "--preset", preset))
        if not built:
            self.totals.add(False)
        return built

    def ctest(self, preset, *selection, jobs=CORES):
        report = LOGS / f"{preset}-{len(list(LOGS.glob('*.xml')))}.xml"
        passed = self.command(preset, "ctest", "--test-dir", f"build/{preset}", *selection,
                              "--output-on-failure", "--parallel", jobs, "--output-junit",
                              str(report), *self.options.ctest)
        if not self.totals.add_junit(report) and not self.options.ctest:
            print(f"      no test of {' '.join(selection)} ran")
            self.totals.add(False)
            return False
        return passed

    def check(self, name, *command):
        passed = self.command(name, *command)
        self.totals.add(passed)
        return passed

    def release(self):
        if not self.build("release"):
            return False
        passed = self.ctest("release", "-LE", "^(model|pair|soak)$")
        models = (MODEL, *PAIR) if self.options.pair else (MODEL,)
        if not all(self.command("release", FORETOKEN, "pull", name) for name in models):
            self.totals.add(False)
            return False
        # One at a time: each of them uses every core.
        labels = "^(model|pair)$" if self.options.pair else "^model$"
        return self.ctest("release", "-L", labels, "-LE", "^soak$", jobs="1") and passed

    def clang(self):
        return self.build("clang") and self.ctest("clang", "-L", "^(unit|fuzz)$")

    def asan(self):
        return self.build("asan") and self.ctest("asan", "-L", "^unit$")

    def tsan(self):
        return self.build("tsan") and self.ctest("tsan", "-L", "^unit$")

    def layout(self):
        return self.check("layout", "scripts/check_layout.py")

    def format(self):
        return self.check("format", "scripts/format", "--check")

    def lint(self):
        return self.check("lint", "scripts/lint")


def preset_list(text):
    names = tuple(text.split(","))
    unknown = sorted(set(names) - set(PRESETS))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not in {', '.join(PRESETS)}")
    return names


def parse(arguments):
    """scripts/test [options] [-- ctest arguments]"""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="scripts/test", usage="%(prog)s [--fast] [--presets LIST] [--pair] [-- CTEST ARGUMENTS]",
        description=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true",
                        help="the release preset, layout and format only")
    parser.add_argument("--presets", type=preset_list, metavar="LIST",
                        help=f"of {','.join(PRESETS)} (default: all)")
    parser.add_argument("--pair", action="store_true",
                        help="with the tests that need the real pair (1.6 GB are fetched once)")
    options = parser.parse_args(arguments[:split])
    options.ctest = arguments[split + 1:]
    if options.presets is None:
        options.presets = ("release",) if options.fast else PRESETS
    return options


def main():
    options = parse(sys.argv[1:])
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.iterdir():
        old.unlink()
    started = time.monotonic()
    run = Run(options)
    passed = run.all()
    print()
    for name, stage_passed, seconds in run.summary:
        print(f"{name:>8}  {'passed' if stage_passed else 'FAILED'}  {seconds:4.0f} s")
    print(f"   total          {time.monotonic() - started:5.0f} s")
    print("Try next: " + ("scripts/quickstart" if passed else
                          "read build/test-logs, then scripts/test --fast"))
    print(run.totals.closing_line())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
