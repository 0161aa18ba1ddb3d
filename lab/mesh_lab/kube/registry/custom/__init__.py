"""Custom resources: what their definitions say, and how their objects are checked."""
