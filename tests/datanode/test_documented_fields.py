"""docs/operations.md names every field of the configuration, and no other, with its default."""

from __future__ import annotations

import re

from pydantic import BaseModel

from holdfast_datanode import DataNodeConfig
from tests.repository.source_files import ROOT

ROW = re.compile(r"^\| (`[^|]*)\|([^|]*)\|", re.MULTILINE)


def fields_of(model: type[BaseModel], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= fields_of(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = None if field.is_required() else field.default
    return found


def documented() -> dict[str, str]:
    text = (ROOT / "docs/operations.md").read_text()
    section = text.split("## A data node", 1)[1].split("### Start", 1)[0]
    return {
        name: default.strip()
        for names, default in ROW.findall(section)
        for name in re.findall(r"`([^`]+)`", names)
    }


def test_every_field_is_documented_and_no_other() -> None:
    assert documented().keys() == fields_of(DataNodeConfig).keys()


def test_documented_defaults_are_the_real_ones() -> None:
    written = documented()
    for name, default in fields_of(DataNodeConfig).items():
        if isinstance(default, bool):
            assert written[name] == f"`{str(default).lower()}`", name
        elif isinstance(default, int) and name != "weight":
            assert written[name] == str(default), name
