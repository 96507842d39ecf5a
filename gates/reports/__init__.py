"""Reports: a report value in, text or bytes out. Nothing here writes a file or knows a platform."""
