"""The metadata node: Raft host, replicated state machine, cluster map, tenants and spaces."""
