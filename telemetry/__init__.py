"""What happened: instrumentation of services, collection, the canonical call row, sources, the store.

Importing this package pulls in OpenTelemetry only; collector, store and sources import what the `analysis` extra brings.
"""
