"""The spaces of one server: one for each model and size of its objects."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock, Thread

from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Fact, Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.lmcache.object_name import ObjectName
from holdfast.engines.lmcache.object_size import ObjectSize
from holdfast.errors import HoldfastError

LISTING_AGE_S_MAX = 5.0
"""How old the list of spaces may be when a lookup has no other way to know sizes."""
SPACES_MAX = 256
FAMILIES_MAX = 16_384
_SIZES_OF_A_FAMILY_MAX = 4
_MODELS_KEPT = 1_024


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where objects of one model and size lie."""

    door: Door
    size: ObjectSize


class Spaces:
    """Knows which spaces may hold an object.

    LMCache does not tell sizes when it looks something up. Objects of a family (model, rank, group)
    have one size, which this process knows once it has stored or loaded one. Until then every
    space of the model is asked; those that other servers made are found in the list of spaces: a
    size that occurs there, with model and facts, makes a name that is there or is not.
    """

    def __init__(
        self, link: Link, facts: Mapping[str, Fact], changed: Callable[[], object]
    ) -> None:
        """facts: what bytes depend on, but model and size. changed: told, on any thread, that
        a space was opened or refused or that the list of spaces is there."""
        self._link = link
        self._facts = facts
        self._changed = changed
        self._lock = Lock()
        self._shelves: dict[tuple[str, int], Shelf] = {}
        self._families: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._listed: frozenset[str] = frozenset()
        self._listed_sizes: dict[str, frozenset[int]] = {}
        """Of models asked for since the list was read."""
        self._listed_at = float("-inf")
        self._listing = False

    def shelf(self, model: str, object_bytes: int) -> Shelf | None:
        """The space for objects of this size, opened in the background if it is new. None for a
        size that cannot be stored, or if there are too many spaces."""
        with self._lock:
            return self._shelf(model, object_bytes)

    def learn(self, name: ObjectName, object_bytes: int) -> None:
        """An object of this family has this size."""
        with self._lock:
            known = self._families.get(name.family, ())
            if not known or known[0] != object_bytes:
                others = tuple(size for size in known if size != object_bytes)
                known = (object_bytes, *others)[:_SIZES_OF_A_FAMILY_MAX]
            self._families[name.family] = known
            self._families.move_to_end(name.family)
            if len(self._families) > FAMILIES_MAX:
                self._families.popitem(last=False)

    def may_hold(self, name: ObjectName) -> list[Shelf] | None:
        """Where an object of this name can lie. None: not known before `changed` is called."""
        with self._lock:
            sizes = self._families.get(name.family)
            if sizes is None:
                if self._must_list():
                    return None
                sizes = tuple(self._sizes_of(name.model))
            found = [self._shelf(name.model, size) for size in sizes]
            return [shelf for shelf in found if shelf is not None]

    def _sizes_of(self, model: str) -> frozenset[int]:
        found = self._listed_sizes.get(model)
        if found is None:
            if len(self._listed_sizes) >= _MODELS_KEPT:
                self._listed_sizes.clear()
            named = sizes_in(self._listed, self._link.settings.space)
            found = frozenset(size for size in named if self._name(model, size) in self._listed)
            self._listed_sizes[model] = found
        return found | {size for held, size in self._shelves if held == model}

    def _name(self, model: str, object_bytes: int) -> str | None:
        try:
            _, label, fingerprint = self._identity(model, object_bytes)
        except ValueError:
            return None
        return fingerprint.space_name(self._link.settings.space, label)

    def _identity(self, model: str, object_bytes: int) -> tuple[ObjectSize, str, Fingerprint]:
        """How an object is cut, and what names its space. Raises ValueError for a size that cannot
        be cut."""
        size = ObjectSize.of(object_bytes)
        facts = {**self._facts, "model": model, "object_bytes": object_bytes, "parts": size.parts}
        return size, f"{object_bytes}.{model}", Fingerprint(facts)

    def _shelf(self, model: str, object_bytes: int) -> Shelf | None:
        shelf = self._shelves.get((model, object_bytes))
        if shelf is not None:
            return shelf
        if len(self._shelves) >= SPACES_MAX:
            return None
        try:
            size, label, fingerprint = self._identity(model, object_bytes)
        except ValueError:
            return None
        door = self._link.open(label, fingerprint, size.part_bytes)
        door.when_settled(self._changed)
        shelf = self._shelves[model, object_bytes] = Shelf(door, size)
        return shelf

    def _must_list(self) -> bool:
        """Whether the list of spaces is too old; a newer one is fetched in the background."""
        if self._listing:
            return True
        if time.monotonic() - self._listed_at < LISTING_AGE_S_MAX:
            return False
        if not self._link.health.allows():
            return False
        self._listing = True
        Thread(target=self._list, name="holdfast-lmcache-list", daemon=True).start()
        return True

    def _list(self) -> None:
        found: frozenset[str] | None = None
        try:
            found = frozenset(self._link.space_names())
            self._link.health.good()
        except HoldfastError as error:
            self._link.health.bad(str(error), certain=True)
        finally:
            with self._lock:
                self._listing = False
                self._listed_at = time.monotonic()
                if found is not None and found != self._listed:
                    self._listed = found
                    self._listed_sizes = {}
            self._changed()


def sizes_in(names: Iterable[str], first: str) -> set[int]:
    """Sizes of objects that occur in names of spaces, `first-BYTES.MODEL-DIGEST`."""
    sizes = set()
    for name in names:
        digits, dot, _ = name.removeprefix(f"{first}-").partition(".")
        if name.startswith(f"{first}-") and dot and digits.isdecimal() and len(digits) < 16:
            sizes.add(int(digits))
    return sizes
