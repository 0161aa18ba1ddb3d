"""The vocabularies of the mesh: Istio's, and those that are read into the same model. One folder a dialect."""
