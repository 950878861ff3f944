"""`create_app(settings)`: the one place that knows every router, every long-lived helper and every job."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.agreements import review
from app.agreements.refusal_routes import router as refusal_routes
from app.agreements.router import router as agreements
from app.agreements.thread_routes import router as lab_threads
from app.collectives import eligibility, pledging, terms, voting
from app.collectives.campaign_routes import router as campaigns
from app.collectives.dissent_routes import router as dissent
from app.collectives.exchange_routes import router as exchange
from app.collectives.recount_routes import router as recounts
from app.collectives.router import router as collectives
from app.collectives.thread_routes import router as threads
from app.consents import service as consents_service
from app.consents.policies import PolicyBook
from app.consents.router import router as consents
from app.consents.site_key_routes import router as site_keys
from app.consents.widget_routes import router as widget
from app.consents.wording_routes import router as wordings
from app.contributions.committer import Committer
from app.contributions.hook_routes import router as hook_routes
from app.contributions.hooks import Hooks, forget_refused
from app.contributions.intake import Intake
from app.contributions.receipt_routes import router as receipts
from app.contributions.router import hot_handlers
from app.contributions.router import router as contributions
from app.crypto.keyring import KeyRing
from app.kit import access, domains, problems
from app.kit.blobs import Blobs
from app.kit.body import BodyLimit
from app.kit.clock import Clock, SystemClock
from app.kit.db import is_sqlite, make_engine
from app.kit.edge import Edge
from app.kit.egress import Egress
from app.kit.garbage import settle
from app.kit.hot import hot
from app.kit.housekeeping import Housekeeper
from app.kit.idempotency import forget_old
from app.kit.jobs import Jobs
from app.kit.journal import Journal
from app.kit.logs import configure
from app.kit.migrate import at_head, upgrade
from app.kit.pagination import Cursors
from app.kit.ratelimit import RateLimit
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.log import guard
from app.log.pruning import prune
from app.log.publisher import Publisher
from app.log.router import router as log
from app.parties import applying, delegating, epochs, jwks
from app.parties import service as parties_service
from app.parties.auth import TokenCache
from app.parties.claims import Claims
from app.parties.lab_routes import router as lab_routes
from app.parties.links import console_links, console_sessions, intake_links, operator_links, operator_sessions
from app.parties.recovery import Recovery
from app.parties.router import router as parties
from app.releases import labels
from app.releases import service as releases
from app.releases.router import router as release_routes
from app.revocations import (
    amending,
    availability,
    beside,
    compensation,
    completion,
    convening,
    deadlines,
    deletions,
    disputing,
    eviction,
    pushing,
    recalls,
    replay,
    striking,
    voided,
    webhooks,
)  # fmt: skip
from app.revocations.call_routes import router as calls
from app.revocations.compensation_routes import router as compensation_routes
from app.revocations.deletion_routes import router as deletion_routes
from app.revocations.objection_routes import router as objections
from app.revocations.push_routes import router as push
from app.revocations.report_routes import router as reports
from app.revocations.router import router as revocations
from app.revocations.webhook_routes import router as webhook_routes
from app.web.act_pages import router as act_pages
from app.web.amendment_pages import router as amendment_pages
from app.web.call_pages import router as call_pages
from app.web.campaign_pages import router as campaign_pages
from app.web.collective_home_pages import router as collective_home_pages
from app.web.collective_public_pages import router as collective_public_pages
from app.web.comment_pages import router as comment_pages
from app.web.dissent_pages import router as dissent_pages
from app.web.everything import router as everything
from app.web.finding_pages import router as finding_pages
from app.web.intake_pages import intake_pages
from app.web.lab_pages import console
from app.web.lab_pages import router as lab_pages
from app.web.lab_thread_pages import router as lab_thread_pages
from app.web.note_pages import router as note_pages
from app.web.object_pages import router as object_pages
from app.web.operator_pages import router as operator_pages
from app.web.pages import pages
from app.web.passkey_pages import router as passkey_pages
from app.web.pay_pages import router as pay_pages
from app.web.proposal_pages import router as proposal_pages
from app.web.public_pages import router as public_pages
from app.web.receipt_pages import router as receipt_pages
from app.web.recovery_pages import router as recovery_pages
from app.web.some_pages import router as some_pages
from app.web.story_pages import router as story_pages
from app.web.strike_pages import router as strike_pages
from app.web.testimony_pages import testimony_pages
from app.web.thread_pages import router as thread_pages
from app.web.widget_pages import widget_pages

ROUTERS = (
    parties, lab_routes, consents, wordings, site_keys, widget, contributions, hook_routes, receipts, collectives, dissent, campaigns, threads,
    exchange, recounts, agreements, lab_threads, refusal_routes, release_routes, deletion_routes, revocations, calls, objections, reports,
    compensation_routes, push, webhook_routes, log, pages, public_pages, object_pages, finding_pages, some_pages, story_pages, act_pages,
    everything, recovery_pages, pay_pages, passkey_pages, collective_public_pages, collective_home_pages, proposal_pages, dissent_pages,
    thread_pages, comment_pages, amendment_pages, note_pages, campaign_pages, strike_pages, call_pages, receipt_pages, intake_pages, testimony_pages,
    widget_pages, console, lab_pages, lab_thread_pages, operator_pages,
)  # fmt: skip


class Service(FastAPI):
    """The application, with the few paths that are met before the framework."""

    hot: dict[str, ASGIApp]
    """POST address -> application"""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = self.hot.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if first is not None:
            await first(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The description, with what opens each operation."""
        if self.openapi_schema is None:
            access.described(super().openapi(), _routes(), "/v1/oauth/token")
        return super().openapi()


