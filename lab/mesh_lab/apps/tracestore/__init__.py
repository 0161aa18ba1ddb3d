"""A small store of traces, in the place of Jaeger, Zipkin and OpenTelemetry's collector."""
