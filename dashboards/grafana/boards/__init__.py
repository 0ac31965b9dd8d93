"""Dashboards: one file each, ending in `BOARD = Board(...)`.

A panel asks `Expressions` and writes no metric or label name itself, so that it works for every source; where one lacks what
is asked for, the panel is left out and the reason is listed. Panels that several boards have are in `panels`.
"""
