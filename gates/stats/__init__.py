"""Formulas: intervals, tests, resampling and distances over numpy arrays. No input or output, no clock, no policy.

Modules here import numpy and scipy.special and are therefore imported where they are used, never at start. None imports
scipy.stats (1.8 s). Randomness comes only from a seed that is passed in; the order of the rows never changes a result.
"""
