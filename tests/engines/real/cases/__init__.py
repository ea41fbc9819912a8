"""Groups of cases; each module has a list CASES."""
