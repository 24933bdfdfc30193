"""The control API as seen by its clients.

documents   JSON bodies <-> records, shared with the authority
problems    registry errors <-> RFC 9457 problem documents, shared with the authority
http        a small blocking HTTP client with deadlines
remote      Control over HTTP; `connect` gives a Registry
"""
