"""Turn a template and a few chosen values into a policy."""

from collections.abc import Mapping
from typing import Any

from app.core.constraints import parse_day
from app.core.policy import Policy, PolicyError, parse_policy
from app.core.vocabulary import ATTRIBUTION_MODES, COUNTRIES

_PLACE = "$parameter"
_DROPPED = object()


def render_template(template: Mapping[str, Any], parameters: Mapping[str, Any]) -> Policy:
    """The policy of a template with its parameters filled in.

    Args:
        template: an object as in `policies/templates/`; `parameters` there gives each name a `type` and a `default`.
        parameters: values by name; null or absence takes the default. A constraint whose value is null is left out.
    Raises:
        PolicyError: policy_unknown_parameter, policy_missing_parameter, policy_bad_parameter (each with what is
            known), and whatever `parse_policy` finds in the result, as policy_never_permits for an end before a start.
    """
    specs: Mapping[str, Mapping[str, Any]] = template["parameters"]
    for name in parameters:
        if name not in specs:
            raise PolicyError("policy_unknown_parameter", f"no parameter {str(name)[:80]!r}", f"/{name}", sorted(specs))
    values = {name: _chosen(name, spec, parameters.get(name)) for name, spec in specs.items()}
    return parse_policy(_filled(template["policy"], values))


def _chosen(name: str, spec: Mapping[str, Any], value: Any) -> Any:
    if value is None:
        if "default" not in spec:
            raise PolicyError("policy_missing_parameter", f"{name} must be given", f"/{name}")
        value = spec["default"]
    return None if value is None else _CHECKS[spec["type"]](name, value)


def _attribution(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in ATTRIBUTION_MODES:
        raise PolicyError("policy_bad_parameter", f"{name} is one of the known modes", f"/{name}", ATTRIBUTION_MODES)
    return value


def _day(name: str, value: Any) -> str:
    try:
        return parse_day(value).isoformat()
    except (TypeError, ValueError) as error:
        raise PolicyError("policy_bad_parameter", f"{name} is a day written YYYY-MM-DD", f"/{name}") from error


def _countries(name: str, value: Any) -> list[str]:
    if (
        not isinstance(value, list | tuple)
        or not value
        or not all(isinstance(v, str) and v in COUNTRIES for v in value)
    ):
        message = f"{name} is a list of country codes (ISO 3166-1 alpha-2)"
        raise PolicyError("policy_bad_parameter", message, f"/{name}", sorted(COUNTRIES))
    return sorted(set(value))


_CHECKS = {"attribution": _attribution, "day": _day, "countries": _countries}


def _filled(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        if set(node) == {_PLACE}:
            value = values[node[_PLACE]]
            return _DROPPED if value is None else value
        filled = {key: _filled(below, values) for key, below in node.items()}
        return _DROPPED if filled.get("rightOperand") is _DROPPED else filled
    if isinstance(node, list):
        return [below for below in (_filled(item, values) for item in node) if below is not _DROPPED]
    return node
