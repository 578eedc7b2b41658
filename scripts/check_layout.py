#!/usr/bin/env python3
"""Checks the rules of the source tree that no compiler checks; CONTRIBUTING.md says why they are.

Usage: scripts/check_layout.py [ROOT]. Prints one line a violation and exits with 1 if there is any.
"""
import pathlib
import re
import subprocess
import sys

# Lowest first: a layer includes itself and lower ones.
LAYERS = ["base", "kernels", "model", "sampling", "speculative", "engine", "tenancy", "program",
          "store", "server"]
# Beside the stack: what each may include, and nothing but its users includes it.
SIDE_LAYERS = {"fetch": {"base", "model"},
               "testing": {"base", "kernels", "model", "sampling", "speculative"}}

# Sources whose test is elsewhere, and where.
TESTED_ELSEWHERE = {
    "src/kernels/matmul_avx2.cc": "every instruction set: tests/unit/kernels/matmul_test.cc",
    "src/kernels/matmul_avx512_vnni.cc": "every instruction set: tests/unit/kernels/matmul_test.cc",
    "src/kernels/matmul_avx_vnni.cc": "every instruction set: tests/unit/kernels/matmul_test.cc",
    "src/kernels/matmul_generic.cc": "every instruction set: tests/unit/kernels/matmul_test.cc",
    "src/model/llama_adapter.cc": "needs a model file: tests/model",
    "src/model/llama_backend.cc": "needs a model file: tests/model",
    "src/model/llama_cell_positions.cc": "needs a model file: tests/model",
    "src/model/llama_library.cc": "needs a model file: tests/model",
    "src/model/llama_loader.cc": "needs a model file: tests/model",
    "src/model/llama_quantiser.cc": "needs llama.cpp: tests/model",
    "src/model/llama_vocabulary.cc": "needs a model file: tests/model",
    "src/model/default_loader.cc": "needs a model file: tests/model",
    "src/model/chat_template.cc": "needs a model file: tests/model",
    "src/server/asio.cc": "a library compiled here, no code of ours",
}
# Layers without a mirrored test each.
UNMIRRORED_LAYERS = {"testing": "test helpers; the tests that use them exercise them"}

LLAMA_HEADER = re.compile(r"^(llama|llama-cpp|gguf|ggml[a-z-]*)\.h$")
LLAMA_ADAPTERS = ("src/model/llama_", "src/kernels/ggml_")
COMMON_ADAPTER = "src/model/chat_template.cc"

HEADER_LINES, SOURCE_LINES, TEST_LINES = 300, 500, 550

CODE_FOLDERS = ("include", "src", "apps", "tests", "bench")
TEXT_SUFFIXES = {".h", ".cc", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".yml", ".yaml",
                 ".toml", ""}
FOREIGN_SUFFIXES = {".cpp", ".cxx", ".c++", ".hpp", ".hh", ".hxx"}
SKIPPED_FOLDERS = {".git", "build", "__pycache__"}

# In pieces, so that this file does not hold what it looks for.
CONFLICT = re.compile(r"^(?:<{7}|>{7}) ")
LEFT_OVER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")
MACHINE_PATH = re.compile(r"\.\./sha" r"red\b|(?<![\w./-])(?:/wo" r"rk/|/ro" r"ot/|"
                          + re.escape(f"{pathlib.Path.home()}/") + ")")
REGISTRY_HOST = re.compile(r"\b(?:py" r"pi\.org|files\.python" r"hosted\.org|crates" r"\.io"
                           r"|registry\.npm" r"js\.org|deb\.deb" r"ian\.org)\b")

