"""Drift: the recorded reference, and how far current data is from it.

`source` reads files column by column; `profile` is what training records; `scan` compares a reference with current
data and gives one `ColumnDrift` a column; `decide` says what drifted and whether to retrain. The check of the policy
stands in `gates.checks.drift`. Nothing here imports scipy or pandas.
"""
