"""Send the logs of each epoch to a web server."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from lamina.callbacks.callback import Callback, Logs
from lamina.validation import Boolean, Text, check_argument


class RemoteMonitor(Callback):
    """POST the epoch's number and logs to `root + path` after each epoch.

    A server that can't be reached costs a warning, not the training.

    Args:
        root: address of the server.
        path: path below it.
        field: name of the form field that holds the JSON text, unless `send_as_json`.
        headers: further HTTP headers.
        send_as_json: whether the body is the JSON text itself ("application/json").

    Source: https://keras.io/api/callbacks/remote_monitor/
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(root, str) or not root.startswith(("http://", "https://")):
            raise ValueError(
                f"RemoteMonitor: root must be an http or https address. Got root={root!r}."
            )
        self.root = root
        self.path = check_argument("RemoteMonitor", "path", path, Text())
        self.field = check_argument("RemoteMonitor", "field", field, Text())
        if not isinstance(headers, (dict, type(None))):
            raise TypeError(f"RemoteMonitor: headers must be a dict. Got {headers!r}.")
        self.headers = headers
        self.send_as_json = check_argument("RemoteMonitor", "send_as_json", send_as_json, Boolean())

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import urllib.error  # brings half of the standard library's network code along
        import urllib.parse
        import urllib.request

        content = {"epoch": epoch, **{k: _plain(v) for k, v in (logs or {}).items()}}
        text = json.dumps(content)
        if self.send_as_json:
            body, kind = text.encode(), "application/json"
        else:
            body = urllib.parse.urlencode({self.field: text}).encode()
            kind = "application/x-www-form-urlencoded"
        headers = {"Content-Type": kind, **(self.headers or {})}
        request = urllib.request.Request(self.root + self.path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10):
                pass
        except (urllib.error.URLError, OSError) as error:
            warnings.warn(
                f"RemoteMonitor: could not reach the server at {self.root}: {error}", stacklevel=2
            )


def _plain(value: Any) -> Any:
    """A value that JSON knows."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.item() if value.ndim == 0 else value.tolist()
    return value
