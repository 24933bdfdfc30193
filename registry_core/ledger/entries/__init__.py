"""What each type of log entry does to the tables, one module per aggregate. Called by `apply`.

registry_entries  registry.created, policy.set, state
model_entries     model.created, model.annotated
version_entries   version.registered, version.annotated, version.deleted
proposal_entries  move.proposed, move.approved, move.rejected
stage_entries     stage.moved, stage.chosen
garbage_entries   push.begun, push.ended, pack.condemned, pack.deleted
region_entries    region.added, region.removed, version.replicated, version.withdrawn
prefetch_entries  prefetch.asked
requests          which request an entry answered (idempotency)
require           refusing an entry that does not follow from the tables
"""
