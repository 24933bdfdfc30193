"""cachd: the daemons between a registry and the processes that serve its models.

authority   owns the writable ledger, serves the control API
node        on every serving host: replica, desired state, cache, report
fetch       plan -> peers and origins -> verify -> cache
peer        who is there, who has what, serving chunks
cache       verified chunks as real files
serve       resident versions, flip page, local socket, client library (standard library only)
control     the control API as seen by its clients: Registry over HTTP, stream of the log
main        the `cachd` command

This package imports nothing by itself: an inference process that imports `cachd.serve.client`
pays for the standard library only.
"""
