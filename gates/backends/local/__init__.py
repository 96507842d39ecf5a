"""The local backend: MLflow on SQLite, jobs as processes, model servers on loopback. No Azure, no Docker."""
