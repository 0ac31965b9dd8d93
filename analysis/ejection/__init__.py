"""Ejection of pods (outlier detection): Envoy's algorithm replayed over calls by pod, pods that fail, pods that are slow."""
