"""What is told to the authors of resources: analysis, statuses, and Events."""
