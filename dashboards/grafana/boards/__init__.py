"""Dashboards: one file each, ending in `BOARD = Board(...)`.

A panel asks `Names` for its expressions and writes no metric or label name itself, so that it works for every profile; where a
profile lacks what it asks for, the panel is left out and the reason is listed.
"""
