"""The node's files: volumes, and the logs of containers."""
