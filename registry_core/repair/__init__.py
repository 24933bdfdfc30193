"""Is everything in the origin that live versions need, and if not: from where can it come back?

packs    what packs hold, as far as it must be read to be sure
look     what a version lacks
sources  where lost bytes may still be
heal     put back what a version lacks
check    all versions in order, looked at and healed
telling  how far that is

Nothing that a source gives is used before it is verified. Whatever is put back has the name and the
bytes that it had, except hints, which say where chunks lie now.
"""
