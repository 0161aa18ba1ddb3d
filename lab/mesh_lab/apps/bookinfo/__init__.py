"""Bookinfo: four services that answer the paths, and read the environment variables, of Istio's published sample.

Istio's manifests for it apply unmodified. Pages and texts are this project's own.
"""
