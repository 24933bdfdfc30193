"""How a host's inference processes get whole versions, and switch between them unnoticed.

client            `attach(...)`: what an inference process imports (standard library only)
  attaching       `aattach(...)`: the same without holding up an event loop
  attached        the hot path: one word compare; the switch at the next `acquire()`
  version         what `load` and `acquire()` hand out; lifetime is by reference
  warmup          requests recorded in a version, replayed before it counts
  version_files   read-only descriptors and maps of a version's files
  shelf, leases   which versions this process holds, told to the daemon as they end
  link, loader    the two threads of an attachment: socket, and load + warm-up
  split           which of two versions answers a request, by its key
  tally           what was observed of requests, until the daemon is told
  errors          the tree of everything that a client can raise
  loaders         versions as numpy, torch, ONNX Runtime and transformers want them

host              `ServingHost`: the node's side, on its event loop
  stage_serving   one model@stage: prepare, flip, grace, retire
  desk            what all stages share
  stage_handles   its handles: made, kept for a time, retired, dropped
  prepared_versions  its version directories, kept open for workers
  preparation     a target on its way into force: deadlines, deaths, who is how far
  flip_policy     PURE: may the word be stored now?
  flip_rules      policy, deadline and spread of one model@stage
  flip_events     what the host tells of its flips
  worker_progress what is told of single workers
  allowed_uids    PURE: may this user's process attach to this?
  split_gate      the version that is to answer a share of the requests
  request_counts  requests by version, as workers tell of them
  handle_table    slots and handles, durable before they are used
  worker_connection  one worker's socket: bounded, never blocking
  runtime_dir     who owns the runtime directory, listener, `current` symlinks
  resident        what the node hands in and reads back
  host_errors     the tree of everything that the host can raise

flip_page         the page in shared memory, writer and reader
wire, fields, from_worker, from_daemon   frames and messages of the local socket
latency           PURE: the buckets of request times
names, limits     names and every bound

Formats: docs/FORMATS.md. This package imports nothing by itself.
"""
