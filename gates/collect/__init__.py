"""Fulfils what checks need, once each: reads, scores, stores what was looked at, makes `Evidence` from the store.

Evidence is always read back from the stored files, so that `gates replay` decides again from the very same bytes.
"""
