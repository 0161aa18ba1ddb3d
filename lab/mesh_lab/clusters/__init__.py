"""Where a lab runs. Each cluster brings itself up and yields a kubeconfig; nothing above knows more of it."""

from __future__ import annotations
