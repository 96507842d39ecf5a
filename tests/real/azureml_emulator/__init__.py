"""Azure Machine Learning on loopback, for the unmodified SDK: real HTTP, real TLS, one process, its state in a folder.

    start.py         starts the process, gives the environment that leads a child to it, plants faults, reads the logs
    server.py        the HTTPS proxy: maps the known hosts, refuses and logs every other, speaks TLS as each of them
    wire.py          one request, one answer
    certificates.py  the authority of the session and the certificate of all hosts
    faults.py        a plan of what shall go wrong, by call
    tokens.py        Microsoft Entra, GitHub's and Azure DevOps' issuers of assertions, the metadata service
    arm.py           management.azure.com: resources by path, assets with versions
    checking.py      every PUT body against Microsoft's own schemas
    operations.py    long-running operations
    endpoints.py     online endpoints and deployments; serving.py runs their model servers
    batch.py         batch endpoints, whose jobs run the deployment's script
    collecting.py    the data collector beside a model server: events as blobs, by deployment, collection and hour
    registries.py    what a registry has beside assets: uploads, references, import
    jobs.py          jobs; jobrun.py runs one in a process of its own
    traffic.py       diagnostic settings and the traffic log of endpoints in Log Analytics
    dataplane.py     run history, resolved data URIs, discovery
    storage.py       azurite, and what the service itself reads and writes there

README.md says which call of the SDK ends where. Wording of errors is ours: product code decides on status and code.
"""
