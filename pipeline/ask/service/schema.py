"""What the service is asked and says, as JSON: checked here, and described for its users as OpenAPI."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.ask.reading import READ
from pipeline.ask.search import Filters, day
from pipeline.ask.service.policy import QuestionClass
from pipeline.ask.service.reading_threads import AskedQuestion
from pipeline.errors import ConfigError

VERSION = "1"
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


class FilterFields(BaseModel):
    """Which documents may answer; what is left out leaves all."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[str, Field(max_length=10, description="first day, as 2026-11-22 (UTC)")] = ""
    until: Annotated[str, Field(max_length=10, description="last day, that day included (UTC)")] = ""
    source: Annotated[str, Field(max_length=200, description="source of the document")] = ""
    entity: Annotated[str, Field(max_length=200, description="NAME or TYPE:NAME that the passage names")] = ""
    sentiment: Annotated[
        str, Field(max_length=200, description="class of the document: negative, neutral or positive, or one of your own model")
    ] = ""
    lang: Annotated[str, Field(max_length=10, description="language of the document: en or zh")] = ""

    def filters(self) -> Filters:
        """Return the filters.

        Raises:
            ConfigError: A day is none.
        """
        since, until = (day(one) if one else None for one in (self.since, self.until))
        return Filters(self.source, since, until, self.entity, self.sentiment, self.lang)


class AskRequest(FilterFields):
    """A question."""

    question: Annotated[str, Field(description="the question, in English or Chinese")]
    passages: Annotated[int, Field(ge=1, le=50, description="passages that are read at most")] = READ
    priority: Annotated[
        Literal["high", "normal", "low"] | None,
        Field(description="class of the question; by default normal, or the asker's if that is lower"),
    ] = None
    deadline_ms: Annotated[
        int | None,
        Field(ge=1, le=60_000, description="milliseconds in which the answer is wanted; by default its class's"),
    ] = None

    spoken: Annotated[bool, Field(description="whether it was spoken: Chinese is then also found by its sound")] = False

    def asked(self, highest: QuestionClass, most_characters: int) -> AskedQuestion:
        """Return what is asked, as it is read.

        Args:
            highest: Highest class that the asker may claim.
            most_characters: Characters of the longest question.

        Returns:
            The question.

        Raises:
            ConfigError: The question is empty or too long, a filter is wrong, or the class is above the asker's.
        """
        text = readable(self.question)
        if not text:
            raise ConfigError("the question is empty")
        if len(text) > most_characters:
            raise ConfigError(f"the question has {len(text):,} characters; {most_characters:,} may be asked")
        wanted = QuestionClass[self.priority.upper()] if self.priority is not None else max(highest, QuestionClass.NORMAL)
        if wanted < highest:
            raise ConfigError(f"priority: {self.priority} is above yours, which is {highest.name.lower()}")
        seconds = self.deadline_ms / 1e3 if self.deadline_ms is not None else None
        return AskedQuestion(text, self.filters(), self.passages, wanted, seconds, self.spoken)


def readable(text: str) -> str:
    """Return a question as it is read: composed, without what cannot be seen, white space single.

    Args:
        text: As it came.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    return _BLANK.sub(" ", unicodedata.normalize("NFC", text)).strip()


def parsed(raw: bytes) -> AskRequest:
    """Read a question from a request's body.

    Args:
        raw: JSON in UTF-8, whatever it is.

    Returns:
        The question.

    Raises:
        ConfigError: It is no question; names the field.
    """
    try:
        return AskRequest.model_validate_json(raw)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaint(one) for one in error.errors(include_url=False, include_input=False))) from error


def parsed_filters(query: dict[str, str]) -> FilterFields:
    """Read filters from a request's query.

    Args:
        query: Names and values.

    Returns:
        The filters.

    Raises:
        ConfigError: One of them is none.
    """
    try:
        return FilterFields.model_validate(query)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaint(one) for one in error.errors(include_url=False, include_input=False))) from error


def _complaint(one: Any) -> str:
    where = ".".join(str(part)[:40] for part in one["loc"])
    return f"{where}: {one['msg']}" if where else str(one["msg"])[:300]


def openapi() -> dict[str, Any]:
    """Return the description of the service as OpenAPI 3.1."""
    ask = AskRequest.model_json_schema()
    ask["properties"] = {"question": ask["properties"]["question"], **ask["properties"]}
    query = [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": field.description}
        for name, field in FilterFields.model_fields.items()
    ]
    question = {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}, "description": "the question"}
    most = {"name": "most", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}}
    failed = {"description": "what is wrong", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    busy = {**failed, "description": "too many ask; Retry-After says when there may be room"}
    failures = {"400": failed, "401": failed, "413": failed, "429": busy}
    said = {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {"schema": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Textmill: questions and answers",
            "version": VERSION,
            "description": "An answer is a span of a document, with its place and the probability that it is right.",
        },
        "paths": {
            "/v1/ask": {
                "post": {
                    "summary": "Answer a question",
                    "description": "With `Accept: text/event-stream` the passages come first (event `passages`), then the answer "
                    "(event `answer`).",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": ask}}},
                    "responses": {"200": {"description": "the answer; null if there is none", "content": said}, **failures},
                }
            },
            "/v1/passages": {
                "get": {
                    "summary": "Find passages, without reading them",
                    "parameters": [question, most, *query],
                    "responses": {"200": {"description": "the passages, best first", "content": said}, **failures},
                }
            },
            "/v1/transcribe": {
                "post": {
                    "summary": "Understand a spoken question",
                    "description": "Where the service hears (--voice). A WebSocket at /v1/voice takes a recording in binary "
                    "messages, then the text message `end`; it says `heard`, `passages` and `answer`.",
                    "requestBody": {"required": True, "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}}},
                    "responses": {"200": {"description": "text, lang, seconds and confidence", "content": said}, **failures},
                }
            },
            "/v1/filters": {
                "get": {"summary": "What can be filtered by", "responses": {"200": {"description": "sources and languages"}}}
            },
        },
        "components": {
            "schemas": {
                "Error": {"type": "object", "properties": {"error": {"type": "string"}, "message": {"type": "string"}}},
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }  # fmt: skip
