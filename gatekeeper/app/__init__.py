"""The composition root: the only place that builds objects from a Config. Called by ``gatekeeper.worker``."""

from gatekeeper.app.build import Gatekeeper, build

__all__ = ["Gatekeeper", "build"]
