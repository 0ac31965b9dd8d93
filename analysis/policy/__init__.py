"""Mesh policy as values: the names of settings, how meshes write durations, and what is deployed now."""
