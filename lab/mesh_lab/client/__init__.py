"""The client side: a cluster's API as a kubeconfig's user, and what its control plane knows of the proxies.

The command line, the installers, the load run and the test harness use it; it imports none of them.
"""
