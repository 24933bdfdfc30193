"""Peers that nobody listed: found in DNS, or on the local network.

admission        what keeps an entry from becoming a peer
dns_lookup       one lookup: SRV, TXT and addresses of a name
dns_finder       a name asked again when its answer has run out
mdns_interfaces  the addresses of the interfaces that were chosen
mdns_record      a node as DNS-SD describes it
mdns_finder      announcing this node, and hearing of others

Imports cachd.peer. Event loop only; `found` of a finder may be read from any thread.
dnspython and zeroconf are imported when they are used: `pip install 'cachd[discovery]'`.
"""
