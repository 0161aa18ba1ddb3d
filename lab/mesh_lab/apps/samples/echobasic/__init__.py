"""The servers of the Gateway API's conformance suite, as images of that name run them."""
