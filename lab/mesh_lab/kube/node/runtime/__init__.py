"""The runtime: a small fork server that makes sandboxes and starts containers.

It is a process of its own, as containerd-shim is, for three reasons. Forking a process of 10 MB takes half a
millisecond, forking the API server's takes ten times that. Entering namespaces is a matter of one thread, so the
process must have only one. And what it imports is what each container costs between fork and exec: the standard
library's `os`, `socket`, `json` and `ctypes`.

`server` is the loop; `wire` is what it speaks with the node agent; `sandbox` and `process` are what it does; `rootfs`
is what a container sees of the file system; `syscalls` is what the standard library lacks.
"""

TOOLS = "/opt/mesh-lab/bin"
"""Where a container finds the lab's own programs."""
