"""Why blocks of other spaces cannot be used."""

from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.kin import differing_facts


def test_facts_that_differ_are_named_and_counted() -> None:
    own = Fingerprint({"weights": "a", "heads": [0, 4, 8], "canary": "x"})
    tuned = Fingerprint({"weights": "b", "heads": [0, 4, 8], "canary": "x"})
    other = Fingerprint({"weights": "b", "heads": [4, 8, 8], "canary": "x", "generation": "n"})
    found = differing_facts(own, [tuned.text, other.text, own.text])
    assert found == {"weights": 2, "heads": 1, "generation": 1}


def test_a_fingerprint_of_somebody_else_is_unreadable() -> None:
    long = Fingerprint({"weights": "a" * 2000})
    assert differing_facts(long, [long.text, "", "mine"]) == {"unreadable": 3}
