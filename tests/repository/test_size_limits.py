"""Files stay under 500 lines and Python functions under 70; modules have names that say something.

The stub of the compiled module is exempt: it describes one module and has no code.
"""

import ast

from tests.repository.source_files import ROOT, files_with_suffix, repository_files

FILE_LINES_MAX = 499
FUNCTION_LINES_MAX = 69
FILE_BYTES_MAX = 1 << 20
WORDLESS_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def test_no_source_file_is_longer_than_the_limit() -> None:
    lengths = {
        str(path): (ROOT / path).read_text().count("\n")
        for path in files_with_suffix(".py", ".rs", ".proto", ".sh")
    }
    assert {path: n for path, n in lengths.items() if n > FILE_LINES_MAX} == {}


def test_no_python_function_is_longer_than_the_limit() -> None:
    long = {}
    for path in files_with_suffix(".py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text(), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{path}:{node.name}"] = lines
    assert long == {}


def test_every_module_has_a_name_that_says_what_it_holds() -> None:
    named = [
        str(path)
        for path in files_with_suffix(".py", ".rs")
        if WORDLESS_NAMES & {part.removesuffix(path.suffix) for part in path.parts}
    ]
    assert named == []


def test_no_large_file_is_committed() -> None:
    large = [str(p) for p in repository_files() if (ROOT / p).stat().st_size > FILE_BYTES_MAX]
    assert large == []
