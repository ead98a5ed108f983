"""What the service tells Prometheus: latencies by stage and class, the queue, the cache, the batches."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 15.0)
_SIZES = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80)


class ServiceMetrics:
    """Metrics of one replica.

    Attributes:
        requests: Requests by route and status.
        seconds: Seconds of the stages of a question, by stage (wait, search, read, total) and class.
        answers: Questions by where their answer came from: read, counted, memory, redis, merged.
        refused: Questions that were refused, by class and reason.
        waiting: Questions that wait.
        waiting_tokens: Their tokens, as predicted.
        batch_questions: Questions of the batches that were read.
        batch_passages: Passages of the batches that were read.
        generation: Generation of the index.
        passages: Passages of the index.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        here = self._registry
        self.requests = Counter("textmill_ask_requests", "Requests by route and status", ["route", "status"], registry=here)
        self.seconds = Histogram(
            "textmill_ask_seconds", "Seconds of the stages of a question", ["stage", "priority"], buckets=_SECONDS, registry=here
        )
        self.answers = Counter("textmill_ask_answers", "Questions by where the answer came from", ["origin"], registry=here)
        self.refused = Counter("textmill_ask_refused", "Questions that were refused", ["priority", "reason"], registry=here)
        self.waiting = Gauge("textmill_ask_waiting_questions", "Questions that wait", registry=here)
        self.waiting_tokens = Gauge("textmill_ask_waiting_tokens", "Predicted tokens of the questions that wait", registry=here)
        self.batch_questions = Histogram(
            "textmill_ask_batch_questions", "Questions that are read together", buckets=_SIZES, registry=here
        )
        self.batch_passages = Histogram(
            "textmill_ask_batch_passages", "Passages that are read together", buckets=_SIZES, registry=here
        )
        self.generation = Gauge("textmill_ask_index_generation", "Generation of the index", registry=here)
        self.passages = Gauge("textmill_ask_index_passages", "Passages of the index", registry=here)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        found: bytes = generate_latest(self._registry)
        return found
