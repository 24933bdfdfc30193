"""Log entries as CloudEvents 1.0 (JSON format), for whoever consumes them. Pure.

id       the entry's sequence in the registry's log: unique per source, and a cursor
source   urn:cachd:registry:<registry id>
type     io.cachd.… below; entries that are the registry's own business are no events
subject  as in the log: model/NAME/stage/production
data     sequence, actor, reason, request_id, before, after, and what they are about in plain fields
         (model, stage, version, digest, generation, choice, split, region) where there are any.
         Signatures are left out: the entry has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry_core.domain.entry import Entry, EntryType
from registry_core.domain.stage import point_in_force
from registry_core.errors import InvalidInput

PREFIX = "io.cachd."
EVENT_TYPES = {
    EntryType.REGISTRY_CREATED: "io.cachd.registry.created",
    EntryType.POLICY_SET: "io.cachd.registry.policy.set",
    EntryType.MODEL_CREATED: "io.cachd.model.created",
    EntryType.MODEL_ANNOTATED: "io.cachd.model.annotated",
    EntryType.VERSION_REGISTERED: "io.cachd.model.version.registered",
    EntryType.VERSION_ANNOTATED: "io.cachd.model.version.annotated",
    EntryType.VERSION_DELETED: "io.cachd.model.version.deleted",
    EntryType.MOVE_PROPOSED: "io.cachd.model.move.proposed",
    EntryType.MOVE_APPROVED: "io.cachd.model.move.approved",
    EntryType.MOVE_REJECTED: "io.cachd.model.move.rejected",
    EntryType.STAGE_MOVED: "io.cachd.model.stage.moved",
    EntryType.STAGE_CHOSEN: "io.cachd.model.stage.chosen",
    EntryType.REGION_ADDED: "io.cachd.registry.region.added",
    EntryType.REGION_REMOVED: "io.cachd.registry.region.removed",
    EntryType.VERSION_REPLICATED: "io.cachd.model.version.replicated",
    EntryType.VERSION_WITHDRAWN: "io.cachd.model.version.withdrawn",
    EntryType.PREFETCH_ASKED: "io.cachd.model.prefetch.asked",
    EntryType.VERSION_PINNED: "io.cachd.model.version.pinned",
    EntryType.VERSION_UNPINNED: "io.cachd.model.version.unpinned",
    EntryType.EPOCH_OPENED: "io.cachd.registry.epoch.opened",
}
TYPES_MAX = 32


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events whose type begins with any of `types` (all, if there are none) and, if `model` is
    given, that are about it."""

    types: tuple[str, ...] = ()
    model: str = ""

    @classmethod
    def parse(cls, types: Sequence[str], model: str) -> EventFilter:
        """Types may leave out `io.cachd.`; one that no event begins with is refused."""
        full = tuple(one if one.startswith(PREFIX) else PREFIX + one for one in types)
        if len(full) > TYPES_MAX:
            raise InvalidInput(f"types: at most {TYPES_MAX} are named")
        for one in full:
            if not any(known.startswith(one) for known in EVENT_TYPES.values()):
                raise InvalidInput(
                    f"types: no event is a {one!r:.80}: there are {', '.join(EVENT_TYPES.values())}"
                )
        return cls(full, model)

    def wants(self, entry: Entry) -> bool:
        kind = EVENT_TYPES.get(entry.type)
        if kind is None or (self.types and not kind.startswith(self.types)):
            return False
        about = f"model/{self.model}"
        return not self.model or entry.subject == about or entry.subject.startswith(about + "/")


def event_of(registry: str, entry: Entry) -> dict[str, Any]:
    """The event that an entry is. KeyError for one that is none."""
    return {
        "specversion": "1.0",
        "id": str(entry.sequence),
        "source": f"urn:cachd:registry:{registry}",
        "type": EVENT_TYPES[entry.type],
        "subject": entry.subject,
        "time": _time(entry.time_ms),
        "datacontenttype": "application/json",
        "data": {
            "sequence": entry.sequence,
            "actor": entry.actor,
            "reason": entry.reason,
            "request_id": entry.request_id,
            **_about(entry),
            "before": _unsigned(entry.before),
            "after": _unsigned(entry.after),
        },
    }


def _time(time_ms: int) -> str:
    seconds, rest = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def _about(entry: Entry) -> dict[str, Any]:
    """Model, stage, version or region from the subject; what came into force, from the entry."""
    parts = entry.subject.split("/")
    shown: dict[str, Any] = {parts[0]: parts[1]} if len(parts) > 1 else {}
    if len(parts) == 4 and parts[2] == "version":
        shown["version"] = int(parts[3])
    if len(parts) == 4 and parts[2] == "stage":
        shown["stage"] = parts[3]
    after = entry.after if isinstance(entry.after, dict) else {}
    if entry.type in (EntryType.STAGE_MOVED, EntryType.STAGE_CHOSEN):
        chosen = point_in_force(after)
        shown |= {"version": chosen["number"], "digest": chosen["digest"]}
        shown |= {"generation": after["generation"], "choice": after["choice"]}
        if after.get("split"):
            shown["split"] = {"per_mille": after["split"], "version": after["version"]["number"]}
    elif entry.type is EntryType.VERSION_REGISTERED:
        shown["digest"] = after["digest"]
    return shown


def _unsigned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if name != "envelope"}
    return value
