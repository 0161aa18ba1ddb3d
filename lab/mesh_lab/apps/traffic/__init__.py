"""The traffic client: sends requests from inside a mesh and reports every one of them."""
