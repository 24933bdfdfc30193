"""Golden bytes of docs/FORMATS.md, made once by another program from the document alone.

A test here that fails means that a format has changed: that is a new format with a new name.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from registry_core.domain import canonical, merkle
from registry_core.domain.checkpoint import Checkpoint
from registry_core.domain.entry import Entry, EntryType, LogRecord
from registry_core.domain.identifiers import ChunkId, Digest, ModelName, StageName
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.packs import (
    Location,
    PackName,
    decode_hint,
    encode_hint,
    pack_trailer,
    read_pack_index,
)
from registry_core.domain.policy import Policy, Root, StageRule
from registry_core.domain.stage import StageState
from registry_core.ledger.digest import scanned_digest
from registry_core.ledger.entries.stage_entries import stage_json
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.records import (
    ModelRecord,
    PointRecord,
    StageRecord,
    VersionRecord,
    decode,
    digest_key,
    encode,
    history_key,
    model_key,
    stage_key,
    version_key,
)
from registry_core.ledger.store import Table

TAG = bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
REGISTRY = "0f" * 16
FIRST, SECOND = Digest(b"\x11" * 32), Digest(b"\x22" * 32)
BODY = (
    '{"actor":"ann@host","after":{"name":"fraud"},"before":null,"reason":"für alle",'
    '"request_id":"r1","sequence":7,"subject":"model/fraud","time":1700000000123,'
    '"type":"model.created"}'
).encode()
FULL_HEAD = (
    "010000000000000007a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)
INNER_HASH = "2e854c40b180d1586eb5a0727549498366372ec407423e46ab042f96c9e0baeb"
REDACTED = f"020000000000000007a0a1a2a3a4a5a6a7a8a9aaabacadaeaf{INNER_HASH}"
LEAF_HASH = "4415f56682b08e225162d04cfad71f1fe6416ef709d06441f0adea3ca7b7f2e0"

CHUNK_A = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"  # of b"hello"
CHUNK_B = "aa71437b9139bce31ba6ade1155a021d0ecb88dca6f090fd89ea058da2a6700f"  # of b"cachd!"
FILE_SHA256 = "dd5c7d8df398e987562d486d9403db8bfe6c5279510c76519232f7c9b7156c20"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MANIFEST = (
    f'{{"files":[{{"chunks":[["{CHUNK_A}",5],["{CHUNK_B}",6]],"path":"a/w.bin",'
    f'"sha256":"{FILE_SHA256}","size":11}},{{"chunks":[],"path":"empty",'
    f'"sha256":"{EMPTY_SHA256}","size":0}}],"format":"cachd.manifest/1"}}'
).encode()
MANIFEST_DIGEST = "sha256:8cae16160a993f5da027fb9aebf0d61e0c3431d0adbab8df0ce5ef0393ea39dd"
CHUNK_ROOT = "fd11cd7f892239010d34f12885c9ded41b0495fef4f8ff3dbbd24ab8dfad1dbd"
PACK_TRAILER = f"{CHUNK_A}00000005{CHUNK_B}00000006000000024341434844504b31"
PACK = "a5c2fb2e490f66da300370d69b030d599b723f8eb7890c792a803ab0d2f4b2ec"
HINT = (
    f'{{"format":"cachd.packs/1","packs":[{{"chunks":[["{CHUNK_A}",0,5],["{CHUNK_B}",5,6]],'
    f'"pack":"{PACK}"}}]}}'
).encode()

PEM_1 = "-----BEGIN PUBLIC KEY-----\none\n-----END PUBLIC KEY-----\n"
PEM_2 = "-----BEGIN PUBLIC KEY-----\ntwo\n-----END PUBLIC KEY-----\n"
KEY_1 = "566926555484eb4c94163c9d261768f6e39f86513c8fa42f769dc38153b5fc4f"
KEY_2 = "d408e4dbe18e5b09454f56672d20a770062369ef40942c83fd644a1c36a291a5"
_PEM_JSON = r'"-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n"'
POLICY = (
    f'{{"format":"cachd.policy/1","keys":{{"{KEY_1}":{_PEM_JSON.format("one")},'
    f'"{KEY_2}":{_PEM_JSON.format("two")}}},"registry":"{REGISTRY}",'
    f'"roles":{{"promoter":["{KEY_1}","{KEY_2}"],"publisher":["{KEY_1}"]}},'
    '"rules":[{"model":"*","protected":true,"role":"promoter","stage":"*","threshold":2}]}'
).encode()
POLICY_DIGEST = "sha256:90b6cac6682bd63839189abd0f13e966809b09059d7255afbcf04144ea133c91"
ROOT = (
    f'{{"authority":{_PEM_JSON.format("two")},"format":"cachd.root/1",'
    f'"owners":{{"{KEY_1}":{_PEM_JSON.format("one")}}},"registry":"{REGISTRY}","threshold":1}}'
).encode()
ROOT_DIGEST = "sha256:e46b18abe3d5c12223c0e1b6565916dde997a27f07b9542f4ef3d2e1a6d5843b"
MOVE = (
    '{"_type":"https://in-toto.io/Statement/v1","predicate":{"generation":5,"model":"fraud",'
    f'"policy":"sha256:{"33" * 32}","previous":{{"digest":"sha256:{"11" * 32}","number":1}},'
    f'"registry":"{REGISTRY}","stage":"production",'
    f'"version":{{"digest":"sha256:{"22" * 32}","number":2}}}},'
    '"predicateType":"urn:cachd:move:v1",'
    f'"subject":[{{"digest":{{"sha256":"{"22" * 32}"}},"name":"fraud/2"}}]}}'
).encode()
TABLES_DIGEST = "sha256:0b928db7600b661905630b431c257ea7fadc23cf96b720bfe849b72833af54b6"

# RFC 6962: the inputs and roots that Certificate Transparency's own tests use.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def entry() -> Entry:
    return Entry(
        7, 1_700_000_000_123, "ann@host", EntryType.MODEL_CREATED, "model/fraud",
        None, {"name": "fraud"}, "für alle", "r1",
    )  # fmt: skip


def manifest() -> Manifest:
    chunks = (Chunk(ChunkId.parse_hex(CHUNK_A), 5), Chunk(ChunkId.parse_hex(CHUNK_B), 6))
    files = [
        ModelFile("empty", 0, bytes.fromhex(EMPTY_SHA256), ()),
        ModelFile("a/w.bin", 11, bytes.fromhex(FILE_SHA256), chunks),
    ]
    return Manifest.build(files)


def test_entry_body() -> None:
    assert entry().body() == BODY
    assert Entry.parse(BODY) == entry()


def test_full_record() -> None:
    record = LogRecord.seal(entry(), TAG, bytes(range(32)))
    assert record.encode() == bytes.fromhex(FULL_HEAD) + BODY
    assert record.inner_hash.hex() == INNER_HASH
    assert record.leaf_hash.hex() == LEAF_HASH
    assert LogRecord.decode(record.encode()) == record
    assert record.entry() == entry()


def test_redacted_record() -> None:
    redacted = LogRecord.seal(entry(), TAG, bytes(range(32))).redacted()
    assert redacted.encode().hex() == REDACTED
    assert redacted.leaf_hash.hex() == LEAF_HASH
    assert LogRecord.decode(bytes.fromhex(REDACTED)) == redacted


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_tree_roots(size: int) -> None:
    leaves = [merkle.leaf_hash(bytes.fromhex(text)) for text in LEAVES[:size]]
    assert merkle.root_of(leaves).hex() == ROOTS[size]


def test_checkpoint_text() -> None:
    checkpoint = Checkpoint(REGISTRY, 7, bytes.fromhex(INNER_HASH), 1_700_000_000_123)
    text = (
        f"cachd.registry/{REGISTRY}\n7\nLoVMQLGA0VhutaBydUlJg2Y3LsQHQj5GqwQvlsnguus=\n"
        "time 1700000000123\n"
    )
    assert checkpoint.text() == text
    assert Checkpoint.parse(text) == checkpoint


def test_manifest_digest_and_chunk_root() -> None:
    assert manifest().encoded == MANIFEST
    assert str(manifest().digest) == MANIFEST_DIGEST
    assert manifest().files[0].chunk_root.hex() == CHUNK_ROOT
    assert Manifest.parse(MANIFEST) == manifest()


def test_chunk_root_of_an_empty_file_is_that_of_the_empty_tree() -> None:
    assert manifest().files[1].chunk_root.hex() == EMPTY_SHA256


def test_pack_and_trailer() -> None:
    chunks = manifest().files[0].chunks
    assert pack_trailer(chunks).hex() == PACK_TRAILER
    pack = b"hellocachd!" + bytes.fromhex(PACK_TRAILER)
    assert read_pack_index(pack) == [(0, chunks[0]), (5, chunks[1])]


def test_hint() -> None:
    pack = PackName.parse_hex(PACK)
    first, second = (chunk.id for chunk in manifest().files[0].chunks)
    locations = {second: Location(pack, 5, 6), first: Location(pack, 0, 5)}
    assert encode_hint(locations) == HINT
    assert decode_hint(HINT) == locations


def test_move_statement() -> None:
    move = Move(
        REGISTRY, ModelName("fraud"), StageName("production"), 5,
        VersionPoint(2, SECOND), VersionPoint(1, FIRST), Digest(b"\x33" * 32),
    )  # fmt: skip
    assert move.statement() == MOVE
    assert Move.parse(MOVE) == move


def policy() -> Policy:
    return Policy(
        REGISTRY,
        {KEY_1: PEM_1, KEY_2: PEM_2},
        {"publisher": (KEY_1,), "promoter": (KEY_1, KEY_2)},
        (StageRule("*", "*", "promoter", 2, protected=True),),
    )


def test_policy() -> None:
    assert policy().encoded == POLICY
    assert str(policy().digest) == POLICY_DIGEST
    assert Policy.parse(POLICY) == policy()


def test_root() -> None:
    root = Root(REGISTRY, {KEY_1: PEM_1}, 1, PEM_2)
    assert root.encoded == ROOT
    assert str(root.digest) == ROOT_DIGEST
    assert Root.parse(ROOT) == root


MODEL_RECORD = ModelRecord("fraud", TAG.hex(), 1 << 20, 1, 1_700_000_000_123, 7)
VERSION_RECORD = VersionRecord(
    model="fraud", number=1, digest=str(FIRST), bytes=11, files=2, chunk_bytes=1 << 20,
    bundle="44" * 32, publisher=KEY_1, tags={"k": "v"}, notes="", created_ms=1_700_000_000_123,
    actor="ann", sequence=8,
)  # fmt: skip
STAGE_RECORD = StageRecord(
    "fraud", "production", 1, 0, PointRecord(1, str(FIRST)), None, 9, 9,
    1_700_000_000_123, "ann", "go",
)  # fmt: skip
MODEL_BYTES = (
    b'{"chunk_bytes":1048576,"created_ms":1700000000123,"last_number":1,"name":"fraud",'
    b'"sequence":7,"tag":"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"}'
)
VERSION_BYTES = (
    f'{{"actor":"ann","bundle":"{"44" * 32}","bytes":11,"chunk_bytes":1048576,'
    f'"created_ms":1700000000123,"digest":"sha256:{"11" * 32}","files":2,"model":"fraud",'
    f'"notes":"","number":1,"publisher":"{KEY_1}","sequence":8,"tags":{{"k":"v"}}}}'
).encode()
STAGE_BYTES = (
    '{"actor":"ann","changed_ms":1700000000123,"choice":0,"generation":1,"model":"fraud",'
    '"move_sequence":9,"previous":null,"reason":"go","sequence":9,"stage":"production",'
    f'"version":{{"digest":"sha256:{"11" * 32}","number":1}}}}'
).encode()


OUTCOME = (
    f'{{"choice":1,"generation":5,"previous":{{"digest":"sha256:{"11" * 32}","number":1}},'
    f'"version":{{"digest":"sha256:{"22" * 32}","number":2}}}}'
).encode()


def test_table_records() -> None:
    pairs = [(MODEL_RECORD, MODEL_BYTES), (VERSION_RECORD, VERSION_BYTES),
             (STAGE_RECORD, STAGE_BYTES)]  # fmt: skip
    split = structs.replace(STAGE_RECORD, split=50)
    pairs.append((split, STAGE_BYTES.replace(b'"stage"', b'"split":50,"stage"')))
    for record, golden in pairs:
        assert encode(record) == golden
        assert decode(type(record), golden) == record


def test_a_split_is_one_more_field_of_an_outcome() -> None:
    state = StageState(5, 1, VersionPoint(2, SECOND), VersionPoint(1, FIRST))
    assert canonical.encode(stage_json(state)) == OUTCOME
    split = replace(state, split=50)
    assert canonical.encode(stage_json(split)) == OUTCOME.replace(
        b'"version"', b'"split":50,"version"'
    )


def test_table_keys_and_digest() -> None:
    model, production = ModelName("fraud"), StageName("production")
    one = bytes(7) + b"\x01"
    assert model_key(model) == b"fraud"
    assert version_key(model, 1) == b"fraud\0" + one
    assert digest_key(model, FIRST) == b"fraud\0" + b"\x11" * 32
    assert stage_key(model, production) == b"fraud\0production"
    assert history_key(model, 7) == b"fraud\0" + bytes(7) + b"\x07"
    with MemoryStore().write() as txn:
        txn.put(Table.POLICY, b"current", POLICY)
        txn.put(Table.HISTORY, history_key(model, 7), b"model.created")
        txn.put(Table.STAGES, stage_key(model, production), STAGE_BYTES)
        txn.put(Table.DIGESTS, digest_key(model, FIRST), one)
        txn.put(Table.VERSIONS, version_key(model, 1), VERSION_BYTES)
        txn.put(Table.MODELS, model_key(model), MODEL_BYTES)
        txn.put(Table.LOG, b"not derived", b"and so not in the digest")
        assert str(scanned_digest(txn)) == TABLES_DIGEST
