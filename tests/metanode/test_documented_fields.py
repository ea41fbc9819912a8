"""docs/operations-metadata.md names every field of the configuration, and no other, with its
default."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel

from holdfast_metanode.config import MetanodeConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations-metadata.md"
ROW = re.compile(r"^\| `([^`]+)` \|([^|]*)\|", re.MULTILINE)


def section_of(annotation: Any) -> type[BaseModel] | None:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def fields_of(model: type[BaseModel], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            found |= fields_of(section, f"{prefix}{name}.")
        else:
            found[prefix + name] = field.default
    return found


def test_every_field_is_documented_with_its_default() -> None:
    written = {name: default.strip() for name, default in ROW.findall(PAGE.read_text())}
    real = fields_of(MetanodeConfig)
    assert written.keys() == real.keys()
    for name, default in real.items():
        if isinstance(default, int):
            assert written[name] == str(default), name
