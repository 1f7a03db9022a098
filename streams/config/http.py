"""The `http` section: how requests leave, to destinations, to the schema registry and to alerts' webhooks."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr, model_validator

from streams.config.kafka import Section
from streams.values import HttpUrl, Secret


def _is_authorities(path: Path) -> Path:
    try:
        ssl.create_default_context().load_verify_locations(path)
    except FileNotFoundError:
        raise ValueError("must be a file that exists") from None
    except (OSError, ssl.SSLError):
        raise ValueError("must be a file of certificates in PEM") from None
    return path


class Proxy(Section):
    """A proxy that every request goes through."""

    url: Annotated[HttpUrl, Field(description="Address of the proxy.", examples=["http://proxy:3128"])]
    username: Annotated[StrictStr | None, Field(pattern=r"^[^:]+$", description="User, where the proxy wants one.")] = (
        None
    )
    password: Annotated[Secret | None, Field(description="Password of the user.")] = None
    no_proxy: Annotated[
        tuple[Annotated[StrictStr, Field(pattern=r"^\.?[A-Za-z0-9_.:\[\]-]+$")], ...],
        Field(
            description="Hosts that are reached without it; `.name` is every host that ends so.",
            examples=[["schema-registry", ".svc.cluster.local"]],
        ),
    ] = ()

    @model_validator(mode="after")
    def _user_has_a_password(self) -> Proxy:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both or neither")
        return self

    def is_for(self, host: str) -> bool:
        """Whether requests to this host go through it."""
        name = host.lower()
        return not any(
            name.endswith(wanted.lower()) if wanted.startswith(".") else name == wanted.lower()
            for wanted in self.no_proxy
        )


class Http(Section):
    """Requests to the outside. Certificates are always verified."""

    ca_file: Annotated[
        Annotated[Path, AfterValidator(_is_authorities)] | None,
        Field(description="More authorities to trust beside the system's, in PEM."),
    ] = None
    proxy: Annotated[Proxy | None, Field(description="A proxy that every request goes through.")] = None

    def tls(self) -> ssl.SSLContext:
        """What verifies a server's certificate: the system's authorities and the configured ones."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return context
