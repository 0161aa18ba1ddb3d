"""Typed read views of Kubernetes objects: what the controllers, the network and the node read of them.

Objects at rest stay plain JSON (`mesh_lab.kube.store`); a view is decoded from one with `msgspec.convert` and is
immutable. Fields that nothing here reads are left out: a view is never written back.
"""
