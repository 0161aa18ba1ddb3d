"""The node: pods as processes in namespaces of their own."""
