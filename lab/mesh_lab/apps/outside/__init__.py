"""The servers of the lab's internet: what pods find under the names of Istio's tasks, outside of mesh and cluster.

One program serves all sites. The kube process hands it the listening sockets when somebody has first called.
"""
