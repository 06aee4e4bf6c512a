"""Paths of an object store that behave as those of a folder do, so that one test can be of both."""

import uuid
from functools import cache

import pytest

both = pytest.mark.parametrize("kind", ["folder", "s3"], indirect=True)


class Key(str):
    """A URL with the methods of a path that tests use."""

    __slots__ = ()

    def __truediv__(self, name):
        return Key(f"{self}/{name}")

    def _call(self, name, *arguments):
        import obstore

        bucket, _, key = self.removeprefix("s3://").partition("/")
        return getattr(obstore, name)(_connect(bucket), key, *arguments)

    def with_name(self, name):
        return Key(self.rpartition("/")[0]) / name

    def exists(self):
        return bool(list_keys(self))

    def read_bytes(self):
        return bytes(self._call("get").bytes())

    def write_bytes(self, content):
        self._call("put", content)

    def unlink(self):
        self._call("delete")

    def files(self):
        """Return the bytes of all objects below."""
        return {key: (self / key).read_bytes() for key in list_keys(self)}


@cache
def _connect(bucket):
    from obstore.store import from_url

    return from_url(f"s3://{bucket}", client_options={"allow_http": True})


def list_keys(folder):
    prefix = folder.removeprefix("s3://").partition("/")[2] + "/"
    return [meta["path"].removeprefix(prefix) for batch in folder._call("list") for meta in batch]


def files_of(path):
    if isinstance(path, Key):
        return path.files()
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def content_of(path):
    """Return the bytes of all files but those that say when, and how fast, a shard was made."""
    return {name: content for name, content in files_of(path).items() if "/shard_provenance/c/" not in name}


def upload(folder, target):
    for name, content in files_of(folder).items():
        (target / name).write_bytes(content)
    return target


@pytest.fixture(scope="session")
def bucket():
    """Return a bucket of a server for S3 on this machine."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.setenv(name, "us-east-1")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "no-such-file")
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield Key("s3://bucket")
    server.stop()


@pytest.fixture
def kind(request):
    return getattr(request, "param", "folder")


@pytest.fixture
def home(kind, request, tmp_path):
    """Return an empty place of the test's own: a folder, or keys of a bucket where the test is of `both`."""
    if kind == "folder":
        return tmp_path
    return request.getfixturevalue("bucket") / uuid.uuid4().hex[:8]
