"""The audit trail: one JSON line for each administrative act and each denied access."""

from __future__ import annotations

import structlog

_AUDIT = structlog.get_logger("audit")


def acted(actor: str, method: str, target: str, peer: str) -> None:
    """`actor` changed `target` by calling `method`."""
    _AUDIT.info("audit", outcome="done", actor=actor, method=method, target=target, peer=peer)


def failed(actor: str, method: str, target: str, peer: str, code: str) -> None:
    """What `actor` asked for was refused with `code`; it had the right to ask."""
    _AUDIT.info(
        "audit", outcome="failed", actor=actor, method=method, target=target, peer=peer, code=code
    )


def denied(actor: str, method: str, peer: str, reason: str) -> None:
    """Access was denied. `actor` is what the caller claims to be."""
    _AUDIT.warning("audit", outcome="denied", actor=actor, method=method, peer=peer, reason=reason)
