"""Everything an operator can set, as `SAYSO_…` environment variables. Frozen; insecure values are refused at start."""

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.vocabulary import ACTIONS


class Settings(BaseSettings):
    """The service's settings. Raises `pydantic.ValidationError` where a value is missing, unknown or insecure."""

    model_config = SettingsConfigDict(env_prefix="SAYSO_", frozen=True, extra="forbid")

    environment: Literal["development", "production"] = Field(
        "development",
        description="Anything but development refuses plain http, open docs and SQLite shared by machines.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8000", description="Where people reach the service; also the OAuth issuer."
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty means SQLite in the data directory.")
    data_dir: Path = Field(Path("var"), description="Database, keys and blobs of the embedded defaults.")
    journal_dir: Path | None = Field(
        None,
        description="Second place of the narrowing journal, on another device, the same for all processes; empty: data_dir/journal.",
    )
    allow_one_failure_domain: bool = Field(
        False, description="Start outside development although journal and database are on one device."
    )
    epoch_days: int = Field(30, ge=1, le=90, description="Life of a key epoch: how often keys are wrapped anew.")
    backup_days: int = Field(
        30, ge=1, le=365, description="How long a backup can be restored; older epochs' keys are destroyed."
    )
    blob_url: str = Field("", description="obstore URL (s3://…, gs://…, az://…, file:///…); empty: data_dir/blobs.")
    log_origin: str = Field(
        "", description="Origin line of checkpoints (C2SP tlog-checkpoint); empty: from public_url."
    )
    witnesses: str = Field(
        "", description="C2SP tlog-policy file: which witnesses are asked, and the quorum to publish with."
    )
    hold_hours: int = Field(24, ge=0, le=24 * 90, description="Hold window before a record may first be released.")
    offer_days: int = Field(14, ge=1, le=90, description="How long an offer can be signed.")
    review_actions: str = Field("", description="Actions whose requests you look at before an offer, with commas: pretrain,distribute.")
    review_days: int = Field(14, ge=1, le=90, description="How long a request waits for your review; then it is refused.")
    acknowledge_days: int = Field(7, ge=1, le=90, description="How long a lab has to acknowledge a recall.")
    recall_batch_seconds: int = Field(3600, ge=1, le=86_400, description="Recalls are told in batches this far apart.")
    publish_interval_ms: int = Field(250, ge=10, le=1000, description="How often a new checkpoint is looked for.")
    ticket_minutes: int = Field(60, ge=1, le=60, description="Life of a delivery ticket.")
    token_minutes: int = Field(10, ge=1, le=60, description="Life of an access token.")
    require_dpop: bool | None = Field(
        None, description="Labs get only access tokens that are bound to a key (DPoP, RFC 9449); unset: yes, but not in development."
    )
    egress_exempt: str = Field(
        "", description="In development only: host:port, with commas, that labs' addresses may have though they are not public."
    )
    shard_bytes: int = Field(8_000_000, ge=1_000, description="Aim for the size of one shard file, in bytes.")
    cut_chunk: int = Field(2_000, ge=10, le=20_000, description="Rows read at a time while cutting.")
    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Largest request body.")
    max_record_bytes: int = Field(2 * 1024 * 1024, ge=1024, description="Largest single contribution.")
    job_poll_ms: int = Field(200, ge=20, le=5000, description="How often durable jobs are looked for.")
    trusted_proxies: str = Field(
        "", description="Addresses or networks of your TLS proxies, with commas: their X-Forwarded-For says from where somebody calls."
    )
    client_rate: int = Field(5_000, ge=1, description="Calls a second that one client may make to one process.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")

    @model_validator(mode="after")
    def _secure(self) -> Self:
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or self.public_url.endswith("/"):
            raise ValueError("public_url must be http(s)://host[:port][/path] without a slash at its end")
        if self.environment == "production":
            if parts.scheme != "https":
                raise ValueError("public_url must be https outside development")
            if self.egress_exempt:
                raise ValueError("egress_exempt is for development: outside it addresses of others must be public")
            if self.hold_hours < 1:
                raise ValueError("hold_hours must be at least 1 outside development")
            if self.recall_batch_seconds < 600:
                raise ValueError(
                    "recall_batch_seconds must be at least 600 outside development (small batches tell who)"
                )
        if self.database_url and not self.database_url.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("database_url must start with sqlite:/// or postgresql+psycopg://")
        if unknown := self.reviewed - set(ACTIONS):
            raise ValueError(f"review_actions: there is no action {', '.join(sorted(unknown))}")
        for one in self.proxies:
            # Whoever is believed can write any address; believing everybody is no limit at all.
            if ip_network(one).prefixlen == 0:
                raise ValueError("trusted_proxies: name the proxies' own addresses, not every address there is")
        if " " in self.log_origin or "+" in self.log_origin or "\n" in self.log_origin:
            raise ValueError("log_origin must have no space and no plus sign (C2SP tlog-checkpoint)")
        return self

    @property
    def only_bound_tokens(self) -> bool:
        """Whether labs get only tokens that are bound to a key, as FAPI 2.0 wants them."""
        return self.environment != "development" if self.require_dpop is None else self.require_dpop

    @classmethod
    def from_environment(cls, names: Iterable[str]) -> Self:
        """The settings of this process. Raises ValueError for a `SAYSO_…` name that is no setting: a typing error would
        otherwise leave the default in force, unnoticed."""
        unknown = [n for n in names if n.startswith("SAYSO_") and n[6:].lower() not in cls.model_fields]
        if unknown:
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
        return cls()

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'sayso.db').absolute()}"

    @property
    def reviewed(self) -> frozenset[str]:
        """The actions of `review_actions`."""
        return frozenset(one.strip() for one in self.review_actions.split(",") if one.strip())

    @property
    def proxies(self) -> list[str]:
        """The places of `trusted_proxies`."""
        return [one.strip() for one in self.trusted_proxies.split(",") if one.strip()]

    @property
    def exempt(self) -> frozenset[str]:
        """The places of `egress_exempt`."""
        return frozenset(one.strip() for one in self.egress_exempt.split(",") if one.strip())

    @property
    def journal(self) -> Path:
        """Where the narrowing journal is."""
        return self.journal_dir or self.data_dir / "journal"

    @property
    def origin(self) -> str:
        """The log's origin: the public URL without its scheme, unless set."""
        return self.log_origin or self.public_url.split("://", 1)[1] + "/v1/log"

    @property
    def development(self) -> bool:
        return self.environment == "development"
