"""What is wrong with an S3 server, in words: the SDK's own errors say little, and come after minutes."""

from __future__ import annotations

import os

from segassets.errors import SegassetsError

CONNECT_SECONDS, ANSWER_SECONDS = 5, 15
_SERVER = "check AWS_ENDPOINT_URL, the server and the network"


def explained(problem: BaseException, root: str) -> SegassetsError | None:
    """The error to be shown for one that the SDK raised; None when it is none of the SDK's, or says enough itself."""
    if isinstance(problem, ValueError) and str(problem).startswith("Invalid endpoint"):
        return SegassetsError(f"{root}: AWS_ENDPOINT_URL is no address of a server ({problem}): correct it")
    try:
        from botocore import exceptions as sdk
    except ImportError:  # pragma: no cover - then it cannot have raised anything
        return None
    if isinstance(problem, sdk.NoCredentialsError | sdk.PartialCredentialsError):
        known = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine"
        return SegassetsError(f"{root}: there are no credentials for S3: give them as the SDK takes them ({known})")
    if isinstance(problem, sdk.ParamValidationError):
        return SegassetsError(f"{root}: S3 knows no such name ({' '.join(str(problem).split())}): correct the URL")
    if isinstance(problem, sdk.HTTPClientError | sdk.EndpointConnectionError):
        return SegassetsError(f"{root}: the S3 server does not answer ({problem}): {_SERVER}; then run it again")
    if isinstance(problem, sdk.BotoCoreError):
        return SegassetsError(f"{root}: the S3 client failed ({problem}): {_SERVER}, and the other AWS_ variables")
    return None


def check_endpoint() -> None:
    """Whether the server of AWS_ENDPOINT_URL answers at all, within seconds. SegassetsError when it does not.

    The SDK would repeat its requests for minutes, which is right in the middle of work and wrong at its beginning. Any
    answer is one; a certificate that only the SDK has been told to trust is, too. Amazon's own servers are believed.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return
    import requests

    try:
        requests.get(endpoint, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False, stream=True).close()
    except requests.exceptions.SSLError:
        return
    except requests.exceptions.Timeout:
        raise SegassetsError(
            f"the S3 server {endpoint} does not answer within {ANSWER_SECONDS} seconds: {_SERVER}"
        ) from None
    except (requests.exceptions.RequestException, ValueError) as problem:
        raise SegassetsError(f"the S3 server {endpoint} cannot be reached ({_shortly(problem)}): {_SERVER}") from None


def _shortly(problem: Exception) -> str:
    """The innermost cause, without the names of pools and objects around it."""
    text = str(getattr(problem.args[0], "reason", problem) if problem.args else problem)
    return text.rpartition(": ")[2] or type(problem).__name__
