"""One frozen configuration object, read once in a composition root.

Every field can be set by an environment variable `SANDBOX_<FIELD>`, for example
`SANDBOX_HOME`. Nothing else in the product reads the environment.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where state lies and which servers are used."""

    model_config = SettingsConfigDict(
        env_prefix="SANDBOX_", frozen=True, use_attribute_docstrings=True
    )

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_state_dir("regulatory-sandbox"))
    )
    """All state lies under this directory; removing it removes everything."""
    servers: Path | None = None
    """A directory of ready binaries; looked at before the cache and before building."""
    temporal: str = ""
    """HOST:PORT of an existing Temporal server; empty starts one on this machine."""
    temporal_namespace: str = "sandbox"
    """Temporal namespace of the workflows; made when it does not exist."""
    context: str = ""
    """kubeconfig context of an existing cluster; empty uses the node of this machine.

    The current context is never used by itself.
    """
    kubeconfig: Path | None = None
    """kubeconfig file; the local node's when empty, the default one with `context`."""
    database: str = ""
    """SQLAlchemy URL of the records; empty is a SQLite file under `home`."""
    recorder_host: str = "127.0.0.1"
    """Address the recorder listens on; the local node replaces it by its own side."""
    recorder_http_port: int = 4318
    recorder_grpc_port: int = 4317
    recorder_admin_port: int = 14318
    """Loopback port on which workers ask the recorder to close a segment."""
    load_source: str = ""
    """CIDR the load comes from; empty is this machine's side of the local node."""
    images: dict[str, str] = Field(default_factory=dict)
    """Image name → digest, for an existing cluster that holds them already.

    `regulatory-sandbox` names this product's own image, and may be `NAME@sha256:…`.
    """
    audit_log: Path | None = None
    """File of the API server's audit log (JSON lines), where this machine can read it.

    Drift is then recorded with who made the change. Empty is the local node's own.
    """
    warm: int | None = Field(None, ge=0, le=50)
    """Environments that are kept proven and empty, for trials to claim.

    Not set, the pool of the installation stays as it is.
    """
    segment_seconds: float = 10.0
    """A segment is closed after this many seconds."""
    segment_bytes: int = 64 * 1024 * 1024
    """A segment is closed when its raw file reaches this size."""
    s3_endpoint: str = ""
    """URL of an S3-compatible store that evidence is pushed to; empty is AWS's own."""
    s3_region: str = "us-east-1"
    """Region that requests to the store are signed for."""
    s3_access_key: SecretStr = SecretStr("")
    """Access key of the store; empty looks where every S3 client does (`AWS_…`)."""
    s3_secret_key: SecretStr = SecretStr("")
    """Secret key that belongs to the access key; never shown."""
    tsa_url: str = ""
    """URL of a time-stamping authority (RFC 3161) for checkpoints; empty asks none."""
    tsa_chain: Path | None = None
    """PEM file of the certificates above the authority's own; kept with each token."""
    query_memory_mib: int = Field(1024, ge=64)
    """Memory one engine may use for a question about spans, in MiB."""
    query_threads: int = Field(0, ge=0)
    """Threads one engine may use for it; 0 is one for each core."""
    log_level: str = "INFO"

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in use."""
        return self.database or f"sqlite:///{self.home / 'records.sqlite3'}"

    @property
    def evidence_dir(self) -> Path:
        """Segments of every trial lie here, one folder each."""
        return self.home / "evidence"

    @property
    def derived_dir(self) -> Path:
        """Files derived from evidence lie here; removing them loses nothing."""
        return self.home / "derived"
