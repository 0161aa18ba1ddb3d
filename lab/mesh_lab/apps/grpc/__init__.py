"""gRPC's unary calls over the HTTP/2 server, and protobuf by field numbers.

The programs read and write a handful of fields; grpcio and generated classes would cost each pod 13 MB.
"""
