"""How stores are reached: what a run's settings say in `[store]`, handed to every worker as it is."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

TOKEN_ENV = "TEXTMILL_HDFS_TOKEN"
# How long a claim holds without a renewal.
LEASE_S = 60.0


def _token() -> SecretStr | None:
    found = os.environ.get(TOKEN_ENV)
    return SecretStr(found) if found else None


class StoreConfig(BaseModel):
    """Settings of the remote file systems; local paths need none. S3's endpoint and keys come by the AWS variables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Annotated[
        str | None,
        Field(description="HDFS user without Kerberos; if not given HADOOP_USER_NAME, or the login", examples=["textmill"]),
    ] = None
    hadoop_conf: Annotated[
        str | None,
        Field(
            description="folder with core-site.xml and hdfs-site.xml; if not given HADOOP_CONF_DIR", examples=["/etc/hadoop/conf"]
        ),
    ] = None
    namenodes: Annotated[
        tuple[str, ...],
        Field(description="http(s)://HOST:PORT of the NameNodes for WebHDFS; if not given hadoop_conf names them"),
    ] = ()
    client: Annotated[
        Literal["auto", "native", "webhdfs"],
        Field(description="client for hdfs://; auto is native, and WebHDFS where native fails"),
    ] = "auto"
    kerberos: Annotated[bool, Field(description="authenticate by Kerberos (WebHDFS needs pip install 'hdfs[kerberos]')")] = False
    principal: Annotated[
        str | None, Field(description="Kerberos principal, with a keytab or the ticket cache", examples=["textmill@EXAMPLE.ORG"])
    ] = None
    keytab: Annotated[
        str | None, Field(description="Kerberos keytab file", examples=["/etc/security/keytabs/textmill.keytab"])
    ] = None
    token: SecretStr | None = Field(
        default_factory=_token, description=f"delegation token for WebHDFS; better given by the variable {TOKEN_ENV}"
    )
    timeout_s: Annotated[float, Field(gt=0, description="seconds after which a request without an answer has failed")] = 10.0
    retry_s: Annotated[
        float, Field(ge=0, description="seconds for which a request is tried again after an error that may pass")
    ] = 90.0
    read_threads: Annotated[int, Field(ge=1, le=64, description="number of simultaneous read requests for one file")] = 8
    lease_s: Annotated[
        float, Field(gt=0, description="seconds without a sign of life after which a run has lost its claim on the output")
    ] = LEASE_S

    def told(self) -> dict[str, Any]:
        """Dump the settings as JSON values for a process of ours, secrets included.

        Returns:
            The settings by name; `token` in clear text.
        """
        secret = None if self.token is None else self.token.get_secret_value()
        return {**self.model_dump(mode="json"), "token": secret}
