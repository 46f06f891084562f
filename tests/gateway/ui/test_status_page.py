"""The status page in a real browser, over a real gateway and a real deployment."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from inference_engine import AsyncConsumer, AsyncProducer
from inference_engine.deployment import Deployment
from inference_engine.errors import TransportError
from inference_engine.fleet.view import ConsumerView, Fleet, LabelStatistics
from inference_engine.gateway.dispatch import service
from inference_engine.operations.activity import Activity
from inference_engine.operations.backlog import LabelWork
from inference_engine.settings import Settings
from tests.support.browser import Tab, browser_tab, unavailable_reason
from tests.support.gateway import running_gateway

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason())),
]

HOSTILE = "<img src=x onerror=alert(1)>"
#: WCAG 2.2, success criterion 1.4.3.
CONTRAST_MIN = 4.5

#: The least contrast of a text that is seen, with that text; colours of grounds lie over each other until one is opaque.
LEAST_CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((value, index) => value * a + below[index] * (1 - a));
  const ground = (node) => {
    const own = node ? parse(getComputedStyle(node).backgroundColor) : [255, 255, 255];
    return own.length < 4 || own[3] === 1 ? own.slice(0, 3) : over(own, ground(node.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => value / 255).map((value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = [99, "nothing is seen"], seen = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim();
    if (!text || !node.checkVisibility() || node.closest(".unseen, script, noscript")) continue;
    seen += 1;
    const style = getComputedStyle(node), below = ground(node);
    const colour = over(parse(node instanceof SVGElement ? style.fill : style.color), below);
    const [high, low] = [light(colour), light(below)].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < least[0]) least = [contrast, `${text} in ${node.className.baseVal ?? node.className}`];
  }
  return [...least, seen];
})()"""


#: From now on `added` counts rows that are put into the table of labels, moved ones too; `kept` is one that is there.
COUNT_ADDED_ROWS = """(() => {
  const body = document.querySelector("#labels tbody");
  [window.added, window.kept] = [0, body.rows[125]];
  new MutationObserver((changes) => { for (const { addedNodes } of changes) added += addedNodes.length; })
    .observe(body, { childList: true });
})()"""


