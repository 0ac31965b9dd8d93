"""Reads the histograms and counters of meshes, inference servers and gateways from a server with Prometheus's query API.

profiles/     which metrics and labels mean what, as tables: one a producer
api           the two questions asked of the server, and every way it can refuse
matrix        answers as arrays: series by step
increase      cumulative counts to counts of each step: resets, gaps, series that begin
restarts      which steps hide something, and those again sample by sample
classic, native, counters      the three shapes a metric comes in, as rows of `telemetry.store.metrics`
reader        what is there, in which slices it is asked for
"""
