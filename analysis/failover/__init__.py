"""Failover: which place answered each call, and what a mesh's priorities would have sent elsewhere, and when."""
