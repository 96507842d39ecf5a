"""What happened, from what, provably: identity of models and data, signed statements, verification, audit.

Pure: signers, trusted keys, stores' tags, git facts, approvals and the time are arguments; only folders given by path
are read. `digest` says what a model is, `fingerprint` and `dvc` what data was, `record` holds the values, `statement`
writes them as in-toto Statements, `sign` seals them, `folder` keeps them, `verify` refuses what does not follow from
them, `audit` is the log of every decision with its questions, `card` the model card, `grade` the reproduction check.
"""
