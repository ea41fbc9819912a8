"""`python -m holdfast_metanode --config FILE`: one metadata member."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from holdfast_kvstore.errors import ConfigInvalid
from holdfast_metanode.config import load_config
from holdfast_metanode.daemon import run


def main() -> int:
    """Reads the arguments and runs the daemon; its exit status."""
    parser = argparse.ArgumentParser(
        prog="holdfast metanode", description="One member of Holdfast's metadata cluster."
    )
    parser.add_argument("--config", type=Path, required=True, help="TOML file of this member")
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config)
    except ConfigInvalid as error:
        print(f"holdfast metanode: {error.message}", file=sys.stderr)
        return 2
    return run(config)


if __name__ == "__main__":
    sys.exit(main())