STANDARD_HEADERS = set("""
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono
cinttypes climits clocale cmath codecvt compare complex concepts condition_variable coroutine
csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype deque
exception execution filesystem format forward_list fstream functional future initializer_list
iomanip ios iosfwd iostream istream iterator latch limits list locale map memory memory_resource
mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator
semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string
string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo
unordered_map unordered_set utility valarray variant vector version
""".split())

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Tree:
    """The files of a source tree, and what is wrong with them."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.problems = []
        self.files = self.list_files()
        self.known = set(self.files)
        self.texts = {}

    def list_files(self):
        """Paths relative to the root: what git has or would add, or everything without git."""
        if (self.root / ".git").exists():
            listed = subprocess.run(
                ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                cwd=self.root, capture_output=True, text=True, check=True).stdout.split("\0")
            return sorted({name for name in listed if name and (self.root / name).is_file()})
        found = []
        for path in self.root.rglob("*"):
            relative = path.relative_to(self.root)
            if path.is_file() and not SKIPPED_FOLDERS & set(relative.parts):
                found.append(relative.as_posix())
        return sorted(found)

    def lines(self, name):
        if name not in self.texts:
            self.texts[name] = (self.root / name).read_text(errors="replace").splitlines()
        return self.texts[name]

    def includes(self, name):
        for number, line in enumerate(self.lines(name), 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(1) == "<", match.group(2)

    def report(self, name, number, rule, message):
        self.problems.append(f"{name}:{number}: {rule}: {message}")

    def code(self, *suffixes):
        return [name for name in self.files
                if name.split("/")[0] in CODE_FOLDERS and name.endswith(suffixes)]


def layer_of(name):
    """base for src/base/log.h, apps for what is under apps, None elsewhere."""
    parts = name.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return "apps" if parts[0] == "apps" else None


def allowed_layers(layer):
    if layer == "apps":
        return set(LAYERS) | {"fetch"}
    if layer in SIDE_LAYERS:
        return SIDE_LAYERS[layer] | {layer}
    return set(LAYERS[:LAYERS.index(layer) + 1])


def check_includes(tree):
    for name in tree.code(".h", ".cc"):
        layer = layer_of(name)
        if layer is None:
            continue
        if layer != "apps" and layer not in LAYERS and layer not in SIDE_LAYERS:
            tree.report(name, 1, "layers", f"src/{layer} is not a layer that this script knows")
            continue
        for number, angled, target in tree.includes(name):
            if LLAMA_HEADER.match(target):
                if not name.startswith(LLAMA_ADAPTERS):
                    tree.report(name, number, "adapters",
                                f"only {' and '.join(LLAMA_ADAPTERS)}* include {target}")
                continue
            if angled:
                continue
            head = target.split("/")[0]
            if "/" in target and head in set(LAYERS) | set(SIDE_LAYERS):
                if head not in allowed_layers(layer):
                    tree.report(name, number, "layers", f"{layer} must not include {target}")
                continue
            places = (f"include/{target}", target, f"apps/{target}",
                      f"{name.rsplit('/', 1)[0]}/{target}" if layer == "apps" else "")
            if not tree.known.intersection(places) and name != COMMON_ADAPTER:
                tree.report(name, number, "adapters",
                            f"{target} is not a file of the project; write <> for a library's, and "
                            f"only {COMMON_ADAPTER} includes those of llama.cpp's common")


def check_public_headers(tree):
    for name in tree.code(".h"):
        if not name.startswith("include/"):
            continue
        for number, angled, target in tree.includes(name):
            allowed = (target in STANDARD_HEADERS if angled
                       else target.startswith("foretoken/") and f"include/{target}" in tree.known)
            if not allowed:
                tree.report(name, number, "public",
                            f"{target} is neither a standard nor a public header")


def check_mirrored_tests(tree):
    for name in tree.code(".cc"):
        parts = name.split("/")
        if parts[0] != "src" or len(parts) < 3 or parts[1] in UNMIRRORED_LAYERS:
            continue
        if name in TESTED_ELSEWHERE:
            continue
        test = f"tests/unit/{name[len('src/'):-len('.cc')]}_test.cc"
        if test not in tree.known:
            tree.report(name, 1, "tests", f"{test} is missing")


def guard_of(name):
    """The path below its top folder (of include/foretoken, below that): FORETOKEN_BASE_LOG_H_ for
    src/base/log.h, FORETOKEN_UNIT_BASE_HELPER_H_ for tests/unit/base/helper.h."""
    parts = name.split("/")[2 if name.startswith("include/") else 1:]
    return "FORETOKEN_" + re.sub(r"[^A-Za-z0-9]", "_", "/".join(parts)).upper() + "_"


def check_guards(tree):
    for name in tree.code(".h"):
        guard = guard_of(name)
        text = "\n".join(tree.lines(name))
        if not re.match(rf"#ifndef {guard}\n#define {guard}\n", text) or not text.rstrip().endswith(
                f"#endif  // {guard}"):
            tree.report(name, 1, "guards", f"the include guard is {guard}, first and last")


def check_names_and_sizes(tree):
    for name in tree.files:
        if name.split("/")[0] not in CODE_FOLDERS:
            continue
        path = pathlib.PurePosixPath(name)
        if path.suffix in FOREIGN_SUFFIXES:
            tree.report(name, 1, "names", "C++ files end in .h and .cc")
        if path.suffix not in (".h", ".cc"):
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]*", path.stem):
            tree.report(name, 1, "names", "files are named in snake_case")
        is_test = name.startswith("tests/")
        cap = TEST_LINES if is_test else HEADER_LINES if path.suffix == ".h" else SOURCE_LINES
        if len(tree.lines(name)) > cap:
            tree.report(name, cap + 1, "size", f"{len(tree.lines(name))} lines; the cap is {cap}")


def check_built(tree):
    words = {}
    for name in tree.files:
        if name.split("/")[-1] == "CMakeLists.txt":
            text = "\n".join(re.sub(r"#.*", "", line) for line in tree.lines(name))
            folder = name[:-len("CMakeLists.txt")]
            words[folder] = set(re.findall(r"[\w./-]+", text))
    for name in tree.code(".cc"):
        if not any(name.startswith(folder) and name[len(folder):] in known
                   for folder, known in words.items()):
            tree.report(name, 1, "build", "no CMakeLists.txt names it")


def check_text(tree):
    for name in tree.files:
        if pathlib.PurePosixPath(name).suffix not in TEXT_SUFFIXES:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if LEFT_OVER.search(line):
                tree.report(name, number, "text", "unfinished work belongs in an issue")
            if CONFLICT.match(line):
                tree.report(name, number, "text", "a conflict mark of a merge")
            if MACHINE_PATH.search(line):
                tree.report(name, number, "text", "a path of one machine")
            if REGISTRY_HOST.search(line):
                tree.report(name, number, "text", "a package registry's host; use package names")


CHECKS = (check_includes, check_public_headers, check_mirrored_tests, check_guards,
          check_names_and_sizes, check_built, check_text)


def main():
    if len(sys.argv) > 2 or "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__.strip())
        return 2 if len(sys.argv) > 2 else 0
    tree = Tree(sys.argv[1] if len(sys.argv) == 2 else pathlib.Path(__file__).parent.parent)
    for check in CHECKS:
        check(tree)
    for problem in sorted(tree.problems):
        print(problem)
    print(f"layout: {len(tree.files)} files, {len(tree.problems)} problems")
    return 1 if tree.problems else 0


if __name__ == "__main__":
    sys.exit(main())
