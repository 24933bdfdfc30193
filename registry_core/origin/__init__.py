"""Object storage of a region, through obstore: `file://` now, S3, GCS and Azure by URL.

layout       which object has which key
store        Origin: bounded reads, durable writes, errors translated
conditions   writing an object unless there is one, whatever the store keeps
patience     how long a request is tried again
credentials  what to set where a store finds none
fallback     an origin, and another behind it

An origin is trusted with nothing: whatever is read is verified by its digest or chunk id.
"""
