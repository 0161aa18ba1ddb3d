"""Rules that objects of several kinds share. Words and paths of causes are a real API server's.

`fields` has rules of single fields, and applies them to every field of an object; which field has which, and what
relates the fields of one kind to each other, stands in that kind's module in `mesh_lab.kube.registry.kinds`.
"""
