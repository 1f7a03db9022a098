"""The `http` section: how requests leave, to destinations, to the schema registry and to alerts' webhooks."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr, WithJsonSchema, model_validator

from streams.config.kafka import Section
from streams.values import HttpUrl, Secret, host_problem


def _is_authorities(path: Path) -> Path:
    try:
        ssl.create_default_context().load_verify_locations(path)
    except FileNotFoundError:
        raise ValueError("must be a file that exists") from None
    except (OSError, ssl.SSLError):
        raise ValueError("must be a file of certificates in PEM") from None
    return path


def _is_exception(text: str) -> str:
    """What is compared with hosts' names: other programs' forms (`*`, ports, networks) would never match."""
    if text.startswith("*"):
        raise ValueError("must be a host's name, or .name for every host whose name ends with it, without *")
    if "/" in text:
        raise ValueError("must be a host's name or address: networks (10.0.0.0/8) and URLs are not supported here")
    address = text.removeprefix("[").removesuffix("]")
    if address.count(":") > 1:
        try:
            return str(ipaddress.IPv6Address(address))
        except ValueError:
            raise ValueError("must be a host's name or address") from None
    if ":" in text:
        raise ValueError("must be a host's name or address, without a port: it stands for every port")
    if problem := host_problem(f"any{text}" if text.startswith(".") and text != "." else text):
        raise ValueError(f"must be a host's name, or .name for every host whose name ends with it: {problem}")
    return text


ExceptedHost = Annotated[
    StrictStr,
    AfterValidator(_is_exception),
    WithJsonSchema({"type": "string", "pattern": r"^\.?[A-Za-z0-9_.:\[\]-]+$"}),
]


class Proxy(Section):
    """A proxy that every request goes through."""

    url: Annotated[HttpUrl, Field(description="Address of the proxy.", examples=["http://proxy:3128"])]
    username: Annotated[StrictStr | None, Field(pattern=r"^[^:]+$", description="User, where the proxy wants one.")] = (
        None
    )
    password: Annotated[Secret | None, Field(description="Password of the user.")] = None
    no_proxy: Annotated[
        tuple[ExceptedHost, ...],
        Field(
            description="Hosts that are reached without it, without port; `.name` is every host that ends so.",
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
        name = host.lower().removesuffix(".")
        return not any(
            name.endswith(wanted.lower()) if wanted.startswith(".") else name == wanted.lower()
            for wanted in self.no_proxy
        )


class Http(Section):
    """Requests to the outside. Certificates are always verified."""

    ca_file: Annotated[
        Annotated[Path, AfterValidator(_is_authorities)] | None,
        Field(description="A file of authorities to trust in addition to the system's, in PEM."),
    ] = None
    proxy: Annotated[Proxy | None, Field(description="A proxy that every request goes through.")] = None

    def tls(self) -> ssl.SSLContext:
        """What verifies a server's certificate: the system's authorities and the configured ones.

        Raises `ValueError` where the file is away, as it is for a moment while it is swapped.
        """
        context = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"http.ca_file: cannot be read now: {type(error).__name__}") from None
        return context
