"""
The analyst against a real LiteLLM proxy: `python -m tests.litellm_proxy`.

Installs the proxy into an environment of its own under var/ (some 750 MB), starts it on this machine with mocked models and
one that passes on to a stub, and checks that every outcome is reached by name. Not part of the other tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.database import empty_database
from tests.support.processes import ROOT, free_port

VERSION = "1.106.2"
KEY = "sk-local-test"
CONFIG = """
model_list:
  - {{model_name: mock-answer, litellm_params: {{model: openai/gpt-4o-mini, api_key: sk-fake, mock_response: '{answer}'}}}}
  - {{model_name: mock-429, litellm_params: {{model: openai/gpt-4o-mini, api_key: sk-fake, mock_response: "litellm.RateLimitError"}}}}
  - {{model_name: mock-500, litellm_params: {{model: openai/gpt-4o-mini, api_key: sk-fake, mock_response: "litellm.InternalServerError"}}}}
  - {{model_name: mock-context, litellm_params: {{model: openai/gpt-4o-mini, api_key: sk-fake, mock_response: "litellm.ContextWindowExceededError"}}}}
  - {{model_name: mock-timeout, litellm_params: {{model: openai/gpt-4o-mini, api_key: sk-fake, mock_response: "{{}}", mock_timeout: true, timeout: 1}}}}
  - {{model_name: passed-on, litellm_params: {{model: openai/whatever, api_base: "{upstream}", api_key: sk-fake}}}}
litellm_settings: {{telemetry: false, num_retries: 0}}
router_settings: {{disable_cooldowns: true, num_retries: 0}}
general_settings: {{master_key: {key}}}
"""
NAMES = ("mock-answer", "mock-429", "mock-500", "mock-context", "mock-timeout", "passed-on", "no-such-model")


def environment() -> Path:
    """The proxy's own virtual environment, made on first use."""
    home = ROOT / "var" / "litellm"
    if not (home / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", f"litellm[proxy]=={VERSION}"], check=True)
    return home


@contextmanager
def proxy(upstream: str) -> Iterator[str]:
    """A running proxy; yields its address."""
    import json

    from tests.support.analysts import verdict

    home, port = environment(), free_port()
    config = home / "config.yaml"
    config.write_text(CONFIG.format(answer=json.dumps(verdict("continue")), upstream=upstream, key=KEY))
    command = [str(home / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, **quiet)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 120
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2):
                break
            assert process.poll() is None, "the proxy ended"
            assert time.monotonic() < deadline, "the proxy did not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


def outcomes() -> Iterator[tuple[str, str, str]]:
    """What was asked, the outcome that it should have, and the one it had."""
    from decimal import Decimal

    from django.conf import settings
    from django.test import override_settings

    from monitoring import controls
    from monitoring.analyst.contract import Outcome
    from monitoring.asking import ask
    from monitoring.audit import Actor
    from tests import hostile
    from tests.support.analysts import StubEndpoint, completion, entering, verdict
    from tests.support.clocks import SteppingClock

    stub = StubEndpoint(lambda _: completion(verdict("continue")))
    prices = ROOT / "var" / "litellm" / "models.toml"
    with stub.running(), proxy(stub.url) as url, SteppingClock.installed() as clock:
        prices.write_text("".join(f'[models."{name}"]\ninput_usd = 0.1\noutput_usd = 0.1\n' for name in NAMES))
        files = [*settings.LLM_FILES, prices]
        fixed: dict[str, Any] = {
            "LLM_BASE_URL": url,
            "LLM_API_KEY": KEY,
            "LLM_MAX_ATTEMPTS": 1,
            "LLM_TIMEOUT_SECONDS": 10,
            "LLM_FILES": files,
        }

        def put(name: str, wanted: Outcome, *, model: str = "passed-on", reply: Any = None, seconds: float = 30, **over: Any) -> Any:
            if reply is not None:
                stub.script = reply if callable(reply) else (lambda _: reply)
            question = hostile.make_question(1, clock.now, model=model)
            question = type(question)(**{**vars(question), "deadline": clock.now + timedelta(seconds=seconds), **over.pop("question", {})})
            with override_settings(**{**fixed, **over}):
                found = ask.ask_all([question], now=clock.now)[question.id]
            return name, wanted.value, found.outcome.value

        yield put("an answer, mocked", Outcome.OK, model="mock-answer")
        yield put("an answer, passed on", Outcome.OK)
        yield put("a rate limit, mocked", Outcome.RATE_LIMITED, model="mock-429")
        yield put("an error, mocked", Outcome.UNAVAILABLE, model="mock-500")
        yield put("a time-out of the proxy", Outcome.TIMEOUT, model="mock-timeout")
        yield put("a model that there is not", Outcome.UNAVAILABLE, model="no-such-model")
        yield put("a wrong key", Outcome.UNAVAILABLE, LLM_API_KEY="sk-wrong")
        yield put("no key", Outcome.UNAVAILABLE, LLM_API_KEY="")
        yield put(
            "a rate limit, passed on", Outcome.RATE_LIMITED, reply=(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}})
        )
        yield put("an overload, passed on", Outcome.UNAVAILABLE, reply=(503, {"error": {"message": "busy"}}))
        refusal = completion("", message={"role": "assistant", "content": None, "refusal": "I can't help with that"})
        yield put("a refusal, passed on", Outcome.REFUSED, reply=refusal)
        yield put("a cut answer, passed on", Outcome.TRUNCATED, reply=completion('{"decision"', finish_reason="length"))
        yield put("a filtered answer, passed on", Outcome.FILTERED, reply=completion("", finish_reason="content_filter"))
        yield put("nonsense, passed on", Outcome.INVALID, reply=completion("Sure! Here you go."))
        made_up = lambda body: completion(entering(body, reasoning="RSI(14) is 12.34."))  # noqa: E731
        yield put("made-up numbers, passed on", Outcome.UNGROUNDED, reply=made_up)
        yield put("a context that is too long, mocked", Outcome.INVALID, model="mock-context")

        def slow(_: Any) -> Any:
            time.sleep(1.5)
            return completion(verdict("continue"))

        yield put("a slow answer", Outcome.TIMEOUT, reply=slow, seconds=0.8)

        def late(_: Any) -> Any:
            clock.forward(seconds=100)
            return completion(verdict("continue"))

        yield put("a late answer", Outcome.LATE, reply=late)
        yield put("over the budget", Outcome.OVER_BUDGET, DAILY_BUDGET_USD=Decimal("0.000001"))
        controls.halt(scope="all", state="halted", reason="stop", actor=Actor("test", "cli"), now=clock.now, wait_s=0)
        yield put("halted", Outcome.HALTED, question={"scopes": ("all",)})


def main() -> None:
    wrong = 0
    with empty_database():
        for name, wanted, found in outcomes():
            wrong += wanted != found
            print(f"{name}: {found}{'' if wanted == found else f', should be {wanted}'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
