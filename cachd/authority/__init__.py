"""The process that owns the writable ledger and serves the control API.

api       the operations that only an authority has: fleet, garbage, recovery, webhooks
fleet     what nodes report (soft state)
delivery  events to webhooks and NATS
backup    the log's second copy, continuously
gc_runs   runs of gc, one at a time
daemon    start, serve, stop
"""
