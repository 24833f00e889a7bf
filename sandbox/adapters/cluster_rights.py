"""What a service account may do, without what everyone may do anyway."""

from __future__ import annotations

from typing import Any

from sandbox.environment.kinds import right_line

_PUBLIC_URLS = frozenset(
    """/.well-known/openid-configuration /.well-known/openid-configuration/ /api /api/*
    /apis /apis/* /healthz /livez /openapi /openapi/* /openid/v1/jwks /openid/v1/jwks/
    /readyz /version /version/""".split()
)
"""What `system:discovery`, `system:public-info-viewer` and
`system:service-account-issuer-discovery` grant."""
_REVIEWS = frozenset(
    {
        "selfsubjectaccessreviews",
        "selfsubjectreviews",
        "selfsubjectrulesreviews",
    }
)


def rights_in(status: dict[str, Any]) -> list[str]:
    """Return the rights of a `SelfSubjectRulesReview`, sorted, in one line each.

    Args:
        status: Its status, as the API server answers it.
    """
    rules = status.get("resourceRules") or []
    urls = status.get("nonResourceRules") or []
    rights = {right_line(rule) for rule in rules if not _is_everyones(rule)}
    return sorted(rights | {line for rule in urls for line in _url_rights(rule)})


def _is_everyones(rule: dict[str, Any]) -> bool:
    return set(rule.get("resources") or []) <= _REVIEWS and rule["verbs"] == ["create"]


def _url_rights(rule: dict[str, Any]) -> list[str]:
    verbs = ",".join(sorted(rule["verbs"]))
    urls = rule.get("nonResourceURLs") or []
    public = _PUBLIC_URLS if verbs == "get" else frozenset()
    return [f"{verbs} {url}" for url in urls if url not in public]
