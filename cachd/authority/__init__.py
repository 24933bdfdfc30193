"""The process that owns the writable ledger and serves the control API.

api         the operations, a class per kind of thing
operations  the table of operations, from which routes and the OpenAPI document are made
openapi     the document
guards      If-Match and ETag
middleware  around every request: bounds, timing, errors as problem documents
admission   how often a client may ask; metrics: what Prometheus is told
log_watch   who waits for the log to grow; log_stream: sending it
fleet       what nodes report (soft state)
daemon      start, serve, stop
"""
