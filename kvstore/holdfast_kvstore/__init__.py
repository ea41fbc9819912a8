"""What both sides of Holdfast's KV tier agree on. Pure: no input or output, no clock."""
