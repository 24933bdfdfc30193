"""Changes: what a commit appends to the log, for each thing that people do. Over a Draft.

versions   register, annotate and delete versions
models     create and annotate models
stages     moves and choices, several at once if need be
approvals  propose, approve and reject moves
garbage    pushes that began and ended, packs condemned and deleted
regions    regions, what their origins hold, what their nodes are to bring
"""
