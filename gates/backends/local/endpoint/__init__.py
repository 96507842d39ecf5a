"""The local endpoint: Azure ML's managed online endpoint on loopback, one supervisor process an endpoint."""
