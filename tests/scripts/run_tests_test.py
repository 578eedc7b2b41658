"""The parts of scripts/run_tests.py that decide: counting, arguments, condensed output."""
import io
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import run_tests  # noqa: E402  pylint: disable=wrong-import-position


def test_totals_sum_reports_and_checks(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text('<testsuite tests="10" failures="2" disabled="1" skipped="3"/>')
    totals = run_tests.Totals()
    assert totals.add_junit(report)
    totals.add(True)
    totals.add(False)
    assert totals.closing_line() == "5 passed, 3 failed, 4 skipped"


def test_the_closing_line_names_skipped_tests_only_if_there_are_some():
    totals = run_tests.Totals()
    totals.add(True)
    assert totals.closing_line() == "1 passed, 0 failed"


@pytest.mark.parametrize("text", [None, "", "<testsuite", '<testsuite tests="0"/>'])
def test_a_missing_broken_or_empty_report_is_not_a_success(tmp_path, text):
    report = tmp_path / "report.xml"
    if text is not None:
        report.write_text(text)
    totals = run_tests.Totals()
    assert not totals.add_junit(report)
    assert totals.closing_line() == "0 passed, 0 failed"


def test_arguments():
    assert run_tests.parse([]).presets == run_tests.PRESETS
    assert run_tests.parse(["--fast"]).presets == ("release",)
    assert run_tests.parse(["--fast", "--presets", "asan"]).presets == ("asan",)
    options = run_tests.parse(["--presets", "clang,tsan", "--pair", "--", "-R", "--fast"])
    assert options.presets == ("clang", "tsan")
    assert options.pair and not options.fast
    assert options.ctest == ["-R", "--fast"]
    with pytest.raises(SystemExit):
        run_tests.parse(["--presets", "release,nonsense"])


def test_stages():
    def names(*arguments):
        return [name for name, _ in run_tests.Run(run_tests.parse(list(arguments))).planned]
    assert names() == ["release", "clang", "asan", "tsan", "layout", "format", "lint"]
    assert names("--fast") == ["release", "layout", "format"]


def condensed(lines):
    out = io.StringIO()
    progress = run_tests.Progress(out)
    for line in lines:
        progress.line(line + "\n")
    progress.end()
    return out.getvalue().splitlines()


def test_routine_lines_become_a_few_marks():
    assert condensed([f"[{number}/200] Building x" for number in range(1, 201)]) == [
        "      50/200", "      100/200", "      150/200", "      200/200"]


def test_what_is_not_routine_is_shown_whole():
    assert condensed([
        "[1/100] Building x", "x.cc:1: error: no", "Test project /somewhere",
        "      Start  1: A.B", " 1/2 Test  #1: A.B ...........   Passed    0.01 sec",
        "      Start  2: A.C", " 2/2 Test  #2: A.C ...........***Failed    0.01 sec",
        "the reason",
    ]) == ["x.cc:1: error: no", "      1/2", "      2/2",
           " 2/2 Test  #2: A.C ...........***Failed    0.01 sec", "the reason"]
