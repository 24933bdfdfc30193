"""Control over the ledger in this process. The authority serves these very objects over HTTP.

control    models, versions, stages
metadata   annotating and searching; formats: of a version's files
"""
