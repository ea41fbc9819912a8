"""The storage backend without SGLang: its pools, each with a space, and what it answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from holdfast.engines.counters import Counters
from holdfast.engines.door import CLOSE_S
from holdfast.engines.link import Link
from holdfast.engines.opening import Opening
from holdfast.engines.sglang.engine import Engine, WeightsInUse, name_of_weights
from holdfast.engines.sglang.hits import Mask, PoolPages, Reach, prefix_of, reach_of
from holdfast.engines.sglang.host_pages import HostPages
from holdfast.engines.sglang.identity import is_writer, label_of, pool_facts
from holdfast.engines.sglang.page_layout import Numbers, layout_of_flat_page, layout_of_pool
from holdfast.engines.sglang.page_store import PageStore
from holdfast.engines.sglang.settings import SglangSettings
from holdfast.engines.slow_facts import SlowFacts
from holdfast.errors import HoldfastError

T = TypeVar("T")
_KV = "kv"
_NOWHERE = Reach(0, {}, [])
_ALL_PAGES = "all_pages"
_TRAILING_PAGES = "trailing_pages"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a lookup wants of a pool beside the main one."""

    pool: str
    policy: str
    """SGLang's name of which pages must be there."""
    keys: int
    """Pages at the end, where only those must be."""


class Backend:
    """Calls wait up to their deadline. Whatever goes wrong is a miss, and counted."""

    def __init__(
        self,
        settings: SglangSettings,
        config: Any,
        engine: Engine,
        weights_in_use: Callable[[], WeightsInUse],
        log: logging.Logger,
    ) -> None:
        """config: SGLang's HiCacheStorageConfig.

        Raises ConfigInvalid and InvalidArgument for what can never work.
        """
        settings.check_adapters(serves_lora=engine.serves_lora)
        weights = name_of_weights(engine, config.model_name, settings)
        self._settings = settings
        self._config = config
        self._engine = engine
        self._weights_in_use = weights_in_use
        self._weights = weights_in_use()
        self._weights_changed = False
        self._log = log
        self._link = Link(settings, Counters(), log)
        self._slow = SlowFacts(self._link, lambda: {"weights": weights()})
        self._stores: dict[str, PageStore] = {}
        self._faults = 0

    @property
    def counters(self) -> Counters:
        """What was counted since the start."""
        return self._link.counters

    def add_pool(self, name: str, pool: Any, as_indices: Callable[[Numbers], Any]) -> None:
        """Registers the memory of a host pool. One that cannot be served is said in the log.

        as_indices: makes the kind of indices that the pool takes.
        """
        try:
            store = self._store_of(name, pool, as_indices)
        except HoldfastError as error:
            self._link.counters.add("pools_refused")
            self._log.warning(
                "pages of pool %s cannot be stored, it is served without the cluster: %s",
                name, error,
            )  # fmt: skip
            return
        former = self._stores.get(name)
        self._stores[name] = store
        if former is not None:
            former.close()

    def _store_of(self, name: str, pool: Any, as_indices: Callable[[Numbers], Any]) -> PageStore:
        layout = layout_of_pool(pool, as_indices)
        pages = HostPages(layout, CLOSE_S)
        facts = {**self._engine.facts, **pool_facts(name, pool, layout, self._config)}
        label = label_of(facts)
        opening = Opening(self._link, label, facts, self._slow, pages.part_bytes)
        self._log.info(
            "pool %s: %d pages of %d tokens, %d bytes each, in %d blocks", name, layout.pages,
            layout.page_tokens, layout.page_bytes, pages.parts,
        )  # fmt: skip
        return PageStore(
            self._link,
            opening,
            pages,
            writes=is_writer(name, pool, self._config),
            start_wait_s=self._settings.start_wait_ms / 1000,
        )

    # ------------------------------------------------------------------------ calls

    def reach(self, keys: Sequence[str], transfers: Sequence[Transfer]) -> Reach:
        """How far the prefix `keys` can be restored."""
        return self._guarded(_NOWHERE, partial(self._reach, keys, transfers))

    def load(self, pool: str, keys: Sequence[str], slots: Numbers) -> list[bool]:
        """Which pages were read into `slots`, int64[keys * page tokens]."""
        return self._masked(pool, keys, lambda store: store.load(keys, slots))

    def save(
        self, pool: str, keys: Sequence[str], slots: Numbers, first_position: int
    ) -> list[bool]:
        """Which pages of `slots` are stored."""
        return self._masked(pool, keys, lambda store: store.save(keys, slots, first_position))

    def load_flat(self, key: str, tensor: Any) -> bool:
        """Whether a page of the main pool was read into a tensor of its size."""
        return self._guarded(False, partial(self._flat, tensor, PageStore.load_into, key))

    def save_flat(self, key: str, tensor: Any) -> bool:
        """Whether a page is stored, out of a tensor of its size."""
        return self._guarded(False, partial(self._flat, tensor, PageStore.save_out_of, key))

    def clear(self) -> bool:
        """Drops every stored page, for every engine that uses these spaces."""
        done = [store.clear() for store in self._stores.values()]
        return all(done)

    def take_speeds(self) -> tuple[list[int], list[float], list[int], list[float]]:
        """Loads' pages and GiB/s, saves' pages and GiB/s, since the last call of this."""
        loads = [store.loads.take() for store in self._stores.values()]
        saves = [store.saves.take() for store in self._stores.values()]
        return (
            [pages for one in loads for pages in one[0]],
            [speed for one in loads for speed in one[1]],
            [pages for one in saves for pages in one[0]],
            [speed for one in saves for speed in one[1]],
        )

    def close(self) -> None:
        """Ends calls under way and lets the pools' memory go; closing twice does nothing."""
        stores, self._stores = self._stores, {}
        self._link.close()
        for store in stores.values():
            store.close()
        if stores:
            self._log.info("left the cluster; counted: %s", dict(self.counters.totals()))

    # ------------------------------------------------------------------------ how

    def _masked(
        self, pool: str, keys: Sequence[str], call: Callable[[PageStore], Mask]
    ) -> list[bool]:
        store = self._stores.get(pool)
        if store is None:
            self.counters.add("pages_of_refused_pools", len(keys))
            return [False] * len(keys)
        return self._guarded([False] * len(keys), lambda: call(store).tolist())

    def _reach(self, keys: Sequence[str], transfers: Sequence[Transfer]) -> Reach:
        main_store = self._stores.get(_KV)
        if main_store is None:
            self.counters.add("pages_of_refused_pools", len(keys))
            return _NOWHERE
        main = main_store.exist(keys)
        pages = prefix_of(main)
        others = []
        for transfer in transfers:
            if pages == 0:
                break
            if transfer.policy not in (_ALL_PAGES, _TRAILING_PAGES):
                continue  # it gates nothing, and what is not told is taken as not stored
            store = self._stores.get(transfer.pool)
            stored = np.zeros(pages, np.bool_) if store is None else store.exist(keys[:pages])
            trailing = max(1, transfer.keys) if transfer.policy == _TRAILING_PAGES else None
            others.append(PoolPages(transfer.pool, stored, trailing))
        return reach_of(main, others)

    def _flat(
        self, tensor: Any, move: Callable[[PageStore, str, HostPages], bool], key: str
    ) -> bool:
        store = self._stores.get(_KV)
        if store is None:
            return False
        page = HostPages(layout_of_flat_page(tensor, store.page_bytes), CLOSE_S)
        try:
            return move(store, key, page)
        finally:
            page.close()

    def _guarded(self, otherwise: T, call: Callable[[], T]) -> T:
        """An exception would end a thread of SGLang's that is never started again."""
        if self._stale():
            return otherwise
        try:
            return call()
        except HoldfastError as error:
            self.counters.add(f"calls_refused/{type(error).__name__}")
        except Exception:
            self.counters.add("faults")
            self._faults += 1
            if self._faults == 1:
                self._log.exception("a fault of this backend, counted from now on; it is a miss")
        return otherwise

    def _stale(self) -> bool:
        """Whether the engine has other weights than those that the spaces are named after."""
        if not self._weights_changed and self._weights_in_use() != self._weights:
            self._weights_changed = True
            self._log.error(
                "the engine's weights were changed while it ran: its pages are neither stored nor "
                "loaded until it is started again"
            )
        if self._weights_changed:
            self.counters.add("calls_refused/weights_changed")
        return self._weights_changed
