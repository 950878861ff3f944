"""The languages of the deed: one module each, named by its BCP 47 tag, that brings a `CATALOG`. A new file is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from app.core.deeds.catalog import Catalog

CATALOGS: dict[str, Catalog] = {
    found.name.replace("_", "-"): import_module(f"{__name__}.{found.name}").CATALOG
    for found in iter_modules(__path__)
    if found.name != "catalog"
}
