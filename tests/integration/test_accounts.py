"""API keys at rest, and arming: by a person with permission, with a cap, written down, and shown on every page."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from monitoring.models import AuditLog, Event
from positions import arming, credentials
from positions.arming import ArmingError
from positions.credentials import CredentialsError, Keys
from positions.exchange.factory import MAKERS, exchange_for
from positions.models import ExchangeAccount
from positions.models.accounts import TRADED
from positions.simulator.access import PASSPHRASE, secret_of
from positions.simulator.gateway import Gateway
from tests.support.clocks import SteppingClock
from tests.support.factories import make_account, make_user
from tests.support.venues import Dial, clock_ms, make_venue_account, simulated_venue

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(clock: SteppingClock, settings: Any) -> Iterator[ExchangeAccount]:
    gateway = Gateway(listings={}, prices=Dial(), clock_ms=lambda: clock_ms(clock))
    with simulated_venue(gateway, settings):
        yield make_venue_account(make_user(), armed=False)


@pytest.fixture
def browser(account: ExchangeAccount) -> Client:
    admin = make_user(is_superuser=False)
    admin.groups.add(Group.objects.get(name="administrator"))
    client = Client()
    client.force_login(admin)
    return client


def act(client: Client, account: ExchangeAccount, **form: str) -> str:
    answer = client.post(reverse("desk:account_act", args=[account.id]), form, follow=True)
    account.refresh_from_db()
    return str(answer.content.decode()) if answer.status_code == 200 else str(answer.status_code)


class TestCredentials:
    def test_what_is_kept_is_not_what_was_entered(self, settings: Any) -> None:
        sealed = credentials.seal(Keys("my-key", "my-secret"))
        assert b"my-" not in sealed
        assert credentials.opened(sealed) == Keys("my-key", "my-secret")
        assert "my-" not in repr(credentials.opened(sealed))

    def test_keys_can_be_changed(self, settings: Any) -> None:
        settings.CREDENTIALS_KEY = "first"
        sealed = credentials.seal(Keys("a", "b"))
        settings.CREDENTIALS_KEY = "second first"
        assert credentials.opened(sealed) == Keys("a", "b")
        settings.CREDENTIALS_KEY = "second"
        with pytest.raises(CredentialsError, match="another CREDENTIALS_KEY"):
            credentials.opened(sealed)

    def test_keys_of_before_there_were_passphrases_can_be_read(self) -> None:
        sealed = credentials._cipher().encrypt(b'["a", "b"]')
        assert credentials.opened(sealed) == Keys("a", "b", "")

    def test_none_is_an_error_by_name(self) -> None:
        with pytest.raises(CredentialsError, match="no API key"):
            credentials.opened(None)


class TestPage:
    def test_a_key_goes_in_and_never_comes_out(self, browser: Client, account: ExchangeAccount) -> None:
        page = act(browser, account, action="keys", api_key="another-key-1234", secret=secret_of("another-key-1234"))
        assert "…1234" in page
        assert "another-key" not in page
        assert "secret-of" not in page
        assert credentials.opened(account.credentials).api_key == "another-key-1234"
        assert "another" not in str(AuditLog.objects.values_list())
        admin = browser.get(reverse("admin:positions_exchangeaccount_change", args=[account.id])).content.decode()
        assert "another-key" not in admin

    def test_arming_takes_a_name_a_cap_and_a_reason(self, browser: Client, account: ExchangeAccount) -> None:
        for form in (
            {"cap": "1000", "name": "other", "reason": "let it trade"},
            {"cap": "-1", "name": account.name, "reason": "let it trade"},
            {"cap": "NaN", "name": account.name, "reason": "let it trade"},
            {"cap": "1000", "name": account.name, "reason": "x"},
        ):
            assert "note-error" in act(browser, account, action="arm", **form)
            assert not account.is_live
        page = act(browser, account, action="arm", cap="1000", name=account.name, reason="let it trade")
        assert "The exchange says 100000.00 USDT" in page
        assert (account.is_live, account.notional_cap) == (True, 1000)
        assert Event.objects.get(kind="account_armed").data["notional_cap"] == "1000"
        entry = AuditLog.objects.get(action="arm")
        assert (entry.reason, entry.after["armed"]) == ("let it trade", True)
        act(browser, account, action="disarm", reason="enough")
        assert (account.is_live, account.notional_cap) == (False, None)

    def test_a_key_that_the_exchange_refuses_is_not_armed(self, browser: Client, account: ExchangeAccount) -> None:
        act(browser, account, action="keys", api_key="a-key", secret="wrong")
        assert "the exchange refuses" in act(browser, account, action="arm", cap="1000", name=account.name, reason="let it trade")
        assert not account.is_live

    def test_another_key_disarms(self, browser: Client, account: ExchangeAccount) -> None:
        act(browser, account, action="arm", cap="1000", name=account.name, reason="let it trade")
        act(browser, account, action="keys", api_key="k2", secret=secret_of("k2"))
        assert not account.is_live

    def test_it_takes_a_permission(self, account: ExchangeAccount) -> None:
        for name in ("viewer", "operator", "trader-owner"):
            user = account.user
            user.groups.set([Group.objects.get(name=name)])
            client = Client()
            client.force_login(user)
            assert act(client, account, action="arm", cap="1000", name=account.name, reason="let it trade") == "403"

    def test_every_page_says_live_where_real_money_is_at_stake(self, browser: Client, account: ExchangeAccount, settings: Any) -> None:
        settings.SIMULATED_TRADING = {"binance"}
        act(browser, account, action="arm", cap="1000", name=account.name, reason="let it trade")
        assert "tag-live" not in browser.get("/").content.decode()
        settings.SIMULATED_TRADING = set()
        for path in ("/", "/stats/", "/admin/", reverse("desk:account", args=[account.id])):
            assert "tag-live" in browser.get(path).content.decode(), path

    def test_a_clock_at_another_speed_is_never_armed_for_real(self, account: ExchangeAccount, settings: Any, clock: SteppingClock) -> None:
        settings.CLOCK_SPEED = Decimal(20)
        with pytest.raises(ArmingError, match="clock"):
            arming.arm(account, cap="1", name=account.name, reason="why not", actor=arming.Actor("x", "cli"), now=clock.now)


def test_a_key_of_okx_comes_with_its_passphrase(browser: Client, clock: SteppingClock) -> None:
    account = make_venue_account(make_user(), market="okx", armed=False)
    assert 'name="passphrase"' in browser.get(reverse("desk:account", args=[account.id])).content.decode()
    assert "passphrase" in act(browser, account, action="keys", api_key="k9", secret=secret_of("k9"))
    assert account.api_key_hint == ""
    act(browser, account, action="keys", api_key="k9", secret=secret_of("k9"), passphrase=PASSPHRASE)
    assert credentials.opened(account.credentials) == Keys("k9", secret_of("k9"), PASSPHRASE)
    assert "The exchange says 100000.00 USDT" in act(browser, account, action="arm", cap="1000", name=account.name, reason="let it trade")


def test_what_can_be_chosen_can_be_traded() -> None:
    assert {(kind, market) for kind, markets in TRADED.items() for market in markets} == set(MAKERS)
    for kind in TRADED:
        with pytest.raises(ValidationError, match="this version trades"):
            ExchangeAccount(name="x", kind=kind, market="polymarket").clean()
    ExchangeAccount(name="x", kind="paper", market="polymarket").clean()


def test_a_paper_account_is_never_armed(clock: SteppingClock) -> None:
    paper = make_account(make_user())
    with pytest.raises(ArmingError):
        arming.arm(paper, cap="1", name=paper.name, reason="why not", actor=arming.Actor("x", "cli"), now=clock.now)
    assert exchange_for(paper).balance().total == 100_000
