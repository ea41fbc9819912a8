"""What must hold for one row, collected while a case runs."""

from __future__ import annotations

from collections.abc import Sequence

from tests.engines.real.row import Row
from tests.engines.real.vllm_engine import Output

LOGPROB_TOLERANCE = 1e-4
"""Log-probabilities of equal tokens differ by less. The same sums in another order (a prefix that
is there, chunks, other requests beside) move them by up to 2e-5 on these models in fp32."""


class Verdict:
    """A row passes if nothing was found wrong with it; what was is in its detail."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._hits: int | None = None
        self._tokens_equal: bool | None = None
        self._seen: list[str] = []
        self._wrong: list[str] = []

    def saw(self, what: str) -> None:
        """Something worth to be in the detail."""
        self._seen.append(what)

    def holds(self, what: str, ok: bool) -> None:
        """`what` must be so."""
        if not ok:
            self._wrong.append(f"not so: {what}")

    def equal(self, what: str, seen: object, wanted: object) -> None:
        """Both must be equal."""
        if seen != wanted:
            self._wrong.append(f"{what}: {seen}, not {wanted}")

    def hits(self, seen: float, wanted: int) -> None:
        """Tokens that the engine counted as found outside, and as many as there must be."""
        self._hits = (self._hits or 0) + int(seen)
        self.equal("external hits", int(seen), wanted)

    def outputs(self, seen: Sequence[Output], wanted: Sequence[Output]) -> None:
        """Tokens must be equal, log-probabilities within the tolerance."""
        equal = [output.tokens for output in seen] == [output.tokens for output in wanted]
        self._tokens_equal = equal and self._tokens_equal is not False
        if not equal:
            self._wrong.append(f"tokens differ: {_first_difference(seen, wanted)}")
            return
        far = max(
            abs(mine - theirs)
            for output, other in zip(seen, wanted, strict=True)
            for mine, theirs in zip(output.logprobs, other.logprobs, strict=True)
        )
        self.saw(f"log-probabilities within {far:.1e}")
        self.holds(f"log-probabilities within {LOGPROB_TOLERANCE}", far <= LOGPROB_TOLERANCE)

    def row(self) -> Row:
        """The row, as far as it is known by now."""
        return Row(
            name=self._name,
            passed=not self._wrong,
            external_hits=self._hits,
            tokens_equal=self._tokens_equal,
            detail="; ".join((*self._wrong, *self._seen)),
        )


def _first_difference(seen: Sequence[Output], wanted: Sequence[Output]) -> str:
    for number, (output, other) in enumerate(zip(seen, wanted, strict=True)):
        for place, (mine, theirs) in enumerate(zip(output.tokens, other.tokens, strict=False)):
            if mine != theirs:
                return f"output {number}, token {place}: {mine}, not {theirs}"
    return f"{[len(output.tokens) for output in seen]} tokens"
