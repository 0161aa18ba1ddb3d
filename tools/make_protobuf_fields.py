"""Make lab/mesh_lab/kube/api/bodies/protobuf_fields.json.gz: the field numbers of the messages that clients may send.

    python tools/make_protobuf_fields.py kubernetes-protobuf-fields.json

The argument is `{message: {number: [name, label, type]}}`: label `O` is one, `R` repeated, `M` a map with string keys;
types are those of the present file. It may hold all of Kubernetes (older kubectls carry descriptors), or only the
messages of a new kind, as its `generated.proto` numbers them: the present file is added to. What is written is the part
that the kinds of `mesh_lab.kube.registry.kinds` and the bodies of their subresources reach.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "lab"))

from mesh_lab.kube.api.bodies.protobuf import FIELDS_FILE, META, UNKNOWN, message_name  # noqa: E402
from mesh_lab.kube.registry.kinds import RESOURCES  # noqa: E402

BODIES = (
    ("v1", "Binding"),
    ("apps/v1", "Scale"),
    ("autoscaling/v1", "Scale"),
    ("authentication.k8s.io/v1", "TokenRequest"),
    ("policy/v1", "Eviction"),
)
META_BODIES = ("DeleteOptions", "Status")

Fields = dict[str, dict[str, list[str]]]


def reach(everything: Fields) -> Fields:
    """The messages that a request may hold, with all they refer to."""
    names = [message_name(r.api_version, r.kind) for r in RESOURCES] + [message_name(*body) for body in BODIES]
    names += [META + kind for kind in META_BODIES] + [UNKNOWN]
    reached: Fields = {}
    while names:
        name = names.pop()
        if name in reached or name not in everything:
            continue
        reached[name] = everything[name]
        names += [kind for _, _, kind in everything[name].values() if len(kind) > 1]
    return dict(sorted(reached.items()))


def main() -> int:
    """Write the file; the exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: make_protobuf_fields.py kubernetes-protobuf-fields.json\n")
        return 2
    present = json.loads(gzip.decompress(FIELDS_FILE.read_bytes()))
    fields = reach({**present, **json.loads(Path(sys.argv[1]).read_text())})
    text = json.dumps(fields, separators=(",", ":")).encode()
    FIELDS_FILE.write_bytes(gzip.compress(text, 9, mtime=0))
    sys.stdout.write(f"{FIELDS_FILE.relative_to(ROOT)}: {len(fields)} messages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
