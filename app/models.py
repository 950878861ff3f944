"""Imports every slice's tables once, so that Alembic and the tests see the whole schema."""

from sqlmodel import SQLModel

from app.agreements import models as agreements
from app.collectives import models as collectives
from app.collectives import recount_models as recounts
from app.collectives import thread_models as threads
from app.consents import models as consents
from app.contributions import hook_models as hooks
from app.contributions import import_models as imports
from app.contributions import models as contributions
from app.kit import idempotency
from app.log import models as log
from app.parties import models as parties
from app.releases import models as releases
from app.revocations import models as revocations

metadata = SQLModel.metadata

__all__ = [
    "agreements",
    "collectives",
    "consents",
    "contributions",
    "hooks",
    "idempotency",
    "imports",
    "log",
    "metadata",
    "parties",
    "recounts",
    "releases",
    "revocations",
    "threads",
]
