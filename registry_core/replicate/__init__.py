"""Versions from the home region's origin to that of another region, verified.

load         what of a version is to be in an origin, and what of it is there
carry        packs and documents, carried over one by one
replication  versions in turn: announced, looked at, carried over, recorded

An origin gets no more trust than a peer: every pack is held against its name and every chunk of the
version against its id while it is copied. What is there already is not copied again, so a copying
that was cut off goes on where it was. Packs come first, then hint and bundle, the manifest last:
where there is a manifest, there is all of the version.
"""
