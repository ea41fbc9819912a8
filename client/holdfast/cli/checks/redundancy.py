"""What the spaces' redundancies survive now, where this machine may ask as an operator."""

from __future__ import annotations

from holdfast._admin import AdminClient
from holdfast.cli.checks.finding import Finding, fine, note, problem
from holdfast.cli.survivals import is_short, survival_lines


def check_redundancy(admin: AdminClient) -> list[Finding]:
    """One finding for each redundancy in use. Raises what the cluster answers."""
    found = admin.status()
    findings = []
    for survival, line in zip(found.survivals, survival_lines(found), strict=True):
        said = line.partition(": ")[2]
        subject = f"spaces of {survival.redundancy}"
        if survival.groups_lost and survival.failures:
            findings.append(problem(subject, said, "bring nodes back that are down, or add nodes"))
        elif is_short(survival):
            advice = "see `holdfast status`: bring nodes back that are down, or add nodes and hosts"
            findings.append(note(subject, said, advice))
        else:
            findings.append(fine(subject, said))
    return findings
