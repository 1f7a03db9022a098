"""Its keys of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from streams.values import HttpUrl, Secret


class NewlineSettings(BaseModel):
    """Keys of a connector to a server that takes lines."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Annotated[HttpUrl, Field(description="Address of the server.")]
    client_id: Annotated[StrictStr, Field(description="Id of the client.")]
    client_secret: Annotated[Secret, Field(description="Secret of the client.")]
