"""The pure part of searching versions.

filter      `tags.team = 'fraud' AND metrics.auc >= 0.93`, parsed
fields      what can be asked for: fields, their types, and what may be done with them
order       `metrics.auc DESC, name`
match       whether a version answers a term
like        patterns with % and _
query_text  what a filter, an order or a list of fields must be before it is parsed
page_token  where a page ended
field_mask  which fields an answer shows
sortable    values as bytes that sort alike, for index keys
"""
