"""What the page asks of incidents, and what people say of them through it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from vestige.dashboard.events import shown
from vestige.dashboard.hub import Hub
from vestige.dashboard.incidents import MOST_TEXT, Wanted, WatchState, moment
from vestige.errors import UsageError, VestigeError
from vestige.service import feedback

LISTED, MOST_LISTED = 200, 2_000
"""Incidents that an answer holds, and the most that may be asked for."""
MOST_DAYS = 36_500
"""Days that an exception may hold, where it ends."""

Id = Annotated[str, InPath(pattern="^[0-9]{1,12}$", description="of an incident, as the list has it")]
Because = Annotated[str, Field(max_length=2_000, description="why, for whoever reads it later")]
Text = Annotated[str, Query(max_length=600)]
Moment = Annotated[str, Query(max_length=600, json_schema_extra={"format": "date-time"})]


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


WRONG: dict[int | str, dict[str, Any]] = {422: {"model": Refusal, "description": "It makes no sense"}}
UNKNOWN = WRONG | {404: {"model": Refusal, "description": "There is no such incident"}}
REFUSED = WRONG | {
    400: {"model": Refusal, "description": "The body is no JSON"},
    409: {"model": Refusal, "description": "That cannot be said of an incident"},
}


class Dismiss(BaseModel):
    """What is to be hidden from now on. `preview`: say what that would be, and write nothing."""

    model_config = ConfigDict(extra="forbid")

    because: Because
    scope: Literal["entity", "template", "both"] = "both"
    expires_days: Annotated[float, Field(gt=0, le=MOST_DAYS)] | None = 30
    preview: bool = True


class Confirm(BaseModel):
    """What an incident was."""

    model_config = ConfigDict(extra="forbid")

    because: Because | None = None


def incident_routes(watched: WatchState, hub: Hub) -> APIRouter:
    """The addresses of a watch's incidents. Each runs in a thread of a pool, for files are read."""
    router = APIRouter()

    @router.get("/incidents", responses=WRONG)
    def listed(
        host: Text = "",
        look: Text = "",
        state: Literal["", "open", "closed"] = "",
        said: Literal["", "confirmed", "dismissed", "nothing"] = "",
        text: Text = "",
        begin: Moment = "",
        end: Moment = "",
        most: Annotated[int, Query(ge=1, le=MOST_LISTED)] = LISTED,
    ) -> dict[str, Any]:
        """The newest incidents that are wanted. `begin`, `end`: ISO 8601, UTC unless they say otherwise."""
        try:
            wanted = Wanted(host, look, state, said, text, moment(begin), moment(end))
        except ValueError as error:
            raise HTTPException(422, "begin or end is no time of ISO 8601") from error
        return watched.known.chosen(wanted, most)

    @router.get("/incidents/{incident}", responses=UNKNOWN)
    def one(incident: Id) -> dict[str, Any]:
        """An incident with its reasons, and its evidence with the lines beside it."""
        try:
            return watched.known.one(incident)
        except UsageError as error:
            raise HTTPException(404, shown(error.what)) from error

    @router.post("/incidents/{incident}/dismiss", responses=REFUSED)
    def dismiss(incident: Id, asked: Dismiss) -> dict[str, Any]:
        """Say that an incident is fine, or, as a preview, what that would have hidden so far."""
        seconds = None if asked.expires_days is None else asked.expires_days * 86_400
        try:
            done = feedback.dismiss(
                watched.directory, incident, asked.because,
                expires_s=seconds, scope=asked.scope, preview=asked.preview,
            )  # fmt: skip
        except VestigeError as error:
            raise _refused(error) from error
        _tell(watched, hub)
        values = any(look.startswith("values.") for look in done.entry.looks or ())
        found = {
            "written": not asked.preview,
            "past": f"This exception {done.past}.",
            "uncounted": done.uncounted,
            "values": values,
            "entry": done.entry.toml().splitlines(),
            "path": str(done.path),
        }
        return dict(shown(found, MOST_TEXT))

    @router.post("/incidents/{incident}/confirm", responses=REFUSED)
    def confirm(incident: Id, asked: Confirm) -> dict[str, Any]:
        """Keep an incident as an example of what is to be found."""
        try:
            row = feedback.confirm(watched.directory, incident, asked.because)
        except VestigeError as error:
            raise _refused(error) from error
        _tell(watched, hub)
        return {"confirmed": shown(row["id"]), "path": shown(str(watched.directory / feedback.CONFIRMED))}

    return router


def _tell(watched: WatchState, hub: Hub) -> None:
    """Tell every reader at once."""
    event = watched.refresh()
    if event is not None:
        hub.put(event)


def _refused(error: VestigeError) -> HTTPException:
    """What cannot be said of an incident, with what to do about it."""
    return HTTPException(409, shown(" – ".join(filter(None, [error.what, error.remedy])), MOST_TEXT))
