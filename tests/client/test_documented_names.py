"""The public face says what each of its parts is (its names are pinned in tests/repository)."""

from __future__ import annotations

import inspect

import holdfast
import holdfast.errors


def test_every_error_of_the_tree_is_exported_and_documented() -> None:
    tree = [holdfast.HoldfastError]
    for found in tree:
        tree.extend(found.__subclasses__())
    assert {found.__name__ for found in tree} == set(holdfast.errors.__all__)
    for found in tree:
        assert len(inspect.getdoc(found) or "") > 40, found
        assert getattr(holdfast, found.__name__) is found


def test_everything_public_has_a_docstring() -> None:
    for name in holdfast.__all__:
        value = getattr(holdfast, name)
        if not inspect.isclass(value) and not inspect.isfunction(value):
            continue
        assert inspect.getdoc(value), name
        for member, part in vars(value).items():
            if not member.startswith("_") and (
                inspect.isfunction(part) or isinstance(part, property)
            ):
                assert inspect.getdoc(part), f"{name}.{member}"
