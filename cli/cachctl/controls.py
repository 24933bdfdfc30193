"""Commands that need a registry of one kind: embedded, or behind an authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_core.errors import InvalidInput

if TYPE_CHECKING:
    from cachd.control.remote import RemoteControl
    from registry_core.embedded.control import EmbeddedControl
    from registry_core.registry import Registry


def embedded_control(registry: Registry) -> EmbeddedControl:
    from registry_core.embedded.control import EmbeddedControl

    if not isinstance(registry.control, EmbeddedControl):
        raise InvalidInput("this registry is not embedded")
    return registry.control


def remote_control(registry: Registry) -> RemoteControl:
    from cachd.control.remote import RemoteControl

    if not isinstance(registry.control, RemoteControl):
        raise InvalidInput("this registry is not behind an authority")
    return registry.control
