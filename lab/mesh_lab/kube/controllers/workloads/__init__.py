"""Deployments, their replica sets, and the pods of these."""
