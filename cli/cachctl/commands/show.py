"""`cachctl show`: a model, or one version of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from cachctl.output import emit_json, emit_line, emit_table, size_text, time_text
from cachctl.stage_output import serves, stage_json
from cachctl.target import Settings, with_settings
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.errors import IntegrityError
from registry_core.origin.layout import manifest_key

if TYPE_CHECKING:
    from registry_core.ledger.records import VersionRecord
    from registry_core.registry import Registry


@click.command(name="show")
@click.argument("reference", metavar="NAME|REF")
@click.option("--newest", default=20, show_default=True, type=click.IntRange(1, 1000))
@with_settings
def command(settings: Settings, reference: str, newest: int) -> None:
    """Show a model (NAME): stages and versions; or a version (NAME/3, NAME@STAGE): its files.

    \b
    Examples:
      cachctl show minilm
      cachctl show minilm/2
      cachctl show minilm@production --json
    """
    with settings.open(readonly=True) as registry:
        if "/" in reference.removeprefix("models:/") or "@" in reference:
            _show_version(registry, reference, as_json=settings.as_json)
        else:
            _show_model(registry, reference, newest, as_json=settings.as_json)


def _show_model(registry: Registry, name: str, newest: int, *, as_json: bool | None) -> None:
    versions, stages = registry.versions(name, newest=newest), registry.stages(name)
    if as_json:
        emit_json(
            {
                "model": name,
                "stages": [stage_json(stage) for stage in stages],
                "versions": [_version_json(version) for version in versions],
            }
        )
        return
    emit_table(
        f"{name}: stages",
        ["stage", "serves", "guard", "previous", "changed", "by", "why"],
        (
            (
                stage.stage,
                serves(stage),
                str(stage.guard),
                str(stage.previous.number) if stage.previous else "-",
                time_text(stage.changed_ms),
                stage.actor,
                stage.reason,
            )
            for stage in stages
        ),
    )
    emit_table(
        f"{name}: versions",
        ["version", "size", "files", "pushed", "by", "tags", "digest"],
        (
            (
                str(version.number),
                size_text(version.bytes),
                str(version.files),
                time_text(version.created_ms),
                version.actor,
                " ".join(f"{key}={value}" for key, value in version.tags.items()),
                version.digest,
            )
            for version in versions
        ),
    )


def _show_version(registry: Registry, reference: str, *, as_json: bool | None) -> None:
    version = registry.resolve(reference).version
    manifest = _manifest(registry, Digest.parse(version.digest))
    if as_json:
        files = [
            {"path": f.path, "size": f.size, "sha256": f.sha256.hex(), "chunks": len(f.chunks)}
            for f in manifest.files
        ]
        emit_json(_version_json(version) | {"file_list": files})
        return
    emit_line(f"{version.model}/{version.number} {version.digest}")
    emit_line(f"pushed {time_text(version.created_ms)} by {version.actor}")
    for key, value in version.tags.items():
        emit_line(f"tag {key}={value}")
    if version.notes:
        emit_line(version.notes)
    emit_table(
        "",
        ["file", "size", "chunks", "sha256"],
        ((f.path, size_text(f.size), str(len(f.chunks)), f.sha256.hex()) for f in manifest.files),
    )


def _manifest(registry: Registry, digest: Digest) -> Manifest:
    data = registry.origin.get(manifest_key(digest), bytes_max=limits.MANIFEST_MAX)
    actual = Digest.of(data)
    if actual != digest:
        raise IntegrityError(
            "the manifest in the origin is damaged: `cachctl verify` says what else is",
            expected=str(digest),
            actual=str(actual),
        )
    return Manifest.parse(data)


def _version_json(version: VersionRecord) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(version)
    return shown
