"""The azureml backend: jobs, models and endpoints of an Azure Machine Learning workspace, on Microsoft's own SDK.

azure is imported inside functions, on first use. Retries stand in client.py and nowhere else; the ways in which Azure
says no stand in calls.py; a token, key or signature is never written, said or kept beyond the process.
"""
