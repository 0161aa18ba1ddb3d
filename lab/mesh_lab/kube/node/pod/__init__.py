"""One pod and its containers: started, probed, connected to, reported, stopped."""
