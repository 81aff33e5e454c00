"""Pages for administrators."""

from __future__ import annotations

from typing import Protocol

from starlette.routing import Route

from tagwright_web.views.admin import audit, health, models, operations, tags, uploads, users
from tagwright_web.visits import View


class _Routed(Protocol):
    def __call__(self, path: str, view: View, *, admin: bool = ...) -> Route: ...


def routes(get: _Routed, post: _Routed) -> list[Route]:
    """Return every address below /admin; each is for administrators alone."""
    return [
        get("/admin", health.show, admin=True),
        post("/admin/try", health.try_model, admin=True),
        get("/admin/users", users.show_all, admin=True),
        post("/admin/users", users.create, admin=True),
        get("/admin/users/account", users.show, admin=True),
        post("/admin/users/account", users.change, admin=True),
        get("/admin/uploads", uploads.show, admin=True),
        post("/admin/uploads/archive", uploads.begin, admin=True),
        get("/admin/uploads/{id}", uploads.show_one, admin=True),
        post("/admin/uploads/{id}", uploads.change, admin=True),
        get("/admin/operations", operations.show_all, admin=True),
        post("/admin/operations", operations.begin, admin=True),
        get("/admin/operations/{id}", operations.show, admin=True),
        post("/admin/operations/{id}", operations.change, admin=True),
        get("/admin/tags", tags.show, admin=True),
        post("/admin/tags", tags.change, admin=True),
        get("/admin/models", models.show, admin=True),
        get("/admin/audit", audit.show, admin=True),
    ]
