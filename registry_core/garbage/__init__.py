"""What nobody needs any more goes from the origins; what somebody may need stays.

retention  which versions a model's rule lets go of
expiry     what ends by its age: such versions, and pushes that died
plan       which packs to condemn, to delete, to pardon. Pure
look       what the ledger and the hints in the origin refer to
documents  manifests, bundles and hints that deleted versions and dead pushes left
findings   all of that, and the report
origins    the origins of all regions, as one
turn       one run at a time
collect    a run, from retention to the last leftover
garbage    `Registry.garbage`

Why it is safe beside pushes: `registry_core.changes.garbage`. A run that is killed at any point
leaves condemned what it had condemned, and the next run goes on.
"""
