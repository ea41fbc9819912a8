"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much it matters."""

    FINE = "fine"
    NOTE = "note"
    """Works, could be faster, or is not there and not needed."""
    PROBLEM = "problem"
    """Something will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found and what to do about it."""

    subject: str
    level: Level
    found: str
    advice: str = ""


def fine(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(subject, Level.FINE, found)


def note(subject: str, found: str, advice: str) -> Finding:
    """Works, could be better."""
    return Finding(subject, Level.NOTE, found, advice)


def problem(subject: str, found: str, advice: str) -> Finding:
    """Does not work."""
    return Finding(subject, Level.PROBLEM, found, advice)
