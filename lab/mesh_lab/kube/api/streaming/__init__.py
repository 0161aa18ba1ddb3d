"""Streams of a container over a connection: exec, attach, port-forward, log."""
