"""Rules that objects of several kinds share. Words and paths of causes are a real API server's.

`fields` applies tables to every field of every built-in kind; what relates the fields of one kind to each other stands
in that kind's module in `mesh_lab.kube.registry.kinds`.
"""
