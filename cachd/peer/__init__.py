"""Peers: who is there, who has what, and chunks moving between them.

directory   a peer's address, and how it is written
protocol    the bytes on the wire: hello, requests, responses
server      gives chunks of this node's cache to peers, by sendfile from threads
reception   one thread that accepts whoever comes, and hears what they want
requests    what a peer asks for, taken as it comes
connection  one accepted connection of the server
offers      what this node claims and pushes, for all who follow it
feed        what one follower of a version is sent
feed_loop   one thread that feeds all followers
poller      epoll that any thread can wake, for loops over many connections
poll_thread the thread of such a loop
peer_socket one connection to a peer, whatever it is used for
client      takes chunks from a peer, bounded in time and memory whatever the peer does
following   one that a peer is followed over: made and asked without waiting
hearing     what a followed peer sends, taken as it comes
trusted     the networks on which chunks travel in plain
bitmaps     bitmaps over the chunks of a version
errors      what can go wrong with a peer

Format: docs/FORMATS.md, "Peer protocol". Imports cachd.cache. No event loop anywhere here.
"""
