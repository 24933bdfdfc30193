"""Delivery: events to webhooks and to NATS JetStream, by one authority of those that share a store.

delivery        who delivers, and the tasks that do
lease           whether it is this authority
worker          one webhook: its events in order, each at least once
outcome         what follows from an answer: done, again, given up, disabled. Pure
message         an event as a signed request
sender          one HTTP exchange
addresses       where nobody may connect to
nats_publisher  every event to a JetStream stream
event_log       waiting for events
threads         the store's reads and writes, off the event loop
settings        times and counts
"""
