"""envoyproxy/ratelimit, as Istio's sample of global rate limits runs it: its configuration, its protocol, in memory.

`config` reads the descriptors' limits, `limiter` counts, `service` speaks gRPC and JSON.
https://github.com/envoyproxy/ratelimit
"""
