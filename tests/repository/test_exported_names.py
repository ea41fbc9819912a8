"""What each package exports is pinned: a name that comes or goes is a decision, not an accident.

`HOLDFAST_UPDATE=1 .venv/bin/python -m pytest tests/repository/test_exported_names.py` writes the
pins anew.
"""

import importlib
import json
import os
import types

import pytest

from tests.repository.source_files import ROOT

PINS = ROOT / "tests/repository/exported_names.json"
PACKAGES = (
    *("holdfast", "holdfast_datanode", "holdfast_kvstore", "holdfast_metanode"),
    *("holdfast_native", "holdfast_proto"),
)


def exported(name: str) -> list[str]:
    return sorted(getattr(importlib.import_module(name), "__all__", []))


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_names_are_pinned(package: str) -> None:
    if os.environ.get("HOLDFAST_UPDATE") == "1":
        PINS.write_text(json.dumps({each: exported(each) for each in PACKAGES}, indent=2) + "\n")
    pinned = json.loads(PINS.read_text())[package]
    assert exported(package) == pinned, "run with HOLDFAST_UPDATE=1 if this is meant"


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_names_exist_and_public_names_are_exported(package: str) -> None:
    module = importlib.import_module(package)
    names = exported(package)
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(names) == len(set(names))
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", "").startswith("holdfast")
    }
    assert sorted(public - set(names)) == []
