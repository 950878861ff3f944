"""Structured logs: one JSON object a line. Callers pass names, ids and counts; never bodies, tokens or addresses."""

import logging
from typing import Any

import structlog


def configure(level: str) -> None:
    """Set up structlog for the process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_frames,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    # The server prints tracebacks with the exception's text; ours are logged by kit/edge.py without it.
    logging.getLogger("uvicorn.error").addFilter(_drop_traceback)


def _drop_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = None
    return True


def _without_frames(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    # A traceback shows where; the exception's own text may repeat a row's values, so it is left out.
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        frames, tb = [], error.__traceback__
        while tb is not None:
            frames.append(f"{tb.tb_frame.f_code.co_filename.rsplit('/app/', 1)[-1]}:{tb.tb_lineno}")
            tb = tb.tb_next
        event["at"] = frames[-8:]
    return event
