"""Webhooks: durable cursors over the log whose events are sent to a URL. Soft state, not logged.

records     what the table DELIVERIES holds of them
webhooks    making, looking at and removing them; their secrets
deliveries  what came of each attempt; dead letters
"""
