"""What Istio's samples run beside Bookinfo, one module or package a program: they answer as the published images do.

Paths, ports, headers, environment variables and the words that the tasks look for are the published ones; code and
other texts are this project's own.
"""
