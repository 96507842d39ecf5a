"""MLOps Gates: steps of a machine-learning delivery pipeline whose verdicts can be trusted.

The map, from the vocabulary up (a module imports only from rows above its own):

    verdict, errors          what a decision is; every way to end badly
    document, confidential   YAML and JSON files with line numbers; what nobody may see
    evidence, inputs         what a check may look at; how an input is declared and read
    chain, stats             the hash-chained log; formulas
    drift, lineage, metrics  drift of columns; what happened and from what; the registry of metrics
    checks                   one gate check a file
    policy, project          policy.yml and mlops.yml
    judge                    policy and evidence in, report out
    prove                    whether a policy lets through what must be refused
    runtime                  the only spawner of processes
    backends, platforms, reports, rollout    the edges, and the blue-green state machine
    collect                  gathers what checks need
    scaffold                 what `gates init` finds and writes
    steps                    one pipeline step a file
    cli                      the composition root
"""

__version__ = "0.1.0"
