"""The client side: a cluster's API as a kubeconfig's user, and what its control plane knows of the proxies.

The command line, the installers, the load run and the test harness all ask by it; it knows none of them.
"""