async def compute(body: dict[str, Any], message_id: str) -> Any:
    if body.get("fail"):
        raise ValueError("no such thing as <b>this</b>")
    return {"echo": body}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A deployment whose consumers write their rows often."""
    return settings.model_copy(update={"lease_seconds": 9})


@pytest.fixture
async def consumer(settings: Settings) -> AsyncIterator[AsyncConsumer]:
    async with AsyncConsumer(
        settings, compute_result=compute, max_labels=3, consumer_id="consumer-1", unretryable=(ValueError,)
    ) as consumer:
        yield consumer


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[AsyncProducer]:
    async with AsyncProducer(settings) as producer:
        yield producer


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with running_gateway(settings) as url:
        yield url


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browser_tab() as tab:
        await tab.size(1280, 900)
        yield tab


def row(table: str, name: str) -> str:
    """The texts of the cells of a table's row, in the page's language; null where there is no such row."""
    return (
        f"[...document.querySelectorAll('#{table} tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
        f".find(([name]) => name === {json.dumps(name)})"
    )


def cell(table: str, name: str, column: str) -> str:
    """The text of a cell, by its row and its column."""
    heads = (
        f"[...document.querySelectorAll('#{table} thead th')].map((head) => head.innerText.trim().split(/[ ↑↓]*$/)[0])"
    )
    return f"({row(table, name)})?.[{heads}.indexOf({json.dumps(column)})]"


# --- what it shows -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("consumer")
async def test_it_shows_the_deployment_as_it_changes(url: str, tab: Tab, producer: AsyncProducer) -> None:
    await producer.post({"n": 1}, "red")
    await tab.open(f"{url}/ui")
    await tab.until(f"{cell('labels', 'red', 'State')}?.includes('loaded')")
    await tab.until(f"{cell('consumers', 'consumer-1', 'Jobs')} === '1'")
    assert await tab.value(cell("consumers", "consumer-1", "Slots")) == "1 of 3"
    assert await tab.value(cell("matrix", "red", "consumer-1")) == "■"
    assert await tab.value("document.querySelector('#deployment').textContent") == producer.settings.prefix

    await producer.post({"n": 2}, HOSTILE)
    await asyncio.gather(*(producer.post({"n": n}, "red") for n in range(3)))
    await tab.until(f"{cell('consumers', 'consumer-1', 'Jobs')} === '5'")
    await tab.until(f"{cell('labels', HOSTILE, 'State')}?.includes('loaded')")
    await tab.until(f"/^\\d/.test({cell('consumers', 'consumer-1', 'Jobs/s')})")
    await tab.until("document.querySelector('#chart-jobs path.series') !== null")
    assert await tab.value("document.querySelectorAll('img').length") == 0
    assert tab.complaints == []


@pytest.mark.usefixtures("consumer")
async def test_calls_through_the_gateway_are_counted_and_timed(url: str, tab: Tab) -> None:
    await tab.open(f"{url}/ui")
    await tab.until("document.querySelector('#chart-latency').innerText.includes('no call through this gateway yet')")
    task = {"task_type": "anything", "label": "red", "parameters_json": "{}"}
    sent = f"""fetch("run-task", {{method: "POST", headers: {{"Content-Type": "application/json"}},
        body: {json.dumps(json.dumps(task))}}}).then((answer) => answer.status)"""
    assert await tab.value(sent) == 200
    await tab.until(f"({row('outcomes', 'dispatched')})?.[1] === '1'")
    await tab.until("document.querySelectorAll('#chart-latency .plot path.series').length === 3")
    assert "Latency p99\n" in await tab.value("document.querySelector('#gateway').innerText")
    assert tab.complaints == []


async def test_labels_that_nobody_serves_are_named_first(
    url: str, tab: Tab, producer: AsyncProducer, deployment: Deployment
) -> None:
    await deployment.registry.failed("broken", "ModelLoadError: <i>no</i> such key", 60)
    await producer.post_non_blocking({}, HOSTILE)
    await tab.open(f"{url}/ui")
    await tab.until("document.querySelectorAll('#attention li').length === 2")
    told = await tab.value("document.querySelector('#attention').innerText")
    assert f"{HOSTILE} has 1 waiting job and no consumer" in told
    assert "broken could not be loaded (1 try;" in told
    assert "<i>no</i> such key" in told
    assert await tab.value("document.querySelector('#consumers').innerText.includes('No consumer')")
    assert tab.complaints == []


# --- jobs ----------------------------------------------------------------------------------------------------------------


async def look_up(tab: Tab, message_id: str) -> None:
    await tab.type("#job-id", message_id)
    await tab.click("#job-form button")


@pytest.mark.usefixtures("consumer")
async def test_a_job_by_its_id(url: str, tab: Tab, producer: AsyncProducer) -> None:
    done = await producer.post({"text": "<b>bold</b>"}, "red")
    failed = await producer.post({"fail": True}, "red")
    await tab.open(f"{url}/ui")
    await tab.until(row("labels", "red"))
    await look_up(tab, done.message_id)
    await tab.until("document.querySelector('#job').innerText.includes('SUCCESS')")
    shown = await tab.value("document.querySelector('#job-result').innerText")
    assert json.loads(shown) == {"echo": {"text": "<b>bold</b>"}}
    facts = await tab.value("document.querySelector('#job dl').innerText")
    assert all(f"{name}\n" in facts for name in ("Waited", "Computed", "Submitted", "Started", "Finished"))
    assert "–" not in facts
    await look_up(tab, failed.message_id)
    await tab.until("document.querySelector('#job-error').innerText === 'ValueError: no such thing as <b>this</b>'")
    assert await tab.value("document.querySelector('#job-result').hidden")
    assert tab.complaints == []


async def test_a_job_that_waits_can_be_cancelled(url: str, tab: Tab, producer: AsyncProducer) -> None:
    message_id = await producer.post_non_blocking({}, "red")
    await tab.open(f"{url}/ui")
    await tab.until(row("labels", "red"))
    await look_up(tab, message_id)
    await tab.until("document.querySelector('#job').innerText.includes('SUBMITTED')")
    await tab.click("#job-cancel")
    await tab.until("document.querySelector('#job').innerText.includes('CANCELLED')")
    assert await tab.value("document.querySelector('#job-cancel').hidden")
    await look_up(tab, "no-such-job")
    await tab.until("document.querySelector('#job-problem').innerText.includes('no-such-job')")


# --- how it looks --------------------------------------------------------------------------------------------------------


GROUND = "getComputedStyle(document.body).backgroundColor"


async def test_dark_and_light(url: str, tab: Tab) -> None:
    await tab.colours("light")
    await tab.open(f"{url}/ui")
    light = await tab.value(GROUND)
    await tab.colours("dark")
    dark = await tab.value(GROUND)
    assert light != dark
    await tab.click("#theme")
    assert await tab.value(GROUND) == light
    await tab.open(f"{url}/ui")
    assert await tab.value(GROUND) == light, "the choice is kept"


@pytest.mark.usefixtures("consumer")
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_can_be_read(url: str, tab: Tab, producer: AsyncProducer, deployment: Deployment, width: int) -> None:
    await deployment.registry.failed("broken-" + "long" * 40, "ModelLoadError: " + "no-such-key" * 30, 60)
    done = await producer.post({"words": ["word"] * 200}, "red")
    await tab.size(width, 800, phone=width < 500)
    await tab.open(f"{url}/ui")
    await tab.until(row("labels", "red"))
    await tab.until(f"({row('matrix', 'red')})?.length === 2")
    await look_up(tab, done.message_id)
    await tab.until("document.querySelector('#job-result').innerText.length > 100")
    page = "document.documentElement"
    assert await tab.value(f"{page}.scrollWidth <= {page}.clientWidth")
    for scheme in ("light", "dark"):
        await tab.colours(scheme)
        contrast, where, seen = await tab.value(LEAST_CONTRAST)
        assert contrast >= CONTRAST_MIN, f"{scheme}: {where}"
        assert seen > 60
    unnamed = "[...document.querySelectorAll('th')].filter((head) => !head.scope).length"
    assert await tab.value(unnamed) == 0


# --- keys ----------------------------------------------------------------------------------------------------------------


async def test_it_asks_for_an_operators_key(settings: Settings, deployment: Deployment, tab: Tab) -> None:
    user, _ = await deployment.api_keys.create("user")
    operator, _ = await deployment.api_keys.create("operator", operator=True)
    with running_gateway(settings, require_keys=True) as url:
        await tab.open(f"{url}/ui")
        await tab.until("!document.querySelector('#key-form').hidden")
        for key, reason in (("ie_nobody", "not of the form"), (user, "operator")):
            await tab.type("#key", key)
            await tab.click("#key-form button")
            await tab.until(f"document.querySelector('#key-reason').innerText.includes({json.dumps(reason)})")
            assert await tab.value("document.querySelector('#content').hidden")
        await tab.type("#key", operator)
        await tab.click("#key-form button")
        await tab.until("!document.querySelector('#content').hidden")
        assert await tab.value("document.querySelector('#key-form').hidden")
        assert await tab.value("Object.keys(localStorage).length") == 0
        await tab.open(f"{url}/ui")
        await tab.until("document.querySelector('#connection').innerText.includes('Live')")


@pytest.mark.parametrize(("status", "told"), [(401, ""), (403, "not from here")])
async def test_without_a_key_the_reason_of_a_refusal_is_told(url: str, tab: Tab, status: int, told: str) -> None:
    await tab.open(f"{url}/ui")
    await tab.until("document.querySelector('#connection').innerText.includes('Live')")
    problem = json.dumps(json.dumps({"detail": "not from here"}))
    await tab.value(f"void (window.fetch = async () => new Response({problem}, {{ status: {status} }}))")
    await tab.until("!document.querySelector('#key-form').hidden")
    assert await tab.value("document.querySelector('#key-reason').innerText") == told


# --- when something is wrong, and when nobody looks ----------------------------------------------------------------------


async def test_a_gateway_that_is_gone_is_told(settings: Settings, tab: Tab) -> None:
    with running_gateway(settings) as url:
        await tab.open(f"{url}/ui")
        await tab.until("document.querySelector('#connection').innerText.includes('Live')")
    await tab.until("document.querySelector('#banner').innerText.includes('does not answer')")
    assert await tab.value("document.querySelector('#connection').innerText.includes('Gateway gone')")
    assert not await tab.value("document.querySelector('#content').hidden")


async def test_a_deployment_that_cannot_be_read_is_told_and_so_is_its_return(
    url: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_arguments: object, **_options: object) -> Activity:
        raise TransportError("the table is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(service, "read_activity", refuses)
        await tab.open(f"{url}/ui")
        await tab.until("document.querySelector('#banner').innerText.includes('cannot read the deployment')")
        assert "on fire" not in await tab.value("document.body.innerText")
    await tab.until("document.querySelector('#banner').hidden && !document.querySelector('#content').hidden")


async def test_old_data_is_called_stale(url: str, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Activity((), Fleet(), (), (), time.time() - 60)

    async def reads_old(*_arguments: object, **_options: object) -> Activity:
        return old

    monkeypatch.setattr(service, "read_activity", reads_old)
    await tab.open(f"{url}/ui")
    await tab.until("document.querySelector('#connection').innerText.includes('Stale: read 1 min')")


async def test_a_tab_that_nobody_sees_does_not_ask(url: str, tab: Tab) -> None:
    await tab.open(f"{url}/ui")
    await tab.until("document.querySelector('#connection').innerText.includes('Live')")
    hide = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s});"
    turn = hide + "document.dispatchEvent(new Event('visibilitychange'))"
    await tab.value(
        "globalThis.asked = 0; fetch = ((plain) => (...told) => { asked += 1; return plain(...told); })(fetch); null"
    )
    await tab.until("asked > 0")
    await tab.value(turn % "true")
    before = await tab.value("asked")
    # That nothing happens cannot be waited for: two intervals must pass.
    await tab.value("new Promise((resolve) => setTimeout(resolve, 4500))")
    assert await tab.value("asked") == before
    await tab.value(turn % "false")
    assert await tab.value("asked") == before + 1


# --- many labels ---------------------------------------------------------------------------------------------------------

LABELS = 500


async def test_five_hundred_labels_can_be_filtered_and_sorted(
    url: str, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"customer-{number:03d}" for number in range(LABELS)]
    views = tuple(
        ConsumerView(
            consumer_id=f"consumer-{number}",
            lease_until=time.time() + 600,
            loaded={name: LabelStatistics() for name in names[number::20]},
        )
        for number in range(20)
    )
    work = tuple(LabelWork(name, visible=number, holders=1, loaded=True) for number, name in enumerate(names))

    async def reads(*_arguments: object, **_options: object) -> Activity:
        return Activity(work, Fleet(views, time.time()), (), (), time.time())

    monkeypatch.setattr(service, "read_activity", reads)
    await tab.open(f"{url}/ui")
    await tab.until(f"document.querySelectorAll('#labels tbody tr').length === {LABELS}")
    assert await tab.value("document.querySelectorAll('#matrix td.held').length") == LABELS
    first = "document.querySelector('#labels tbody th').innerText"
    await tab.click("#labels thead th:nth-child(3) button")
    assert await tab.value(first) == "customer-499"
    assert await tab.value("document.querySelector('#labels thead th:nth-child(3)').ariaSort") == "descending"
    await tab.click("#labels thead th:nth-child(3) button")
    assert await tab.value(first) == "customer-000"
    await tab.value(COUNT_ADDED_ROWS)
    await tab.type("#filter", "R-12")
    await tab.until("document.querySelectorAll('#labels tbody tr').length === 10")
    assert await tab.value("[added, kept.isConnected]") == [0, True], "a row that stays is not moved"
    await tab.value(
        "import('/ui/elements.js').then(({ arrange, make }) =>"
        " arrange(kept.parentElement, [make('tr'), ...kept.parentElement.children]))"
    )
    assert await tab.value("added") == 1
    assert await tab.value("document.querySelectorAll('#matrix tbody tr').length") == 10
    assert await tab.value("document.querySelector('#labels-count').innerText") == "10 of 500"
    await tab.value(
        "(show => { show.value = 'attention'; show.dispatchEvent(new Event('change')); })(document.querySelector('#show'))"
    )
    assert await tab.value("document.querySelector('#labels tbody').innerText") == "No label matches."
    assert tab.complaints == []
