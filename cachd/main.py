"""The `cachd` command: one subcommand per daemon. Only here errors are printed and mapped to exit
codes; each daemon says on standard output, in one JSON line, when it is ready and where
(`cachd.running`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cachd.control.limits import SCRUB_DAYS_DEFAULT, TTL_S_DEFAULT, TTL_S_MAX, TTL_S_MIN
from cachd.limits import FETCH_THREADS, FETCH_THREADS_MAX
from cachd.listen import Address
from cachd.logs import configure_logs
from cachd.memory.settings import MemorySettings
from cachd.node.flip_options import FlipRulesByStage, flip_options
from cachd.node.grace import GRACE_S_DEFAULT, GRACE_S_MAX
from cachd.node.memory_options import memory_options
from cachd.running import run
from cachd.serve.host_errors import HostError
from cachd.service_manager import ServiceManager
from registry_core.errors import RegistryError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--log-level", default="info", show_default=True,
              type=click.Choice(["debug", "info", "warning", "error"]))  # fmt: skip
@click.version_option(package_name="cachd")
def cli(log_level: str) -> None:
    """The daemons of cachd: an authority owns a registry, a node serves models on a host."""
    configure_logs(log_level)


@cli.command()
@click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path),
    help="The registry that `cachctl init` made.",
)
@click.option("--listen", default="127.0.0.1:7420", show_default=True, help="HOST:PORT, loopback.")
@click.option(
    "--drain-s",
    default=0.0,
    show_default=True,
    help="When stopping, so long answer on, while /readyz says no.",
)
@click.option("--no-backup", is_flag=True, help="Do not keep the log a second time in the origin.")
@click.option(
    "--nats",
    envvar="CACHD_NATS",
    metavar="URL",
    help="Publish every event to JetStream here: nats://HOST:PORT.",
)
@click.option("--nats-stream", default="CACHD", show_default=True, help="Made if it is missing.")
def authority(
    home: Path, listen: str, drain_s: float, no_backup: bool, nats: str | None, nats_stream: str
) -> None:
    """Own a registry's ledger and serve its control API.

    \b
    Example:
      cachd authority --home ~/.cachd/registry
    """  # fmt: skip
    from cachd.authority.daemon import Authority
    from cachd.authority.delivery.settings import NatsSettings

    publish = NatsSettings(nats, nats_stream) if nats else None
    run(
        lambda: Authority(
            home, Address.parse(listen), drain_s=drain_s, backup=not no_backup, nats=publish
        )
    )


def node_options(command: click.decorators.FC) -> click.decorators.FC:
    """Options that `node` and `dev` share."""
    for option in (
        click.option("--scrub-days", default=SCRUB_DAYS_DEFAULT, show_default=True,
                     type=click.FloatRange(min=0),
                     help="Hash all of the cache again in so many days, slowly; 0: never."),
        click.option("--bulk-share", default="100%", show_default=True,
                     metavar="PERCENT%",
                     help="Of the time, for which each thread that stores, hashes or populates "
                     "versions works while workers answer requests: 20% spares small hosts."),
        click.option("--cache-quota", default="90%", show_default=True, metavar="SIZE|PERCENT%",
                     help="What the cache may take of the disk: 200GiB, or 80% of the filesystem."),
        click.option("--grace", "graces", multiple=True, metavar="NAME@STAGE=TIME",
                     help="Another grace for these stages: 'fraud@*=30m'; the first that matches."),
        click.option("--grace-s", default=GRACE_S_DEFAULT, show_default=True,
                     type=click.FloatRange(0, GRACE_S_MAX),
                     help="How long the previous version stays resident after a flip; 600 to 1800 "
                     "suit most models."),
        click.option("--serve", multiple=True, metavar="NAME@STAGE",
                     help="Keep this stage resident before any worker asks; * and ? match."),
        click.option("--run", "run_dir", type=click.Path(path_type=Path),
                     help="Socket and flip page.  [default: DATA/run]"),
        click.option("--data", required=True, type=click.Path(path_type=Path),
                     help="Cache and replica; must last."),
        click.option("--region", default="local", show_default=True),
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command()
@click.option("--name", help="Unique in the registry.  [default: the host's name]")
@click.option(
    "--authority",
    "authority_url",
    required=True,
    help="http://HOST:PORT; several with commas between.",
)
@click.option(
    "--root",
    "root_file",
    required=True,
    type=click.Path(path_type=Path),
    help="root.json of the registry: what this node trusts.",
)
@click.option(
    "--listen",
    default="127.0.0.1:7421",
    show_default=True,
    help="Where peers fetch chunks; HOST:PORT, loopback or in a trusted network.",
)
@click.option(
    "--trust-network",
    "trust_networks",
    multiple=True,
    metavar="CIDR",
    help="Chunks may travel in plain here: all who reach this network may read the models.",
)
@click.option(
    "--max-upload",
    metavar="RATE",
    help="Of chunks to peers, all connections together: 800mbit, 2gbit.  [default: no limit]",
)
@click.option(
    "--max-download",
    metavar="RATE",
    help="Of chunks from peers and origins, likewise.  [default: no limit]",
)
@click.option(
    "--upload-slots",
    type=click.IntRange(FETCH_THREADS, FETCH_THREADS_MAX),
    help="Chunks given to peers at once on request.  [default: 6, more on links above 10 Gbit/s]",
)
@click.option(
    "--congestion-control",
    default="",
    metavar="NAME",
    help="TCP's between peers, for example cubic or bbr.  [default: the kernel's choice]",
)
@click.option("--zone", default="", help="What fails together within the region: rack, room.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NODE=HOST:PORT",
    help="A node to ask for chunks besides those that the authority names; may be repeated.",
)
@click.option(
    "--peers-dns",
    multiple=True,
    metavar="NAME",
    help="Peers are the targets of this name's SRV records, such as _cachd._tcp.example.internal; "
    "may be repeated.",
)
@click.option(
    "--dns-server",
    metavar="HOST:PORT",
    help="Ask this server for --peers-dns.  [default: those of /etc/resolv.conf]",
)
@click.option(
    "--mdns",
    metavar="INTERFACE,...",
    help="Announce this node on the local network, and find peers there; names of interfaces, or "
    "addresses on them.",
)
@click.option(
    "--allow-uid",
    "allow_uids",
    multiple=True,
    metavar="UID=NAME@STAGE,...",
    help="Only processes of these users may attach, to these stages; * and ? match; may be "
    "repeated.  [default: all that can open the socket]",
)
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="STAGE=DIR",
    help="Keep DIR/<model>/<number> of what this stage serves, for Triton or TF Serving; may be "
    "repeated.",
)
@click.option(
    "--api",
    metavar="HOST:PORT",
    help="Answer reads from this node's replica, and relay the log, here.",
)
@click.option(
    "--relay",
    "relays",
    default="",
    metavar="URL",
    help="Follow the log from the API of another node; several with commas between. "
    "Without them, or while none answers, from the authority.",
)
@click.option(
    "--ttl-s",
    default=TTL_S_DEFAULT,
    show_default=True,
    type=click.FloatRange(TTL_S_MIN, TTL_S_MAX),
    help="A replica that has heard nothing for so long says that it is stale.",
)
@memory_options
@flip_options
@node_options
def node(
    name: str | None,
    authority_url: str,
    root_file: Path,
    listen: str,
    trust_networks: tuple[str, ...],
    max_upload: str | None,
    max_download: str | None,
    upload_slots: int | None,
    congestion_control: str,
    zone: str,
    peers: tuple[str, ...],
    peers_dns: tuple[str, ...],
    dns_server: str | None,
    mdns: str | None,
    allow_uids: tuple[str, ...],
    repositories: tuple[str, ...],
    region: str,
    data: Path,
    run_dir: Path | None,
    serve: tuple[str, ...],
    grace_s: float,
    graces: tuple[str, ...],
    memory: MemorySettings,
    bulk_share: str,
    cache_quota: str,
    scrub_days: float,
    flip_rules: FlipRulesByStage,
    api: str | None,
    relays: str,
    ttl_s: float,
) -> None:
    """Keep models resident on this host and serve them to its workers.

    \b
    Example:
      cachd node --authority http://127.0.0.1:7420 --root root.json \\
          --data /var/lib/cachd --run /run/cachd --serve 'minilm@production'
    """  # fmt: skip
    from cachd.cache.quota import Quota
    from cachd.discovery.mdns_interfaces import parse_interfaces
    from cachd.node.allow_uid import allowed_uids
    from cachd.node.bulk_options import bulk_path, parse_share
    from cachd.node.config import NodeConfig, node_name
    from cachd.node.daemon import Node
    from cachd.node.grace import Grace, GraceRule
    from cachd.node.repository import RepositoryPlace
    from cachd.node.stage_pattern import StagePattern
    from cachd.peer.directory import PeerAddress, place_name
    from cachd.peer.trusted import TrustedNetworks

    config = NodeConfig(
        name=node_name(name),
        region=region,
        zone=place_name(zone, "zone"),
        peers=tuple(PeerAddress.parse(text) for text in peers),
        peers_dns=peers_dns,
        dns_server=Address.parse_any(dns_server) if dns_server else None,
        mdns=parse_interfaces(mdns),
        authority_url=authority_url,
        root_file=root_file,
        data=data,
        run=run_dir or data / "run",
        listen=Address.parse_any(listen),
        trusted=TrustedNetworks.parse(trust_networks),
        bulk=bulk_path(
            Address.parse_any(listen),
            max_upload=max_upload,
            max_download=max_download,
            upload_slots=upload_slots,
            congestion_control=congestion_control,
        ),
        bulk_share=parse_share(bulk_share),
        allowed=allowed_uids(allow_uids),
        repositories=tuple(RepositoryPlace.parse(text) for text in repositories),
        serve=tuple(StagePattern.parse(text) for text in serve),
        grace=Grace(grace_s, tuple(GraceRule.parse(text) for text in graces)),
        memory=memory,
        cache_quota=Quota.parse(cache_quota),
        scrub_s=scrub_days * 86_400,
        flip_rules=flip_rules,
        api=Address.parse(api) if api else None,
        relays=relays,
        ttl_s=ttl_s,
    )
    service = ServiceManager.from_environment(os.environ)
    run(lambda: Node(config, service), service)


@cli.command()
@click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path),
    help="The registry that `cachctl init` made.",
)
@click.option("--listen", default="127.0.0.1:7420", show_default=True, help="Of the control API.")
@memory_options
@flip_options
@node_options
def dev(
    home: Path,
    listen: str,
    region: str,
    data: Path,
    run_dir: Path | None,
    serve: tuple[str, ...],
    grace_s: float,
    graces: tuple[str, ...],
    memory: MemorySettings,
    bulk_share: str,
    cache_quota: str,
    scrub_days: float,
    flip_rules: FlipRulesByStage,
) -> None:
    """An authority and a node in one process, for a laptop.

    \b
    Example:
      cachd dev --home ~/.cachd/registry --data ~/.cachd/node --serve '*@*'
    """  # fmt: skip
    from cachd.cache.quota import Quota
    from cachd.dev import Dev
    from cachd.node.bulk_options import parse_share
    from cachd.node.grace import Grace, GraceRule
    from cachd.node.stage_pattern import StagePattern

    patterns = tuple(StagePattern.parse(text) for text in serve)
    grace = Grace(grace_s, tuple(GraceRule.parse(text) for text in graces))
    run(
        lambda: Dev(
            home, Address.parse(listen), region=region, data=data, run=run_dir or data / "run",
            serve=patterns, grace=grace, memory=memory, flip_rules=flip_rules,
            cache_quota=Quota.parse(cache_quota), scrub_s=scrub_days * 86_400,
            bulk_share=parse_share(bulk_share),
        )
    )  # fmt: skip


def main() -> None:
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except (RegistryError, HostError) as error:
        sys.stderr.write(f"cachd: {error}\n")
        sys.exit(8)


if __name__ == "__main__":
    main()
