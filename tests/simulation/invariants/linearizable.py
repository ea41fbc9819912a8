"""Each space's history is linearizable: some order of its operations, which respects that what
was answered before another was called comes first, explains every answer."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.history import History, Operation

_FAR = 1 << 60
_STEPS_MAX = 2_000_000


def check_linearizable(history: History, names: Sequence[str]) -> None:
    for name in names:
        operations = history.of(name)
        assert explains(operations), f"the history of space {name} is not linearizable"


def explains(operations: Sequence[Operation]) -> bool:
    """Wing and Gong's search, with visited (done, state) pairs remembered.

    The state is the space's number, or None. A creation makes a number that was never there.
    """
    ordered = sorted(operations, key=lambda found: found.called_at_ms)
    answered = [_FAR if o.answered_at_ms is None else o.answered_at_ms for o in ordered]
    stack: list[tuple[int, int | None]] = [(0, None)]
    visited: set[tuple[int, int | None]] = set()
    complete = (1 << len(ordered)) - 1
    for _ in range(_STEPS_MAX):
        if not stack:
            return False
        done, state = stack.pop()
        if done == complete:
            return True
        if (done, state) in visited:
            continue
        visited.add((done, state))
        first_end = min(end for n, end in enumerate(answered) if not done >> n & 1)
        for place, operation in enumerate(ordered):
            if done >> place & 1 or operation.called_at_ms > first_end:
                continue
            legal, after = _apply(operation, state)
            if legal:
                stack.append((done | 1 << place, after))
            if operation.answered_at_ms is None:
                stack.append((done | 1 << place, state))  # it may never have happened
    raise AssertionError("the search did not end: make the history shorter")


def _apply(operation: Operation, state: int | None) -> tuple[bool, int | None]:
    number = operation.number
    match operation.kind:
        case "read":
            return number == state, state
        case "delete":
            return number == state, None
    if state is None:
        return number is not None, number
    return number == state, state
