"""The pages: one module for each noun, each with the routes of its pages."""

from __future__ import annotations

from streams.web.console.pages import (
    audiences,
    audit,
    connectors,
    explain,
    forget,
    inlets,
    installation,
    jobs,
    letter,
    letters,
    orders,
    overview,
    plans,
)
from streams.web.console.routes import Routes

MODULES = (
    *(overview, connectors, letters, letter, orders, plans, jobs, forget),
    *(audit, explain, inlets, audiences, installation),
)
ROUTES = Routes([route for module in MODULES for route in module.ROUTES])
