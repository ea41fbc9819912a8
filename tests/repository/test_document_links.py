"""Every relative link of a document leads to a file of this repository, and to a heading of it."""

import re

from tests.repository.source_files import ROOT, files_with_suffix

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", text))
    }


def test_links_of_documents_lead_somewhere() -> None:
    broken = []
    for document in files_with_suffix(".md"):
        for target in LINK.findall(FENCE.sub("", (ROOT / document).read_text())):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            file = (ROOT / document.parent / name).resolve() if name else ROOT / document
            if not file.exists():
                broken.append(f"{document}: {target}: no such file")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
                broken.append(f"{document}: {target}: no such heading")
    assert broken == []
