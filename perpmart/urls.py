"""Reading and hiding parts of server addresses; pure text, no connection is made."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

MASK = "***"
_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})


def mask_password(url: str) -> str:
    """Return `url` with every password in it replaced by ``***``.

    Examples
    --------
    >>> mask_password("postgresql://ann:secret@db:5432/mart")
    'postgresql://ann:***@db:5432/mart'
    >>> mask_password("redis://db/0?password=secret")
    'redis://db/0?password=***'
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # such as an unclosed bracket: nothing of it is safe to show
        return MASK
    if not parts.netloc and "@" in url:  # no address at all, such as `postgres//ann:secret@db`
        return re.sub(r":[^@]*@", f":{MASK}@", url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{colon}{MASK if colon else ''}{at}{host}"
    query = parts.query
    if any(f"{key}=" in query for key in _SECRET_PARAMETERS):
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(k, MASK if k in _SECRET_PARAMETERS else v) for k, v in pairs], safe="*/")
    # By hand: urlunsplit drops the slashes of an empty host, `postgresql:///db`.
    slashes = "//" if "://" in url else ""
    tail = f"?{query}" if query else ""
    return f"{parts.scheme}{':' if parts.scheme else ''}{slashes}{netloc}{parts.path}{tail}"


def check_no_password(url: str) -> str:
    """Return `url` unchanged, or raise ValueError when it names a user: errors would show it."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("an address without user and password is needed")
    return url


def check_scheme(url: str, schemes: tuple[str, ...]) -> str:
    """Return `url` unchanged, or raise ValueError when its scheme is none of `schemes`."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in schemes:
        raise ValueError(f"an address that starts with {' or '.join(f'{s}://' for s in schemes)} is needed")
    return url
