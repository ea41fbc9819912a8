"""The replicated state: tables, typed views, sessions, the machine that applies commands."""
