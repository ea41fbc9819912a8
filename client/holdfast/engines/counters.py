"""What an engine's door counts: named sums, added to from any thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock


class Counters:
    """Sums since the start, and what was added since the last report."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._total: Counter[str] = Counter()
        self._news: Counter[str] = Counter()

    def add(self, name: str, amount: float = 1) -> None:
        """Adds `amount` to `name`; a reason stands behind a slash ("misses/deadline")."""
        if not amount:
            return
        with self._lock:
            self._total[name] += amount  # type: ignore[assignment]
            self._news[name] += amount  # type: ignore[assignment]

    def bad(self, what: str, blocks: int, why: str) -> None:
        """Blocks of an operation ("lookup", "load", "save") that came to nothing."""
        self.add(f"{what}_blocks_bad", blocks)
        self.add(f"{what}_bad/{why}", blocks)

    def total(self, name: str) -> float:
        """The sum since the start."""
        with self._lock:
            return self._total[name]

    def totals(self) -> Mapping[str, float]:
        """Every sum since the start."""
        with self._lock:
            return dict(self._total)

    def take_news(self) -> dict[str, float]:
        """What was added since the last call of this."""
        with self._lock:
            news, self._news = dict(self._news), Counter()
        return {name: float(amount) for name, amount in news.items()}
