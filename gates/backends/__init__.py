"""Where steps are really done: the Backend protocol, and one folder per backend."""
