"""The Raft host: drives the native core; clock, network, disk and jobs are handed to it."""
