"""What touches every byte of Holdfast: chunk engine, block protocol, Raft core."""
