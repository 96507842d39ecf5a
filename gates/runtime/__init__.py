"""The only room that starts processes: they die with their owner, and get an environment that was chosen, not found.

guard.py and worker.py are scripts, run by path; nothing here imports them.
"""
