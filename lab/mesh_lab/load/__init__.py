"""The load run: Locust in the cluster, one run at a time, its figures held against limits."""
