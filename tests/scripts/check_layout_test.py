"""scripts/check_layout.py on small trees: a clean one, and one for every way to break a rule."""
import pathlib
import subprocess
import sys

import pytest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_layout.py"


def header(guard, *lines):
    return "\n".join([f"#ifndef {guard}", f"#define {guard}", "", *lines, "",
                      f"#endif  // {guard}", ""])


CLEAN = {
    "include/foretoken/status.h": header("FORETOKEN_STATUS_H_", "#include <string>"),
    "include/foretoken/options.h": header("FORETOKEN_OPTIONS_H_", "#include <vector>", "",
                                          '#include "foretoken/status.h"'),
    "src/CMakeLists.txt": "add_subdirectory(base)\nadd_library(m base/b.cc model/m.cc)\n",
    "src/base/CMakeLists.txt": "foretoken_library(base SOURCES a.cc)\n",
    "src/base/a.h": header("FORETOKEN_BASE_A_H_", '#include "foretoken/status.h"'),
    "src/base/a.cc": '#include "base/a.h"\n\n#include <fmt/format.h>\n',
    "src/base/b.cc": '#include "base/a.h"\n',
    "src/model/m.cc": '#include "base/a.h"\n',
    "apps/foretoken/CMakeLists.txt": "add_executable(foretoken main.cc)\n",
    "apps/foretoken/flags.h": header("FORETOKEN_FORETOKEN_FLAGS_H_"),
    "apps/foretoken/main.cc": '#include "base/a.h"\n#include "foretoken/options.h"\n'
                              '#include "flags.h"\n',
    "tests/CMakeLists.txt": "foretoken_test(t unit/base/a_test.cc unit/base/b_test.cc\n"
                            "               unit/model/m_test.cc)\n",
    "tests/unit/base/a_test.cc": "",
    "tests/unit/base/b_test.cc": "",
    "tests/unit/model/m_test.cc": '#include "llama.h"\n',
    "docs/page.md": "A page about the work of /models/root/ and ./home/of.\n",
}


