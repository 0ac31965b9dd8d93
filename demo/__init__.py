"""The main job on a real chain: services, their Envoys, a reproducible load, and what meshslo makes of it."""
