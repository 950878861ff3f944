"""Getting in again without a receipt: a code to print, and the page where it is typed in."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.kit.access import BY_RECEIPT, FOR_ANYBODY
from app.kit.body import form_of
from app.kit.clock import micros
from app.kit.db import write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.ratelimit import whence
from app.kit.runtime import Runtime
from app.parties import recovery
from app.parties.auth import receipt_from, same_origin
from app.parties.recovery import Recovery
from app.revocations import guarding
from app.web.receipt_pages import set_cookie
from app.web.rendering import PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/r/recovery", dependencies=[BY_RECEIPT])
def ask_code(request: Request, session: ReadSessionDep) -> Response:
    """What a code is good for, and a button that makes one."""
    receipt = receipt_from(request, session)
    return page("recovery.html", made=recovery.made(session, receipt), whole=receipt.contribution_id is None)


@router.post("/r/recovery", dependencies=[BY_RECEIPT])
def make_code(request: Request, runtime: RuntimeDep) -> Response:
    """The code, shown this once; it is kept nowhere. Pressed again it is another, and this one ends."""
    same_origin(request)
    with write(runtime.engine) as session:
        receipt = receipt_from(request, session)
        code = recovery.make(session, runtime, receipt, now=runtime.clock.now())
    return page("recovery_code.html", code=recovery.written(code), recovered=False, address=_address(runtime))


@router.get("/r/recover", dependencies=[FOR_ANYBODY])
def ask_recover() -> Response:
    return page("recover.html")


@router.post("/r/recover", dependencies=[FOR_ANYBODY])
async def recover(request: Request, runtime: RuntimeDep) -> Response:
    """A code typed in: a new receipt in this browser, and a new code in place of this one."""
    form = await form_of(request)
    same_origin(request)
    code = recovery.typed(form.get("code", ""))  # a slip of the pen costs no try
    codes: Recovery = runtime.parts["recovery"]
    codes.limit.take(whence(request), micros(runtime.clock.now()))
    secret, following, removed = await run_in_threadpool(_recovered, runtime, codes, code)
    response = page("recovery_code.html", code=recovery.written(following), recovered=True, removed=removed, address=_address(runtime))
    set_cookie(runtime, response, secret)
    return response


def _recovered(runtime: Runtime, codes: Recovery, code: str) -> tuple[str, str, int]:
    now = runtime.clock.now()
    with write(runtime.engine) as session:
        secret, following, contributor, contribution = recovery.recover(session, runtime.keys, codes, code, now=now)
        # The last: it takes the log's head.
        return secret, following, guarding.remove_all(session, runtime, contributor, contribution, now=now)


def _address(runtime: Runtime) -> str:
    """Where a code is typed in, for the paper that it is printed on."""
    return f"{runtime.settings.public_url}/r/recover"
