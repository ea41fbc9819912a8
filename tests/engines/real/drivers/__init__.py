"""Programs that run in the environments of engines; `Bed.start` starts them."""
