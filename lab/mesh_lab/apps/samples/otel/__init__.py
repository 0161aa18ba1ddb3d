"""The OpenTelemetry collector of Istio's samples: OTLP in, standard output and Zipkin out.

`config` reads the part of its configuration that the samples use and refuses the rest; `otlp` reads records and spans,
`exporters` pass them on, `service` puts them together. https://opentelemetry.io/docs/collector/configuration/
"""
