"""How long something takes for so many tokens, learned while it happens."""

from __future__ import annotations

_NEWS = 0.3
"""Weight of the newest observation."""


class Tempo:
    """Seconds by number of tokens, in classes of doubling size."""

    def __init__(self) -> None:
        self._per_token: dict[int, float] = {}

    def took(self, tokens: int, seconds: float) -> None:
        """One observation."""
        if tokens <= 0 or seconds <= 0:
            return
        size, rate = tokens.bit_length(), seconds / tokens
        known = self._per_token.get(size)
        self._per_token[size] = rate if known is None else known + _NEWS * (rate - known)

    def expects(self, tokens: int) -> float | None:
        """Seconds for `tokens`, as the nearest class took; None before any observation."""
        if not self._per_token:
            return None
        nearest = min(self._per_token, key=lambda size: abs(size - tokens.bit_length()))
        return self._per_token[nearest] * tokens
