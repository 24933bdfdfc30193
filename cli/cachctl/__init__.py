"""cachctl: promotions and operations from a terminal or a pipeline.

main      the command group; the only place that prints errors and sets exit codes
exits     which error gives which exit code
target    which registry a command works on, with whose keys, as whom
output    tables for people, one JSON object for programs, progress for both
audit     what `verify` looks at; node_audit: a node's cache
arrivals  how far a version is on nodes; whereabouts: and which regions hold it
errors    what cachctl itself can fail with
commands  one command per file
demo      the main job end to end, with real processes
"""
