"""fortio, the load generator of Istio's tasks: `server`, `load` and `curl`, with the published output.

`flags` reads its options, `running` makes the load, `report` and `histogram` print what came of it, `server` is the
other side. https://github.com/fortio/fortio#command-line-arguments
"""
