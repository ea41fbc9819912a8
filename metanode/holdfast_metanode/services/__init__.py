"""gRPC services: they only translate between the wire and the operations."""
