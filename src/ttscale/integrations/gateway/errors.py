"""Errors as OpenAI's clients expect them: a status, and a body that names the parameter and says what to do.

It knows HTTP statuses and the library's exceptions; nothing of requests or servers.
"""

from __future__ import annotations

from typing import Any

from ttscale.core.errors import RoleError, TtscaleError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""``error.type`` by status, as OpenAI has them; others below 500 are invalid requests, the rest the server's fault."""


class ApiError(Exception):
    """A request that ends with an error: the status, what happened, and the parameter at fault."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, wait: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.wait = status, message, param, code, wait

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the reply."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After, where waiting helps."""
        return {} if self.wait is None else {"Retry-After": str(self.wait)}


def refused(param: str, message: str, code: str | None = None) -> ApiError:
    """A parameter that cannot be."""
    return ApiError(400, message, param=param, code=code)


def api_error(error: Exception, own_key: bool) -> ApiError | None:
    """The error of a search as a reply; None for one that is a bug in ttscale.

    ``own_key`` says that the upstream was asked with the client's own key, so that its 401 is the client's.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RoleError):
        return of_role(error, own_key)
    if isinstance(error, ValueError):  # MissingRoleError and BudgetError among them
        return ApiError(400, str(error))
    if isinstance(error, TtscaleError):
        return ApiError(500, str(error))
    return None


def of_role(error: RoleError, own_key: bool) -> ApiError:
    """What the upstream said, where it is the client's business; else 502."""
    cause: BaseException | None = error
    status = None
    while cause is not None and status is None:
        status, cause = getattr(cause, "status", None), cause.__cause__
    message = str(error)
    if status in (401, 403) and own_key:
        return ApiError(status, message, code="invalid_api_key" if status == 401 else None)
    if status in (400, 404, 413, 422):
        return ApiError(404 if status == 404 else 400, message)
    if status == 429:
        return ApiError(429, message, code="upstream_rate_limit", wait=1)
    return ApiError(502, message, code="upstream_error")
