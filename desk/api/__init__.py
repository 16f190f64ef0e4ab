"""
The REST API `/api/v1/`: sessions, executions, signals, schedules and switches, described at `/api/v1/openapi.json`.

Programs bring `Authorization: Bearer <token>`, the desk's own pages their login with a CSRF token. An error is
{"error": text, "problems": [{node, field, text}]} with a status that says whose fault it is.
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from desk.api import executions, operations, sessions
from desk.api.auth import by_login, by_token
from monitoring.controls import ControlError
from monitoring.intake import IntakeError
from monitoring.schedules import ScheduleError
from workflows.graph import BadGraph
from workflows.sessions import Conflict, NotFound, Refused

api = NinjaAPI(title="Candle Desk", version="1", description=__doc__ or "", urls_namespace="api", docs_url=None, auth=[by_token, by_login])
api.add_router("/sessions", sessions.router, tags=["sessions"])
api.add_router("/executions", executions.router, tags=["executions"])
api.add_router("", operations.router, tags=["operations"])

STATUS: dict[type[Exception], int] = {
    NotFound: 404,
    Conflict: 409,
    Refused: 422,
    BadGraph: 422,
    IntakeError: 422,
    ControlError: 422,
    ScheduleError: 409,
}


def _answer(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    problems = [problem.as_json() for problem in error.problems] if isinstance(error, BadGraph) else []
    return api.create_response(request, {"error": str(error), "problems": problems}, status=status)


for _kind in STATUS:
    api.add_exception_handler(_kind, _answer)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    problems = [{"node": "", "field": ".".join(str(part) for part in wrong["loc"]), "text": str(wrong["msg"])} for wrong in error.errors]
    text = "; ".join(f"{problem['field']}: {problem['text']}" for problem in problems[:5])
    return api.create_response(request, {"error": text, "problems": problems}, status=422)


@api.exception_handler(PermissionDenied)
def _denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return api.create_response(request, {"error": str(error) or "you may not", "problems": []}, status=403)


@api.exception_handler(AuthenticationError)
def _unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    response = api.create_response(request, {"error": "a token or a login is needed", "problems": []}, status=401)
    response["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(HttpError)
def _other(request: HttpRequest, error: HttpError) -> HttpResponse:
    return api.create_response(request, {"error": str(error), "problems": []}, status=error.status_code)
