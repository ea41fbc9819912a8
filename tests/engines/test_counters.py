"""Sums that doors add to from any thread."""

from __future__ import annotations

from threading import Thread

from holdfast.engines.counters import Counters


def test_news_are_told_once_and_totals_stay() -> None:
    counters = Counters()
    counters.add("hits", 3)
    counters.add("misses/absent")
    assert counters.take_news() == {"hits": 3.0, "misses/absent": 1.0}
    assert counters.take_news() == {}
    counters.add("hits", 2)
    assert counters.take_news() == {"hits": 2.0}
    assert counters.total("hits") == 5
    assert counters.totals() == {"hits": 5, "misses/absent": 1}


def test_nothing_added_is_nothing_told() -> None:
    counters = Counters()
    counters.add("hits", 0)
    assert counters.take_news() == {}
    assert counters.total("hits") == 0
    assert counters.totals() == {}


def test_no_addition_is_lost_between_threads() -> None:
    counters = Counters()
    news: list[float] = []

    def add() -> None:
        for _ in range(2_000):
            counters.add("hits")

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        news.append(counters.take_news().get("hits", 0.0))
    for thread in threads:
        thread.join()
    news.append(counters.take_news().get("hits", 0.0))
    assert counters.total("hits") == 8_000
    assert sum(news) == 8_000
