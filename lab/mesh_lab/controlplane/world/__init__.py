"""What the control plane reads of the cluster: views of objects, the mesh's settings, and snapshots of all of it."""
