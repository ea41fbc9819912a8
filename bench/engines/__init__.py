"""What an engine gains by Holdfast and what it costs, in a real vLLM: `make bench-engines`."""
