"""Whether reading a prefix is expected to beat computing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdfast.engines.counters import Counters
from holdfast.engines.vllm.tempo import Tempo

_PREFILL_TOKENS_MIN = 64
"""Steps that compute fewer say little about how long a token takes."""
_TRY_AGAIN = 16
"""Of so many offers held back in a row the last one is made, so that the tempo is learned anew."""
_STEPS_MAX = 64


class Worth:
    """Measures both ways while the engine runs; what was not measured yet is tried."""

    def __init__(self, always: bool, counters: Counters, clock: Callable[[], float]) -> None:
        """always: every hit is offered."""
        self._always = always
        self._counters = counters
        self._clock = clock
        self._loading = Tempo()
        self._computing = Tempo()
        self._declined = 0
        self._steps: dict[int, tuple[float, int]] = {}
        self._ended_at = 0.0

    def offers(self, tokens: int) -> bool:
        """Whether a hit of `tokens` should be taken."""
        if self._always:
            return True
        load_s, compute_s = self._loading.expects(tokens), self._computing.expects(tokens)
        if load_s is None or compute_s is None or load_s < compute_s:
            self._declined = 0
            return True
        self._declined += 1
        if self._declined % _TRY_AGAIN == 0:
            return True
        self._counters.add("declined_tokens/slower_than_computing", tokens)
        return False

    def loaded(self, tokens: int, seconds: float) -> None:
        """A load was done."""
        self._loading.took(tokens, seconds)

    def step_begins(self, number: int, scheduled: Mapping[str, int]) -> None:
        """A step computes so many tokens of each request."""
        tokens = sum(count for count in scheduled.values() if count >= _PREFILL_TOKENS_MIN)
        if tokens * 2 < sum(scheduled.values()):
            tokens = 0
        self._steps[number] = (self._clock(), tokens)
        while len(self._steps) > _STEPS_MAX:
            del self._steps[min(self._steps)]

    def step_ended(self, number: int) -> None:
        """Its results are there."""
        now = self._clock()
        began, tokens = self._steps.pop(number, (now, 0))
        # Steps overlap where the engine schedules ahead: each begins when the one before ends.
        self._computing.took(tokens, now - max(began, self._ended_at))
        self._ended_at = now
