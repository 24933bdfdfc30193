"""What nodes report, and the desired and observed version of each stage per node."""

from __future__ import annotations

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, model_of
from cachd.authority.fleet import Fleet
from cachd.control.reports import NodeReport, NodesBody, ReportAnswer
from registry_core.domain.identifiers import NodeId
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput


class FleetApi:
    def __init__(self, control: EmbeddedControl, fleet: Fleet) -> None:
        self._control = control
        self._fleet = fleet

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/models/{model}/status", self.status,
                      "Desired and observed version per node", None),
            Operation("GET", "/v1/nodes", self.nodes,
                      "What nodes report", NodesBody),
            Operation("PUT", "/v1/nodes/{node}", self.report,
                      "A node reports; the answer names its peers", ReportAnswer, NodeReport),
        ]  # fmt: skip

    async def status(self, request: web.Request) -> web.StreamResponse:
        model = model_of(request)
        return answer(self._fleet.status(model.text, list(self._control.stages(model))))

    async def nodes(self, request: web.Request) -> web.StreamResponse:
        return answer(NodesBody(self._fleet.nodes()))

    async def report(self, request: web.Request) -> web.StreamResponse:
        node = NodeId.parse(request.match_info["node"])
        report = await body_of(request, NodeReport)
        if report.node != node.text:
            raise InvalidInput(f"the report is of {report.node!r:.80}, not of {node}")
        return answer(self._fleet.take(node, report))
