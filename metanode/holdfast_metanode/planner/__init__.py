"""What the leader decides by itself, and proposes as commands like everyone else."""
