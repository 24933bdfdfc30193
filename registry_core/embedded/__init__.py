"""Control over the ledger in this process. The authority serves these very objects over HTTP.

control    models, versions, stages
"""
