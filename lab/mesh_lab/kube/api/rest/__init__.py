"""What can be done to a resource: its verbs, and its subresources that are objects or actions."""
