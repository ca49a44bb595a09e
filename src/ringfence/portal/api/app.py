# SPDX-License-Identifier: Apache-2.0
"""The application of the API, to be mounted at `/api/v1`.

Outside in: who calls (`Gate`), the whole body (`WholeBody`), repeated changes (`Once`), then routes that each
name one right. It serves no pages, so no script of anyone else either.
"""

import asyncio
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware

from ringfence.portal.api import (
    alarms,
    audit,
    cdrs,
    exports,
    gateways,
    groups,
    lists,
    live,
    live_calls,
    node,
    parameters,
    phones,
    reports,
    route_explain,
    route_states,
    routes,
    tokens,
    trace,
    users,
    vos,
    webhooks,
)
from ringfence.portal.api.access import Gate
from ringfence.portal.api.errors import CODES, take_errors
from ringfence.portal.api.idempotency import Once, WholeBody
from ringfence.portal.exports import ExportJobs
from ringfence.portal.office import Office

VERSION: Final = "1"

_ROUTERS: Final = (
    cdrs.router,
    reports.router,
    exports.router,
    trace.router,
    lists.router,
    live_calls.router,
    gateways.router,
    # Before `routes`, which would take the word for an id.
    route_states.router,
    routes.router,
    groups.router,
    route_explain.router,
    phones.router,
    parameters.router,
    alarms.router,
    webhooks.router,
    users.router,
    tokens.router,
    audit.router,
    node.router,
    live.router,
    vos.router,
)


def create_api(office: Office, *, jobs: ExportJobs, wait: live.Wait = asyncio.sleep) -> FastAPI:
    """The application over an office and its exports; `wait` is how a live stream lets a second pass.

    Shape: a caller that outer middleware has put into `scope["state"]["caller"]` may read without a token.
    """
    codes = "\n".join(f"- `{name}` ({code.status}): {code.meaning}" for name, code in CODES.items())
    app = FastAPI(
        title="Ringfence",
        version=VERSION,
        summary="Call records, reports, lists, gateways, routing, phones, alarms of a Ringfence node.",
        description=f"Every error has one shape, `ErrorAnswer`, and one of these codes:\n\n{codes}",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Gate, office=office),
            Middleware(WholeBody),
            Middleware(Once, office=office),
        ],
    )
    app.state.office = office
    app.state.jobs = jobs
    app.state.live = live.Live(office, wait)
    take_errors(app)
    for router in _ROUTERS:
        app.include_router(router)
    return app
