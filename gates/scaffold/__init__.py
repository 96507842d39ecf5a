"""`gates init`: what a repository already has is found and used, what it lacks is written, nothing is asked.

`found` looks at files, `table` at data, `texts` says what the new files hold, `starter` is a small model for a
repository that has none. Nothing here writes: `steps.init` does, and never over a file of somebody's.
"""
