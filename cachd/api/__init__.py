"""The HTTP API over an embedded control: what an authority and a node's replica both serve.

operations   the table of operations, from which routes and the OpenAPI document are made
application  routes, bounds, health, metrics and the document, as one application
middleware   around every request: bounds, timing, errors as problem documents
admission    how often a client may ask; metrics: what Prometheus is told
openapi      the document; guards: If-Match and ETag
log_stream   sending the log; log_watch: who waits for it to grow
parsing      what requests say: names, numbers, guards, who changes what
answers      JSON bodies
writes       running a change in a thread and waking the log's readers

and the operations, a class per kind of thing: registry, models, metadata, stages, approvals,
events, audit, recovery, log. A node serves those that only read.

Handlers run on the event loop. Reads are microseconds and stay there; writes wait for the disk.
"""
