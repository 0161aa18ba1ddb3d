"""The Gateway API: its kinds read into the model that translation knows, and their statuses.

https://gateway-api.sigs.k8s.io/
"""
