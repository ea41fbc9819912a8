"""gRPC contracts of Holdfast; the generated modules are built, not committed."""
