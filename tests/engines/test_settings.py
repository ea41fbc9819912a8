"""Settings that an operator gives an engine."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from holdfast.engines.settings import EngineSettings
from holdfast.errors import ConfigInvalid


class OwnSettings(EngineSettings):
    """A door's own settings beside the common ones."""

    window: Annotated[int, Field(ge=1)] = 7


def test_what_is_not_given_has_a_default_that_needs_no_cluster() -> None:
    settings = EngineSettings.of({})
    assert (settings.address, settings.tenant, settings.key) == (None, None, None)
    assert settings.lookup_deadline_ms < settings.load_deadline_ms


def test_every_setting_that_is_wrong_is_named() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        EngineSettings.of({"adress": "x:1", "lanes": 0, "redundancy": "mirror:0"})
    for name in ("adress", "lanes", "redundancy"):
        assert name in str(caught.value)


@pytest.mark.parametrize("name", ["", "-kv", "a/b", "a" * 65])
def test_names_of_spaces_begin_with_something_fit(name: str) -> None:
    with pytest.raises(ConfigInvalid, match="space"):
        EngineSettings.of({"space": name})


def test_a_key_is_shown_nowhere() -> None:
    secret = "hf-4711-secret"
    assert "file:/etc/key" not in repr(EngineSettings.of({"key": "file:/etc/key"}))
    with pytest.raises(ConfigInvalid) as caught:
        EngineSettings.of({"key": secret, "lanes": 99})
    assert secret not in str(caught.value)
    with pytest.raises(ConfigInvalid) as caught:
        EngineSettings.of({"key": [secret]})
    assert secret not in str(caught.value)


def test_a_key_that_stands_in_the_open_is_refused() -> None:
    for where in ("file:/etc/key", "env:HOLDFAST_KEY"):
        assert EngineSettings.of({"key": where}).key == where
    with pytest.raises(ConfigInvalid, match="log their settings"):
        EngineSettings.of({"key": "hf1.secret.secret"})


def test_a_door_has_settings_of_its_own() -> None:
    settings = OwnSettings.of({"window": 3, "lanes": 4})
    assert isinstance(settings, OwnSettings)
    assert (settings.window, settings.lanes) == (3, 4)
    with pytest.raises(ConfigInvalid, match="window"):
        OwnSettings.of({"window": 0})
