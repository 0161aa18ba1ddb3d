"""The behaviours of a mesh, each over the protocols and in the resources that have it: docs/conformance.md."""