def make_runtime(settings: Settings, clock: Clock | None = None) -> Runtime:
    """Engine, keys, blobs and jobs of a service; nothing runs yet. Raises KeysMissing."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = make_engine(settings.database)
    journal = Journal(settings.journal)
    engine.sayso_journal = journal  # type: ignore[attr-defined]  # where the hook of kit/journal.py finds it
    # Keys are made for a new service only: one whose keys were lost must not start to answer as somebody new.
    keys = KeyRing(settings.data_dir / "keys", create=not _has_history(engine))
    runtime = Runtime(
        settings, engine, clock or SystemClock(), keys, Blobs.at(settings.blob_url, settings.data_dir), Jobs(settings), journal,
        egress=Egress(settings.exempt),
    )  # fmt: skip
    book = PolicyBook(engine, make_engine(settings.database, pool_size=2, overflow=2))
    runtime.parts = {
        "policies": book, "intake": Intake(keys, book, settings.max_record_bytes), "claims": Claims(keys), "recovery": Recovery(keys),
        "cursors": Cursors(keys.derive("cursor")), "tokens": TokenCache(), "rates": RateLimit(settings.client_rate),
        "choosing": RateLimit(10, burst=10, advice="Wait a moment, then choose again."),
        "choosing_all": RateLimit(500, advice="Many choose here just now. Wait a moment, then choose again."),
        "publisher": Publisher(runtime), "committer": Committer(runtime), "hooks": Hooks(runtime),
        "intake_links": intake_links(keys), "console_links": console_links(keys), "console_sessions": console_sessions(keys),
        "operator_links": operator_links(keys), "operator_sessions": operator_sessions(keys),
    }  # fmt: skip
    runtime.parts["hooks"].revoke = deletions.revoke_deleted
    runtime.jobs.handle(
        "cut", lambda release: releases.cut(runtime, release), lambda release: releases.fail(runtime, release)
    )
    runtime.jobs.handle("recall", lambda agreement: recalls.open_batch(runtime, agreement))
    runtime.jobs.handle("overdue", lambda recall: deadlines.look(runtime, recall))
    runtime.jobs.handle("deletion", lambda release: deadlines.look_at_deletion(runtime, release))
    runtime.jobs.handle("report", lambda agreement: deadlines.look_at_report(runtime, agreement))
    runtime.jobs.handle("review", lambda request: review.lapse(runtime, request))
    runtime.jobs.handle("amend", lambda agreement: amending.amend(runtime, agreement))
    runtime.jobs.handle("compensate", lambda release: compensation.draw_up(runtime, release))
    runtime.jobs.handle("sweep", lambda act: releases.sweep(runtime, act))
    runtime.jobs.handle("erase", lambda erasure: completion.complete(runtime, erasure), waits=True)  # for readers
    runtime.jobs.handle("label", lambda outcome: labels.relabel(runtime, outcome))
    runtime.jobs.handle("objections", lambda release: labels.label_objections(runtime, release))
    runtime.jobs.handle("deadline", lambda proposal: voting.advance(runtime, proposal))
    runtime.jobs.handle("asked", lambda proposal: review.take_up(runtime, proposal))
    runtime.jobs.handle("steward", lambda membership: terms.look(runtime, membership))
    runtime.jobs.handle("strike", lambda strike: striking.carry_out(runtime, strike))
    runtime.jobs.handle("voided", lambda proposal: voided.tell_holders(runtime, proposal))
    runtime.jobs.handle("disputed", lambda proposal: disputing.publish(runtime, proposal))
    runtime.jobs.handle("campaign", lambda campaign: striking.resolve(runtime, campaign))
    runtime.parts["beside"] = beside.beside
    runtime.parts["wrapped"] = [epochs.OthersKeys("campaign", pledging.carry_on, pledging.under)]
    runtime.parts["evictor"] = eviction.Evictor(runtime)
    runtime.parts["completing"] = threading.Lock()
    runtime.parts["pusher"] = pushing.Pusher(runtime)
    runtime.parts["sender"] = webhooks.Sender(runtime)
    chores = {
        "idempotency": forget_old, "assertions": parties_service.forget_assertions, "refused": forget_refused,
        "portals": parties_service.forget_portal_sessions,
        "tokens": parties_service.forget_revoked_tokens, "applications": applying.forget_old,
        "events": webhooks.forget_old, "intents": consents_service.forget_intents, "eligibility": eligibility.forget_old,
        "calls": convening.forget_old,
    }  # fmt: skip
    housekeeper = runtime.parts["housekeeper"] = Housekeeper(runtime, chores)
    housekeeper.errands = {
        "availability": lambda now: availability.tell_all(runtime, now),
        "recalls": lambda now: recalls.open_forgotten(runtime, now),
        "reviews": lambda now: review.lapse_forgotten(runtime, now),
        "overdue": lambda now: deadlines.look_for_forgotten(runtime, now),
        "sweep": lambda now: releases.sweep(runtime, ""),
        "erase": lambda now: completion.take_up_forgotten(runtime, now),
        "campaigns": lambda now: striking.take_up_forgotten(runtime, now),
        "terms": lambda now: terms.take_up_forgotten(runtime, now),
        "deadlines": lambda now: voting.take_up_forgotten(runtime, now),
        "disputes": lambda now: disputing.take_up_forgotten(runtime, now),
        "labels": lambda now: labels.take_up_forgotten(runtime, now),
        "voided": lambda now: voided.take_up_forgotten(runtime, now),
        "keys": lambda now: jwks.look_at_all(runtime, now),
        "delegated": lambda now: delegating.end_due(runtime, now),
        "epochs": lambda now: epochs.keep_up(runtime, now),
        "tiles": lambda now: prune(runtime, now),
    }
    runtime.parts["roll"] = replay.RollForward(runtime)
    housekeeper.watch = {"journal": runtime.parts["roll"].look, "tokens": lambda: runtime.parts["tokens"].look(runtime)}
    runtime.health = {"database": lambda: _database(runtime), "log": runtime.parts["publisher"].health}
    runtime.notes = {
        "journal": lambda: domains.told(runtime), "narrowing": runtime.parts["roll"].told, "keys": lambda: epochs.due(runtime),
        "witnesses": runtime.parts["publisher"].notice,
    }  # fmt: skip
    return runtime


def _has_history(engine: sa.Engine) -> bool:
    """Whether anything was ever logged in this database."""
    if not sa.inspect(engine).has_table("log_head"):
        return False
    with engine.execution_options(sayso_read=True).connect() as connection:
        return bool(connection.execute(sa.text("SELECT size FROM log_head")).scalar())


def start(runtime: Runtime) -> None:
    """Migrate (SQLite) or check the schema (PostgreSQL), look whether the database is where its second place says, do what was
    noted there and not committed, then begin recording and working. Raises RuntimeError where it must not start."""
    settings = runtime.settings
    if is_sqlite(runtime.engine):
        upgrade(settings.database)
    elif not at_head(runtime.engine):
        raise RuntimeError("the database is not at the newest migration: run `python -m app migrate`")
    domains.insist_on_two(runtime)
    domains.insist_on_durable(runtime)
    if (why := guard.set_back(runtime)) is not None:
        structlog.get_logger("sayso").critical("log.set-back", why=why)
        guard.freeze(runtime)
    runtime.parts["publisher"].start()  # looks once, and closes the log where what was signed is not what is stored
    if runtime.parts["publisher"].health() is None:
        runtime.parts["roll"].look()
        epochs.know(runtime)
    runtime.parts["tokens"].look(runtime)
    runtime.jobs.start(runtime.engine)
    runtime.parts["evictor"].start()
    runtime.parts["pusher"].start()
    runtime.parts["sender"].start()
    runtime.parts["committer"].start()
    runtime.parts["housekeeper"].start()


def stop(runtime: Runtime) -> None:
    """Finish what was accepted, then end."""
    runtime.parts["pusher"].stop()
    runtime.parts["sender"].stop()
    runtime.parts["housekeeper"].stop()
    runtime.parts["committer"].stop()
    runtime.parts["publisher"].stop()
    runtime.parts["evictor"].stop()
    runtime.jobs.stop()
    runtime.engine.dispose()
    runtime.parts["policies"].close()


def create_app(settings: Settings, clock: Clock | None = None) -> FastAPI:
    """The service as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure(settings.log_level)
        await run_in_threadpool(start, runtime)
        settle()
        yield
        await run_in_threadpool(stop, runtime)

    runtime = make_runtime(settings, clock)
    app = Service(
        title="Sayso", version="0.1.0", lifespan=lifespan, openapi_url="/openapi.json" if settings.development else None,
        docs_url=None, redoc_url=None, responses=problems.RESPONSES,
        description="Consent, policy and signed, auditable release for the people who evaluate language models.",
    )  # fmt: skip
    app.state.runtime = runtime
    problems.install(app)
    access.insist(_routes())
    for router in ROUTERS:
        app.include_router(router)
    _health_routes(app, runtime)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    log_requests = settings.log_level in ("debug", "info")
    app.add_middleware(Edge, log_requests=log_requests)
    app.hot = {
        path: Edge(hot(handler, settings.max_body_bytes), log_requests) for path, handler in hot_handlers(runtime).items()
    }
    return app


def _routes() -> list[Any]:
    return [route for router in ROUTERS for route in router.routes]


def _health_routes(app: FastAPI, runtime: Runtime) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        wrong, notes = runtime.state()
        return JSONResponse(
            {"status": "ready" if not wrong else "not ready", "checks": wrong, "notes": notes}, 200 if not wrong else 503
        )


def _database(runtime: Runtime) -> str | None:
    try:
        with runtime.engine.execution_options(sayso_read=True).connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except sa.exc.SQLAlchemyError:
        return "the database does not answer"
    return None
