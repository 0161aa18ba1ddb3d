"""Gateway: what a load balancer at the edge of the mesh listens to.

https://istio.io/latest/docs/reference/config/networking/gateway/
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mesh_lab.controlplane.model.base import Labels, Spec, UInt32

# SHA-256: of the key in base64, of the certificate in hexadecimal digits.
CertificateKey = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{43}=$")]
CertificateHash = Annotated[str, Meta(pattern="^([0-9a-fA-F]{64}|([0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2})$")]
OneOrTwo = Meta(min_length=1, max_length=2)  # certificates of a server: RSA, ECDSA or both
TLSVersion = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


class ServerPort(Spec, frozen=True):
    """A port that the gateway's Service exposes. `protocol`: HTTP, HTTPS, GRPC, HTTP2, TCP or TLS."""

    number: UInt32
    protocol: str
    name: str
    target_port: UInt32 = 0


class TLSCertificate(Spec, frozen=True):
    """A certificate and its key, in files of the gateway's."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLSSettings(Spec, frozen=True):
    """How TLS is ended here, or passed through; `credentialName` is a Secret beside the gateway's pod."""

    https_redirect: bool = False
    mode: Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] | None = (
        None
    )
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: Annotated[list[str], OneOrTwo] = []
    tls_certificates: Annotated[list[TLSCertificate], OneOrTwo] = []
    ca_cert_credential_name: str = ""
    subject_alt_names: list[str] = []
    verify_certificate_spki: list[CertificateKey] = []
    verify_certificate_hash: list[CertificateHash] = []
    min_protocol_version: TLSVersion | None = None
    max_protocol_version: TLSVersion | None = None
    cipher_suites: list[str] = []
    insecure_skip_verify: bool | None = None


class Server(Spec, frozen=True):
    """One port, the hosts served on it, and their TLS. A host may be `NAMESPACE/HOST`, `./HOST` or `*/HOST`."""

    port: ServerPort
    hosts: list[str]
    tls: ServerTLSSettings | None = None
    bind: str = ""
    default_endpoint: str = ""
    name: str = ""


class Gateway(Spec, frozen=True):
    """Servers on the pods that `selector` names, in any namespace."""

    servers: list[Server] = []
    selector: Labels = {}
