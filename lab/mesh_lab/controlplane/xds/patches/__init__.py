"""EnvoyFilter: what a proxy was given so far, changed as its patches say.

`selection` finds the patches for a proxy, `matches` what each of them is for, and `clusters`, `routes` and `listeners`
change resources; `applying` puts that together. A proxy without patches keeps its resources as they are, and proxies
with the same patches share what these make.
"""
