"""Which elements the types of FHIR R4B have, from the models of fhir.resources."""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from fhir.resources.R4B import get_fhir_model_class

SUBJECTS = ("Patient", "Encounter", "Observation", "DocumentReference", "Condition", "Procedure")
"""The resources that say something of a stay or its patient."""


@cache
def elements(type: str) -> Mapping[str, str]:
    """Return the elements of a type by name, each with the name of its own type; empty: a plain value.

    Raises:
        ValueError: there is no such type.
    """
    try:
        model = get_fhir_model_class(type)
    except ValueError:
        raise ValueError(f"FHIR R4B has no {type}") from None
    fields = {one.alias or name: one for name, one in model.model_fields.items() if not name.endswith("__ext")}
    return {name: _type(one.annotation) for name, one in fields.items() if name != "fhir_comments"}


def is_resource(type: str) -> bool:
    """Tell whether a type is one of resources, and not of the data in them.

    Raises:
        ValueError: there is no such type.
    """
    return {"meta", "implicitRules"} <= elements(type).keys()


def _type(annotation: Any) -> str:
    """Return the type of an element: the library annotates with an abstract class of its name, ``Type`` behind it."""
    name = getattr(annotation, "__name__", "")
    if getattr(annotation, "__module__", "") == "abc" and name.endswith("Type"):
        return str(name.removesuffix("Type"))
    return next(filter(None, map(_type, get_args(annotation))), "")
