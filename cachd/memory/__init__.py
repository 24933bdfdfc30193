"""Versions in memory: how much there may be, which give way, and the bytes themselves.

machine     how much memory there is, control groups respected
budget      how much of it versions may take, as an operator says it
standing    why a version is in memory, and the policy for who gives way
admission   PURE: whether a version fits, and what has to give way for it
locking     whether this process may lock memory
numa        pages spread over the nodes of a machine that has several
held        the files of a version, mapped, populated, locked, measured
fill        bring the bytes in, hashed on their way
settings    what an operator says
form        where programs find them: the cache's own files, or a tmpfs
tmpfs       the tmpfs: mounted, adopted after a crash, cleaned
mounts      the system calls for it
"""
