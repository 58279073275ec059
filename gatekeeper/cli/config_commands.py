"""``gatekeeper config``: the effective configuration, its JSON Schema, a commented file and the reference."""

from __future__ import annotations

import argparse
import json

from gatekeeper.config.load import LoadedConfig
from gatekeeper.config.show import as_data, as_yaml
from gatekeeper.config.template import reference, schema, template


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group to the command line."""
    group = subparsers.add_parser("config", help="the configuration and its documentation")
    commands = group.add_subparsers(dest="config_command", required=True, metavar="COMMAND", title="commands")
    summary = "the values in force, secrets masked, with the source of each"
    show = commands.add_parser("show", help=summary, description=summary)
    show.add_argument("--json", action="store_true", help="JSON with the members file, config and sources")
    show.set_defaults(run=run)
    summary = "the JSON Schema of config.yaml, for editors"
    schema_parser = commands.add_parser("schema", help=summary, description=summary)
    schema_parser.set_defaults(run=run_schema, needs_config=False)
    summary = "a commented config.yaml with every key at its default"
    template_parser = commands.add_parser("template", help=summary, description=summary)
    template_parser.add_argument("--markdown", action="store_true", help="the reference, docs/config.md, instead")
    template_parser.set_defaults(run=run_template, needs_config=False)


def run(args: argparse.Namespace, loaded: LoadedConfig) -> int:
    """``config show``."""
    if args.json:
        print(json.dumps(as_data(loaded), indent=2))
    else:
        print(as_yaml(loaded), end="")
    return 0


def run_schema(args: argparse.Namespace, loaded: LoadedConfig | None) -> int:
    """``config schema``."""
    print(json.dumps(schema(), indent=2))
    return 0


def run_template(args: argparse.Namespace, loaded: LoadedConfig | None) -> int:
    """``config template``."""
    print(reference() if args.markdown else template(), end="")
    return 0
