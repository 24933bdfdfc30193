"""Control: what needs the one writable ledger. A protocol per kind of thing, two implementations.

protocol   models, versions, stages: what everything else builds on
approvals  proposals, approvals, the policy
events     the log as events
garbage    pushes that announce themselves, gc
metadata   annotating and searching
regions    regions, what their origins hold, what their nodes are to bring

Implemented in process (`registry_core.embedded`) and over HTTP (`cachd.control`).
"""
