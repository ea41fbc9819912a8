"""Cases with real engines: `make test-engines` runs them and writes build/engines.json."""
