"""A push from end to end: scan, hash, deduplicate, upload, sign, register.

Nothing is registered before every byte it names is in the origin, so a push that dies leaves at
most packs that nobody refers to, which the next push of the same files finds and uses, or gc
removes. It is announced before it looks for what it can use again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry_core.changes.garbage import Push
from registry_core.changes.versions import VersionDraft
from registry_core.control.protocol import Control
from registry_core.domain import limits
from registry_core.domain.chunking import chunk_bytes_for
from registry_core.domain.identifiers import ChunkId, Digest, ModelName
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Location, Locations, PackName, decode_hint, encode_hint
from registry_core.domain.policy import PUBLISHER
from registry_core.errors import IntegrityError, InvalidInput, NotFound, Unauthorized
from registry_core.ledger.change import Change
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.push.announce import pushed
from registry_core.push.hashing import build_manifest
from registry_core.push.progress import Progress
from registry_core.push.scan import scan_directory
from registry_core.push.upload import Uploader
from registry_core.trust.keys import SigningKey
from registry_core.trust.oms import sign_version, verify_version

_SIBLINGS = 8  # versions whose chunks a push looks for before it uploads its own


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did. `created` is False when the model had these files already."""

    version: VersionRecord
    created: bool
    bytes_total: int
    bytes_new: int
    bytes_uploaded: int


def push_directory(
    control: Control,
    origin: Origin,
    publisher: SigningKey,
    directory: Path,
    model: ModelName,
    *,
    tags: Mapping[str, str],
    notes: str,
    fields: Mapping[str, Any],
    change: Change,
    progress: Progress,
) -> PushReport:
    """Push the files below `directory` as the next version of `model`."""
    _check_words(tags, notes)
    files = scan_directory(directory)
    record = control.find_model(model)
    total = sum(file.size for file in files)
    chunk_bytes = (record.chunk_bytes if record else 0) or chunk_bytes_for(total)
    manifest = build_manifest(files, chunk_bytes, progress)
    existing = control.find_version(model, manifest.digest) if record else None
    if existing is not None:
        return PushReport(existing, False, manifest.size, 0, 0)

    uploader = Uploader(origin, manifest, files, progress)

    def work(push: Push) -> PushReport:
        known = _known_chunks(control, origin, model, manifest, push) if record else {}
        fresh = [chunk for chunk in manifest.unique_chunks.values() if chunk.id not in known]
        locations = known | uploader.upload(fresh, push.condemned)
        bundle = _put_documents(control, origin, publisher, model, manifest, locations)
        draft = VersionDraft(
            model,
            manifest.digest,
            Digest.of(bundle),
            chunk_bytes,
            dict(tags),
            notes,
            fields,
            push.id,
        )
        registered, created = control.register(draft, change)
        new = sum(chunk.length for chunk in fresh)
        return PushReport(registered, created, manifest.size, new, uploader.bytes_uploaded)

    return pushed(control, model, manifest.digest, change, work)


def _put_documents(
    control: Control,
    origin: Origin,
    publisher: SigningKey,
    model: ModelName,
    manifest: Manifest,
    locations: Locations,
) -> bytes:
    """Manifest, bundle and hint; the bundle that the origin now holds."""
    origin.put(manifest_key(manifest.digest), manifest.encoded)
    publishers = control.policy().keys_of(PUBLISHER)
    signed = sign_version(manifest, str(model), publisher)
    bundle = _put_bundle(origin, manifest, publishers, signed)
    origin.put(hint_key(manifest.digest), encode_hint(locations))
    return bundle


def _put_bundle(
    origin: Origin, manifest: Manifest, publishers: Mapping[str, str], bundle: bytes
) -> bytes:
    """The bundle that the origin now holds for `manifest`: the first that was put there.

    Other models' versions of the same files name it by its hash, and no two signatures are alike,
    so one that counts is used again and never replaced.
    """
    key = bundle_key(manifest.digest)
    if origin.put_new(key, bundle):
        return bundle
    found = origin.get(key, bytes_max=limits.BUNDLE_MAX)
    try:
        verify_version(found, manifest, publishers)
    except (InvalidInput, IntegrityError, Unauthorized):
        origin.put(key, bundle)
        return bundle
    return found


def _known_chunks(
    control: Control, origin: Origin, model: ModelName, manifest: Manifest, push: Push
) -> dict[ChunkId, Location]:
    """Where chunks of this manifest lie already, by the hints of the model's newest versions.

    A pack that the origin has lost, or is about to, is not counted on: its chunks are uploaded
    again.
    """
    known: dict[ChunkId, Location] = {}
    sizes: dict[PackName, int] = {}
    for version in control.versions(model, newest=_SIBLINGS):
        try:
            key = hint_key(Digest.parse(version.digest))
            hint = decode_hint(origin.get(key, bytes_max=limits.HINT_MAX))
        except NotFound:
            continue
        for chunk in manifest.unique_chunks.values():
            place = hint.get(chunk.id)
            if place is None or place.length != chunk.length or chunk.id in known:
                continue
            if place.pack in push.condemned:
                continue
            if place.pack not in sizes:
                sizes[place.pack] = origin.size(pack_key(place.pack)) or 0
            if place.offset + place.length <= sizes[place.pack]:
                known[chunk.id] = place
    return known


def _check_words(tags: Mapping[str, str], notes: str) -> None:
    if len(tags) > limits.TAGS_MAX:
        raise InvalidInput(f"{len(tags)} tags are more than the {limits.TAGS_MAX} of a version")
    for key, value in tags.items():
        if not 1 <= len(key) <= limits.TAG_KEY_CHARS_MAX or not key.isascii():
            raise InvalidInput(f"tag key {key!r:.80} is empty, too long or not ASCII")
        if len(value) > limits.TAG_VALUE_CHARS_MAX:
            raise InvalidInput(f"the value of tag {key!r} is longer than allowed")
    if len(notes) > limits.NOTES_CHARS_MAX:
        raise InvalidInput(f"notes are longer than {limits.NOTES_CHARS_MAX} characters")
