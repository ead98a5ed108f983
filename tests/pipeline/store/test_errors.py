"""What a store's system, server or library says, as one of our errors: what may pass is tried again, nothing else for ever."""

import errno
import os

import pytest

from pipeline.errors import (
    FULL,
    TRANSIENT,
    ConfigError,
    DeniedError,
    MissingError,
    QuotaError,
    StoreError,
    UnauthenticatedError,
    UnavailableError,
)
from pipeline.exits import exit_of
from pipeline.store import fsspec_client
from pipeline.store.hdfs import native
from pipeline.store.hdfs.java_errors import error_of, is_refusal
from pipeline.store.hdfs.store import HdfsStore
from pipeline.store.hdfs.web import WebClient
from pipeline.store.os_errors import OURS, error_of_system, error_type
from pipeline.store.retrying_client import RetryingClient
from pipeline.store.settings import StoreConfig
from tests.support.webhdfs_stand_in import StandIn


def test_every_number_of_the_system_means_what_the_table_of_exits_says():
    for number, name in errno.errorcode.items():
        error = error_of_system("f", OSError(number, os.strerror(number)))
        assert isinstance(error, UnavailableError) == (number in TRANSIENT), name
        if type(error) is StoreError:  # nobody knows it: no kind of its own, no other try
            assert f"({name})" in str(error)
        known = number in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR)
        if not known:
            assert error.exit_code == exit_of(OSError(number, "")).code, name
    assert error_type(None) is StoreError
    assert {error_type(number).exit_code for number in FULL} == {3}


@pytest.mark.parametrize("mistake", [TypeError, AttributeError, NameError, AssertionError, NotImplementedError])
@pytest.mark.parametrize("told", [native._told, fsspec_client._told, "webhdfs"])
def test_a_mistake_of_our_own_is_a_bug_and_is_not_tried_again(told, mistake):
    assert mistake in OURS
    told = WebClient(["http://127.0.0.1:1"], StoreConfig(user="u"))._told if told == "webhdfs" else told
    with pytest.raises(mistake), told("f"):
        raise mistake("ours")


@pytest.mark.parametrize("told", [native._told, fsspec_client._told])
def test_an_error_of_the_system_in_a_library_keeps_its_number(told):
    with pytest.raises(UnavailableError), told("f"):
        raise OSError(errno.ECONNRESET, "reset")
    with pytest.raises(StoreError, match="ENAMETOOLONG") as caught, told("f"):
        raise OSError(errno.ENAMETOOLONG, "File name too long")
    assert type(caught.value) is StoreError
    with pytest.raises(UnavailableError), told("f"):
        raise OSError("a library's own, without a number")


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("NobodyKnowsException", None, UnavailableError),
        ("NobodyKnowsException", 403, UnavailableError),  # WebHDFS says 403 of any IOException
        ("NobodyKnowsException", 500, UnavailableError),
        ("NobodyKnowsException", 400, StoreError),
        (None, 404, StoreError),
        (None, 403, StoreError),
        (None, 429, UnavailableError),
        (None, 502, UnavailableError),
        ("org.apache.hadoop.security.authorize.AuthorizationException", 403, DeniedError),
        ("FSLimitException$MaxDirectoryItemsExceededException", 403, QuotaError),
        ("UnsupportedOperationException", 400, StoreError),
        ("SecurityException", 401, UnauthenticatedError),
    ],
)
def test_what_a_hadoop_server_says(name, status, kind):
    assert type(error_of("f", name, "some words", status)) is kind


def client_error(code, status):
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, UnavailableError),
        ("InternalError", 500, UnavailableError),
        ("RequestTimeout", 400, UnavailableError),
        ("ThrottlingException", 400, UnavailableError),
        ("OperationAborted", 409, UnavailableError),
        ("InvalidArgument", 400, StoreError),
        ("InvalidRequest", 400, StoreError),
        ("NoSuchKey", 404, MissingError),
        ("AccessDenied", 403, DeniedError),
        ("RequestTimeTooSkewed", 403, UnauthenticatedError),
    ],
)
def test_what_s3_says(code, status, kind):
    pytest.importorskip("s3fs")
    from s3fs.errors import translate_boto_error

    for error in (client_error(code, status), translate_boto_error(client_error(code, status))):
        error.__cause__ = client_error(code, status)
        with pytest.raises(StoreError) as caught, fsspec_client._told("f"):
            raise error
        assert type(caught.value) is kind, caught.value


def test_a_status_is_told_by_its_number_not_by_words():
    """A path may hold any words, "404" and "Authentication failure" too."""
    server = StandIn()
    try:
        client = WebClient([server.url], StoreConfig(user="u", timeout_s=5.0))
        server.faults["GETFILESTATUS"] = [401, 404, 503]
        with pytest.raises(UnauthenticatedError):
            client.status("/a")
        with pytest.raises(StoreError, match="HTTP 404") as caught:
            client.status("/a")
        assert type(caught.value) is StoreError
        with pytest.raises(UnavailableError):
            client.status("/Authentication failure 404")
    finally:
        server.close()
    assert [status for status in (None, 200, 400, 404, 408, 429, 500) if is_refusal(status)] == [400, 404]


class Flaky:
    """A client that fails for some calls, and then works."""

    name, given_up = "native", False

    def __init__(self, failures):
        self.failures = failures

    def status(self, path):
        if self.failures:
            self.failures -= 1
            raise UnavailableError(path, "the native client's passing error")
        return None


def without_extra():
    raise ConfigError("kerberos with WebHDFS needs: pip install 'hdfs[kerberos]'")


def test_what_the_other_client_lacks_is_not_what_is_wrong(caplog):
    """The first client's error is told and tried again; that the second cannot be made is said once."""
    config = StoreConfig(retry_s=3.0, timeout_s=5.0, kerberos=True)
    calls = RetryingClient([lambda: Flaky(2), without_extra], config)
    assert calls("/a", lambda client: client.status("/a")) is None
    assert caplog.text.count("has no client 2 here") == 1
    quick = RetryingClient([lambda: Flaky(10**9), without_extra], config.model_copy(update={"retry_s": 0.3}))
    with pytest.raises(UnavailableError, match="the native client's passing error") as caught:
        quick("/a", lambda client: client.status("/a"))
    assert caught.value.exit_code == 3
    with pytest.raises(ConfigError):  # the one that was chosen must be there
        RetryingClient([without_extra], config)("/a", lambda client: client.status("/a"))


def test_whether_a_file_is_being_written_is_not_asked_of_a_client_that_cannot_be_made(caplog):
    store = HdfsStore("hdfs://x/root", "/root", [lambda: Flaky(0), without_extra], StoreConfig(), web_last=True)
    store._doubtful.add("a")
    from pipeline.store.base import Entry

    assert store.is_being_written(Entry("a", 1, 0)) is False
    assert list(store.block_locations("a", 1)) == []
