"""Nothing that is only promised, and nothing that only works on the machine it was written on."""

import re

from tests.repository.source_files import ROOT, files_with_suffix, repository_files

# Spelled in pieces, so that this file does not find itself.
UNFINISHED = re.compile(
    r"\b(TO"
    r"DO|FIX"
    r"ME|XX"
    r"X|HA"
    r"CK)\b"
    r"|NotImplemented"
    r"Error|unimpl"
    r"emented!|to"
    r"do!\(|not implemented"
    r" yet|place"
    r"holder"
)
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|root|home|farm)/[A-Za-z.]")
SLEEP = re.compile(r"\bsleep" r"\(")
TEXT_SUFFIXES = {
    ".py",
    ".pyi",
    ".rs",
    ".proto",
    ".md",
    ".toml",
    ".sh",
    ".json",
    ".yml",
    ".lock",
    "",
}


def lines_matching(pattern: re.Pattern[str], suffixes: set[str], under: str = "") -> list[str]:
    found = []
    for path in repository_files():
        if path.suffix in suffixes and str(path).startswith(under):
            for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
                if pattern.search(line):
                    found.append(f"{path}:{number}: {line.strip()}")
    return found


def test_no_code_is_left_for_later() -> None:
    assert lines_matching(UNFINISHED, {".py", ".rs", ".proto"}) == []


def test_no_path_of_one_machine_is_named() -> None:
    assert lines_matching(MACHINE_PATH, TEXT_SUFFIXES) == []


def test_python_tests_wait_for_conditions_instead_of_sleeping() -> None:
    assert lines_matching(SLEEP, {".py"}, "tests/") == []


def test_lock_files_name_no_registry_host() -> None:
    assert lines_matching(re.compile(r"https?://"), {".lock"}) == [
        line
        for line in lines_matching(re.compile(r"https?://"), {".lock"})
        if "registry+https://github.com/rust-lang/crates.io-index" in line
    ]


def test_every_python_package_says_that_it_is_typed() -> None:
    packages = {path.parent for path in files_with_suffix(".py") if path.parts[-1] == "__init__.py"}
    roots = {p for p in packages if len(p.parts) == 2 and p.parts[1].startswith("holdfast")}
    assert [str(p) for p in sorted(roots) if not (ROOT / p / "py.typed").is_file()] == []
