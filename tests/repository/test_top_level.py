"""The top level holds what the design names, and nothing else."""

from tests.repository.source_files import ROOT, repository_files

FOLDERS = {
    *("proto", "kvstore", "datanode", "metanode", "client", "native"),
    *("tests", "bench", "ops", "docs", ".ci"),
}
FILES = {"pyproject.toml", "Makefile", "README.md", "LICENSE"}


def test_the_top_level_holds_what_the_design_names() -> None:
    names = {path.parts[0] for path in repository_files()}
    others = {
        name
        for name in names - FOLDERS - FILES
        if not (name.startswith(".") or name.endswith(".lock")) or (ROOT / name).is_dir()
    }
    assert others == set()
    assert names >= FILES | {".ci", "native", "proto"}
