"""Where a lab runs. Each cluster brings itself up and yields a kubeconfig; the layers above use nothing else of it."""

from __future__ import annotations
