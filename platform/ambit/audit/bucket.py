"""An S3 bucket with object lock: what was put there can be neither changed nor removed before its time.

Credentials are found as AWS' own tools find them: environment, shared files, the machine's or the container's role.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

# Of one request; it is tried once, and again with the next round.
CONNECT_S, READ_S = 5, 15
DAYS_A_YEAR = 366
NO_LOCK = frozenset({"ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed"})


class BucketUnfit(RuntimeError):
    """The bucket cannot keep copies, and somebody has to do something about it; the text says what."""


class BucketFailed(RuntimeError):
    """The bucket did not take a copy now; it is tried again."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"the bucket did not take a copy: {fault}")
        # One word for a log line and a page, such as SlowDown.
        self.fault = fault[:40]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where copies go, and how long they are kept there."""

    name: str
    prefix: str
    mode: str
    years: int
    client: Any

    def require_lock(self) -> None:
        """Raise BucketUnfit unless objects can be locked; BucketFailed where the bucket does not answer now."""
        try:
            found = self._call("get_object_lock_configuration", Bucket=self.name)
        except BucketFailed as error:
            if error.fault in NO_LOCK:
                raise BucketUnfit(_NO_LOCK.format(self.name)) from error
            if error.fault in _WORDS:
                raise BucketUnfit(_WORDS[error.fault].format(self.name)) from error
            raise
        if found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            raise BucketUnfit(_NO_LOCK.format(self.name))

    def put(self, key: str, content: bytes) -> None:
        """Put an object that nobody can change; one that stands there already is left and must be the same.

        Raises BucketFailed, also where a server took the object and not its lock.
        """
        until = datetime.now(UTC) + timedelta(days=DAYS_A_YEAR * self.years)
        where = {"Bucket": self.name, "Key": f"{self.prefix}{key}"}
        try:
            self._call(
                "put_object",
                **where,
                Body=content,
                ContentType="text/plain; charset=utf-8",
                IfNoneMatch="*",
                ObjectLockMode=self.mode,
                ObjectLockRetainUntilDate=until,
            )
        except BucketFailed as error:
            if error.fault != "PreconditionFailed":
                raise
        stands = self._call("get_object", **where)
        if stands["Body"].read(len(content) + 1) != content:
            raise BucketFailed("Differs")
        if stands.get("ObjectLockMode") not in {self.mode, "COMPLIANCE"}:
            raise BucketFailed("NotLocked")

    def _call(self, operation: str, **values: Any) -> Any:
        # Here, so that nobody needs the package who has no bucket.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self.client, operation)(**values)
        except ClientError as error:
            raise BucketFailed(str(error.response.get("Error", {}).get("Code", ""))) from error
        except (BotoCoreError, OSError) as error:
            raise BucketFailed(type(error).__name__) from error


_NO_LOCK = (
    "The bucket {} has no object lock: whoever may write there could rewrite the copies. Make one with object lock "
    "(it can be switched on only while versioning is), or unset AMBIT_AUDIT_S3_BUCKET."
)
_WORDS = {
    "NoSuchBucket": "There is no bucket {}: make it with object lock, or correct AMBIT_AUDIT_S3_BUCKET.",
    "AccessDenied": (
        "Whether the bucket {} has object lock may not be asked: allow s3:GetBucketObjectLockConfiguration."
    ),
    "InvalidAccessKeyId": "The bucket {} knows nothing of this access key: correct the credentials.",
    "SignatureDoesNotMatch": "The bucket {} refuses this secret key: correct the credentials.",
    "NoCredentialsError": (
        "There are no credentials for the bucket {}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the "
        "machine a role."
    ),
}


def the_bucket() -> Bucket | None:
    """Return the bucket of the settings; None where there is none. Raises BucketUnfit; asks nobody."""
    if not settings.AMBIT_AUDIT_S3_BUCKET:
        return None
    try:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise BucketUnfit(
            "Copies in a bucket need the package botocore: pip install 'ambit[s3]', or unset AMBIT_AUDIT_S3_BUCKET."
        ) from error
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": 1},
        # Names of buckets in a path, as servers other than Amazon's want them.
        s3={"addressing_style": "path" if settings.AMBIT_AUDIT_S3_ENDPOINT else "auto"},
    )
    try:
        client = botocore.session.get_session().create_client(
            "s3",
            region_name=settings.AMBIT_AUDIT_S3_REGION or None,
            endpoint_url=settings.AMBIT_AUDIT_S3_ENDPOINT or None,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise BucketUnfit(
            "The bucket cannot be asked: correct AMBIT_AUDIT_S3_ENDPOINT, a URL, or AMBIT_AUDIT_S3_REGION, such as "
            f"eu-central-1 ({type(error).__name__})."
        ) from error
    return Bucket(
        name=settings.AMBIT_AUDIT_S3_BUCKET,
        prefix=settings.AMBIT_AUDIT_S3_PREFIX,
        mode=settings.AMBIT_AUDIT_S3_RETENTION_MODE,
        years=settings.AMBIT_AUDIT_S3_RETENTION_YEARS,
        client=client,
    )
