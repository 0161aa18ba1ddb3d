"""What a cluster was seen to do: features, the report of a run of the tests, and two reports side by side."""