def check(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ran = subprocess.run([sys.executable, str(CHECKER), str(folder)], capture_output=True,
                         text=True, check=False)
    assert ran.stderr == ""
    return ran.returncode, ran.stdout.splitlines()


def test_a_clean_tree_passes(tmp_path):
    assert check(tmp_path, CLEAN) == (0, [f"layout: {len(CLEAN)} files, 0 problems"])



# rule, the file that is named, what is laid over the clean tree.
VIOLATIONS = {
    "a lower layer includes a higher one": (
        "layers", "src/base/a.cc:1", {"src/base/a.cc": '#include "model/m.h"\n'}),
    "the library includes a test helper": (
        "layers", "src/model/m.cc:2",
        {"src/model/m.cc": '#include "base/a.h"\n#include "testing/fake.h"\n'}),
    "the library includes the downloads": (
        "layers", "src/model/m.cc:1", {"src/model/m.cc": '#include "fetch/catalogue.h"\n'}),
    "a test helper includes the engine": (
        "layers", "src/testing/fake.h:4",
        {"src/testing/fake.h": header("FORETOKEN_TESTING_FAKE_H_", '#include "engine/e.h"')}),
    "the executable includes a test helper": (
        "layers", "apps/foretoken/main.cc:1",
        {"apps/foretoken/main.cc": '#include "testing/fake.h"\n'}),
    "an unknown layer": (
        "layers", "src/utils/u.h:1", {"src/utils/u.h": header("FORETOKEN_UTILS_U_H_")}),
    "llama.h outside its adapter": (
        "adapters", "src/model/m.cc:1", {"src/model/m.cc": '#include "llama.h"\n'}),
    "a ggml header outside its adapter": (
        "adapters", "apps/foretoken/main.cc:1",
        {"apps/foretoken/main.cc": "#include <ggml-backend.h>\n"}),
    "a header of llama.cpp's common outside its adapter": (
        "adapters", "src/model/m.cc:1", {"src/model/m.cc": '#include "chat.h"\n'}),
    "a public header includes a library": (
        "public", "include/foretoken/status.h:4",
        {"include/foretoken/status.h": header("FORETOKEN_STATUS_H_", "#include <fmt/format.h>")}),
    "a public header includes an internal one": (
        "public", "include/foretoken/status.h:4",
        {"include/foretoken/status.h": header("FORETOKEN_STATUS_H_", '#include "base/a.h"')}),
    "a source without a test": (
        "tests", "src/base/c.cc:1",
        {"src/base/c.cc": "", "src/base/CMakeLists.txt": "SOURCES a.cc c.cc\n"}),
    "a guard that is not the path": (
        "guards", "src/base/a.h:1", {"src/base/a.h": header("FORETOKEN_A_H_")}),
    "a header without a guard": ("guards", "src/base/a.h:1", {"src/base/a.h": "#pragma once\n"}),
    "a file not in snake_case": (
        "names", "src/base/Alpha.h:1", {"src/base/Alpha.h": header("FORETOKEN_BASE_ALPHA_H_")}),
    "another suffix": ("names", "src/base/c.cpp:1", {"src/base/c.cpp": ""}),
    "a header over its cap": (
        "size", "src/base/a.h:301", {"src/base/a.h": header("FORETOKEN_BASE_A_H_", *["//"] * 300)}),
    "a source over its cap": ("size", "src/base/a.cc:501", {"src/base/a.cc": "//\n" * 501}),
    "a test over its cap": (
        "size", "tests/unit/base/a_test.cc:551", {"tests/unit/base/a_test.cc": "//\n" * 551}),
    "a source that is not built": (
        "build", "src/model/m.cc:1",
        {"src/CMakeLists.txt": "add_library(m base/b.cc)  # model/m.cc\n"}),
    "a test that is not built": (
        "build", "tests/unit/base/extra_test.cc:1", {"tests/unit/base/extra_test.cc": ""}),
    "unfinished work": ("text", "src/base/a.cc:2", {"src/base/a.cc": "\n// TO" "DO: more\n"}),
    "a path of a machine": ("text", "docs/page.md:1", {"docs/page.md": "in /wo" "rk/main\n"}),
    "a home folder": ("text", "docs/page.md:1", {"docs/page.md": "in /ho" "me/someone\n"}),
    "a folder beside the repository": (
        "text", "docs/page.md:1", {"docs/page.md": "see ../sha" "red/design.md\n"}),
    "a registry's host": (
        "text", "docs/page.md:1", {"docs/page.md": "from https://py" "pi.org/simple\n"}),
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_violation_is_named(tmp_path, case):
    rule, place, files = VIOLATIONS[case]
    code, lines = check(tmp_path, {**CLEAN, **files})
    assert code == 1
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{place}: {rule}: ")
    assert lines[1].endswith("1 problems")


def test_layers_may_include_what_is_below_them(tmp_path):
    code, lines = check(tmp_path, {
        **CLEAN,
        "src/testing/fake.h": header("FORETOKEN_TESTING_FAKE_H_", '#include "speculative/s.h"'),
        "src/fetch/hub.h": header("FORETOKEN_FETCH_HUB_H_", '#include "model/m.h"'),
        "src/engine/e.h": header("FORETOKEN_ENGINE_E_H_", '#include "kernels/k.h"',
                                 '#include "speculative/s.h"'),
        "apps/foretoken/main.cc": '#include "fetch/hub.h"\n#include "tenancy/t.h"\n',
    })
    assert (code, lines[-1]) == (0, f"layout: {len(CLEAN) + 3} files, 0 problems")


def test_the_adapters_include_llama_cpp(tmp_path):
    code, _ = check(tmp_path, {
        **CLEAN,
        "src/model/llama_backend.cc": '#include "ggml-backend.h"\n#include "llama.h"\n',
        "src/model/chat_template.cc": '#include "chat.h"\n',
        "src/model/CMakeLists.txt": "SOURCES llama_backend.cc chat_template.cc\n",
    })
    assert code == 0


def test_git_decides_what_belongs_to_the_tree(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    code, lines = check(tmp_path, {**CLEAN, ".gitignore": "/out/\n", "out/c.cc": "// TO" "DO\n"})
    assert (code, lines) == (0, [f"layout: {len(CLEAN) + 1} files, 0 problems"])
