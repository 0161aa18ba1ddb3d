"""HTTP/1.1 and HTTP/2 for the sample services: a server and a client of few imports, since a lab starts dozens of them.

A full framework takes 370 ms to import, these modules a tenth of it. The protocols themselves are libraries: httptools
(HTTP/1.1) and h2 (HTTP/2, imported when the first client speaks it).
"""
