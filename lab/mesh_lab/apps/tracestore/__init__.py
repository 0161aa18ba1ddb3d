"""A small store of traces, in the place of Jaeger, Zipkin, SkyWalking and OpenTelemetry's collector."""
