"""The operations of the control API, a class per kind of thing, over the embedded control.

registry  the registry itself: root, policy, origin
models    models and their versions
metadata  annotating and searching
stages    stages, moves, choices, and what a reference resolves to
approvals proposals, approvals, the policy
events    the log as events, consumers
fleet     what nodes report
log       the log as a stream
parsing   what requests say: names, numbers, guards, who changes what
answers   JSON bodies
writes    running a change in a thread and waking the log's readers

Handlers run on the event loop. Reads are microseconds and stay there; writes wait for the disk.
"""
