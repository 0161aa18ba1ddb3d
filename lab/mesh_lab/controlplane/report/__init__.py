"""Reports to the authors of resources: analysis, statuses, and Events."""
