"""Control over the ledger in this process. The authority serves these very objects over HTTP.

control    models, versions, stages
approvals  proposals, approvals, the policy
events     the log as events
garbage    pushes that announce themselves
metadata   annotating and searching; formats: of a version's files
regions    regions, what their origins hold, what their nodes are to bring
"""
