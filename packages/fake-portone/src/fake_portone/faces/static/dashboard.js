// The fake's own page. Everything shown comes from one event stream; data is only ever set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const rows = { payments: new Map(), deliveries: new Map(), faults: new Map() };
const kept = { payments: new Map(), deliveries: new Map() };
const ROWS = { payments: "payment", deliveries: "delivery", faults: "fault" };
const SHOWN_MOST = 500;
let catalogue = [];
let on = [];
let ahead = 0; // milliseconds by which the fake's wall clock is ahead of this page's

/** An element with properties, `data` for data attributes, and children (strings become text). */
function make(tag, { data = {}, attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function money(amount, currency) {
  try {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch {
    return `${amount} ${currency}`;
  }
}

function clockTime(moment) {
  return make("time", { dateTime: moment, title: moment }, moment.slice(11, 23));
}

function say(message) {
  $("message").hidden = !message;
  $("message").textContent = message;
}

/** Ask the fake for something; what it answered, or null once it was said what is wrong. */
async function ask(method, path, body) {
  try {
    const answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const said = await answer.json();
    say(answer.ok ? "" : `${said.type}: ${said.message}`);
    return answer.ok ? said : null;
  } catch {
    say("The fake does not answer.");
    return null;
  }
}

/** A button; `of` tells those who do not see where it stands what it belongs to. */
const button = (text, act, testid, of) =>
  make("button", {
    type: "button", textContent: text, onclick: act, data: { testid }, attributes: { "aria-label": `${text} ${of}` },
  });

function copyable(title, text, testid) {
  const copy = button("copy", async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "copied";
  }, "copy", title);
  return make(
    "div",
    {},
    make("div", { className: "line" }, make("b", { textContent: title }), copy),
    make("pre", { textContent: text, tabIndex: 0, data: { testid } }),
  );
}

const headerLines = (headers) => Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join("\n");

// --- payments ---

const TONES = { PAID: "good", PARTIAL_CANCELLED: "wait", CANCELLED: "bad", FAILED: "bad", READY: "", PAY_PENDING: "wait", VIRTUAL_ACCOUNT_ISSUED: "wait" };

function paymentTools(payment) {
  const act = (what, body) => () => ask("POST", `/_fake/payments/${encodeURIComponent(payment.id)}/${what}`, body ?? {});
  const tools = make("div", { className: "tools" });
  const add = (text, what, testid) => tools.append(button(text, what, testid, payment.id));
  if (["READY", "PAY_PENDING", "FAILED"].includes(payment.status)) {
    add("approve", act("pay"), "payment-approve");
    if (payment.status !== "FAILED") add("decline", act("fail"), "payment-decline");
    if (payment.status === "READY") add("pending", act("pending"), "payment-pending");
  }
  if (payment.status === "VIRTUAL_ACCOUNT_ISSUED") add("deposit", act("deposit"), "payment-deposit");
  if (payment.cancellable > 0) {
    const amount = make("input", {
      type: "number", min: 1, max: payment.cancellable, step: 1, value: payment.cancellable,
      data: { testid: "cancel-amount" }, attributes: { "aria-label": `Amount to cancel of ${payment.id}` },
    });
    const cancel = () => amount.reportValidity() && act("cancel", { amount: amount.valueAsNumber })();
    tools.append(amount);
    add("cancel", cancel, "payment-cancel");
  }
  add("its webhooks", () => showOnly(payment.id), "payment-webhooks");
  return tools;
}

function paymentRow(payment) {
  const went = payment.trail.map((step) => `${step.at.slice(11, 23)} ${step.status}`).join(" → ");
  return [
    make(
      "div",
      { className: "line" },
      make("span", { className: `badge ${TONES[payment.status] ?? ""}`, textContent: payment.status, data: { testid: "payment-status" } }),
      make("b", { textContent: payment.orderName }),
      make("span", { className: "money", textContent: money(payment.total, payment.currency) }),
      payment.cancelled ? make("span", { className: "money warn", textContent: `−${money(payment.cancelled, payment.currency)}` }) : null,
      payment.tampered ? make("span", { className: "warn", textContent: "not what the page asked for" }) : null,
    ),
    make(
      "div",
      { className: "line faint" },
      make("code", { textContent: payment.id }),
      make("span", { textContent: `${payment.channelType} · ${payment.channelKey}` }),
      make("span", { textContent: payment.storeId }),
      make("span", { textContent: payment.attempts === 1 ? "1 attempt" : `${payment.attempts} attempts` }),
      payment.account ? make("span", { textContent: `account ${payment.account}` }) : null,
      payment.failure ? make("span", { textContent: payment.failure }) : null,
    ),
    make("div", { className: "line faint" }, make("small", { textContent: went })),
    ...payment.cancellations.map((one) =>
      make("div", { className: "line faint" }, make("small", {
        textContent: `cancellation ${one.status} ${money(one.totalAmount, payment.currency)} by ${one.trigger}: ${one.reason}`,
      })),
    ),
    paymentTools(payment),
  ];
}

// --- webhooks ---

function answerText(attempt) {
  return attempt.status === null ? attempt.error : `HTTP ${attempt.status}`;
}

function deliveryRow(delivery) {
  const tone = { succeeded: "good", waiting: "wait", exhausted: "bad", dropped: "bad" }[delivery.state];
  const name = `${delivery.type} of ${delivery.payment}`;
  const details = make("div", { data: { testid: "delivery-details" }, hidden: true });
  const toggle = button("headers and body", async () => {
    details.hidden = !details.hidden;
    toggle.setAttribute("aria-expanded", String(!details.hidden));
    if (!details.hidden) await fillDetails(details, delivery.id);
  }, "delivery-show", name);
  toggle.setAttribute("aria-expanded", "false");
  return [
    make(
      "div",
      { className: "line" },
      make("span", { className: `badge ${tone}`, textContent: delivery.state, data: { testid: "delivery-state" } }),
      make("b", { textContent: delivery.type }),
      make("code", { className: "faint", textContent: delivery.payment }),
    ),
    ...delivery.attempts.map((attempt, number) =>
      make(
        "div",
        { className: "line faint", data: { testid: "delivery-attempt" } },
        make("small", {}, `${number + 1}. `, clockTime(attempt.at), " ", make("span", {
          textContent: answerText(attempt), className: attempt.status >= 200 && attempt.status < 300 ? "" : "warn",
        }), ` from ${delivery.url}`),
      ),
    ),
    make(
      "div",
      { className: "tools" },
      button("resend", () => ask("POST", `/_fake/deliveries/${encodeURIComponent(delivery.id)}/resend`), "delivery-resend", name),
      toggle,
    ),
    details,
  ];
}

async function fillDetails(details, id) {
  const all = await ask("GET", `/_fake/deliveries/${encodeURIComponent(id)}`);
  if (!all) return;
  details.replaceChildren(
    copyable("Body, as sent", all.body, "delivery-body"),
    ...all.attempts.flatMap((attempt, number) => [
      copyable(`Headers of attempt ${number + 1}`, headerLines(attempt.headers), "delivery-headers"),
      make("p", { className: "faint", textContent: `It was answered: ${answerText(attempt)}` }),
      attempt.answer ? make("pre", { textContent: attempt.answer, tabIndex: 0, data: { testid: "delivery-answer" } }) : null,
    ].filter(Boolean)),
    copyable("Send it yourself: signed just now, good for five minutes", all.curl, "delivery-curl"),
  );
}

// --- faults ---

function faultRow(kind) {
  const active = on.filter((fault) => fault.name === kind.name);
  const first = active[0];
  const field = (name, label, properties) => {
    const input = make("input", { value: first?.[name] ?? "", ...properties, data: { option: name }, attributes: { "aria-label": `${kind.name}: ${label}` } });
    return make("label", {}, label, input);
  };
  const fired = active.reduce((sum, fault) => sum + fault.fired, 0);
  const row = [
    make(
      "label",
      {},
      make("input", { type: "checkbox", checked: active.length > 0, onchange: () => putFault(kind.name), data: { fault: kind.name, testid: `fault-${kind.name}` } }),
      make("span", {}, make("code", { textContent: kind.name }), ` ${kind.description}`),
    ),
    make("span", { className: "badge wait", textContent: active.length ? `on · ${fired}×` : "", hidden: !active.length, data: { testid: "fault-fired" } }),
    make(
      "div",
      { className: "options" },
      field("probability", "probability", { type: "number", min: 0, max: 1, step: "any", placeholder: "1" }),
      field("times", "times", { type: "number", min: 1, step: 1, placeholder: "∞" }),
      kind.seconds === null ? null : field("seconds", "seconds", { type: "number", min: 0, step: "any", placeholder: String(kind.seconds) }),
      field("match", "only", { type: "text", placeholder: "all", className: "wide" }),
      active.length > 1 ? make("small", { className: "faint", textContent: `and ${active.length - 1} more, by match` }) : null,
    ),
  ];
  for (const input of row[2].querySelectorAll("input")) {
    input.addEventListener("change", () => row[0].querySelector("input").checked && putFault(kind.name));
  }
  return row;
}

/** What is left of faults that are on: the fake counts anew whenever faults are put. */
function leftOf(faults) {
  return faults
    .map(({ fired, ...fault }) => (fault.times === undefined ? fault : { ...fault, times: fault.times - fired }))
    .filter((fault) => fault.times !== 0);
}

/** Switch the fault of one row on or off. Of one that is on several times, the row speaks for the first. */
async function putFault(name) {
  const row = rows.faults.get(name);
  const others = leftOf(on.filter((fault) => fault.name !== name));
  if (!row.querySelector("[data-fault]").checked) return ask("PUT", "/_fake/faults", others);
  const wanted = { name };
  for (const input of row.querySelectorAll("[data-option]")) {
    if (!input.reportValidity()) return;
    if (input.value !== "") wanted[input.dataset.option] = input.type === "number" ? input.valueAsNumber : input.value;
  }
  await ask("PUT", "/_fake/faults", [...others, wanted, ...leftOf(on.filter((fault) => fault.name === name).slice(1))]);
}

function showFaults(faults) {
  const isSame = JSON.stringify(faults.on) === JSON.stringify(on) && catalogue.length > 0;
  if (isSame) return;
  const before = on;
  catalogue = faults.catalogue;
  on = faults.on;
  for (const kind of catalogue) {
    const of = (list) => JSON.stringify(list.filter((fault) => fault.name === kind.name));
    if (rows.faults.has(kind.name) && of(before) === of(on)) continue;
    fill("faults", kind.name, faultRow(kind), (row, list) => list.append(row));
    rows.faults.get(kind.name).className = "fault";
  }
}

// --- all of it ---

/** Put `children` into the row of this key, made by `place` if it is new; focus stays where it was. */
function fill(kind, key, children, place) {
  let row = rows[kind].get(key);
  if (!row) {
    row = make("li", { data: { testid: ROWS[kind], key } });
    rows[kind].set(key, row);
    place(row, $(kind));
  }
  const testid = row.contains(document.activeElement) ? document.activeElement.dataset.testid : undefined;
  row.replaceChildren(...children.filter(Boolean));
  if (testid) row.querySelector(`[data-testid="${testid}"]`)?.focus();
  return row;
}

function onTop(row, list) {
  list.prepend(row);
}

function showPayment(payment) {
  kept.payments.set(payment.id, payment);
  fill("payments", payment.id, paymentRow(payment), onTop);
}

function showDelivery(delivery) {
  const before = rows.deliveries.get(delivery.id);
  const wasOpen = before && !before.querySelector('[data-testid="delivery-details"]').hidden;
  kept.deliveries.set(delivery.id, delivery);
  const row = fill("deliveries", delivery.id, deliveryRow(delivery), onTop);
  if (wasOpen) row.querySelector('[data-testid="delivery-show"]').click();
}

function showOnly(paymentId) {
  $("only").value = $("only").value === paymentId ? "" : paymentId;
  filter();
}

/** Hide what is not of the paymentId that stands in the field; forget the oldest of too many. */
function filter() {
  const only = $("only").value.trim();
  for (const kind of ["payments", "deliveries"]) {
    for (const [key, row] of rows[kind]) {
      if (rows[kind].size <= SHOWN_MOST) break;
      row.remove();
      rows[kind].delete(key);
      kept[kind].delete(key);
    }
    let shown = 0;
    for (const [key, row] of rows[kind]) {
      const of = kind === "payments" ? key : kept.deliveries.get(key).payment;
      row.hidden = !of.includes(only);
      if (!row.hidden) shown += 1;
    }
    $(`no-${kind}`).hidden = rows[kind].size > 0;
    $(`${kind}-count`).textContent = String(shown);
  }
}

function showTotals(totals) {
  $("totals").replaceChildren(
    ...Object.entries(totals).map(([currency, balance]) =>
      make(
        "tr",
        { data: { testid: `total-${currency}` } },
        make("th", { scope: "row", textContent: currency }),
        ...["captured", "cancelled", "net"].map((name) =>
          make("td", { className: "number", textContent: money(balance[name], currency), data: { testid: name } }),
        ),
      ),
    ),
  );
  $("no-totals").hidden = Object.keys(totals).length > 0;
}

function tick() {
  const now = new Date(Date.now() + ahead).toISOString();
  $("now").textContent = `${now.replace("T", " ").slice(0, 19)} UTC`;
  $("now").dateTime = now;
}

function showClock(clock) {
  ahead = Date.parse(clock.now) - Date.now();
  tick();
  if (document.activeElement !== $("speed")) $("speed").value = clock.speed;
}

function show(state) {
  state.payments.forEach(showPayment);
  state.deliveries.forEach(showDelivery);
  showTotals(state.totals);
  showFaults(state.faults);
  showClock(state.clock);
  filter();
}

function connected(text, tone) {
  $("connection").textContent = text;
  $("connection").className = `badge ${tone}`;
}

const stream = new EventSource("/_fake/events");
stream.addEventListener("snapshot", (event) => {
  for (const kind of ["payments", "deliveries"]) {
    rows[kind].clear();
    kept[kind].clear();
    $(kind).replaceChildren();
  }
  connected("live", "good");
  show(JSON.parse(event.data));
});
stream.addEventListener("change", (event) => show(JSON.parse(event.data)));
stream.addEventListener("error", () => connected("not connected, trying again", "bad"));

setInterval(tick, 1000);
$("only").addEventListener("input", filter);
$("faults-off").addEventListener("click", () => ask("DELETE", "/_fake/faults"));
$("clock-form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("POST", "/_fake/clock", { speed: $("speed").valueAsNumber });
});
for (const advance of document.querySelectorAll("[data-advance]")) {
  advance.addEventListener("click", () => ask("POST", "/_fake/clock", { advance: Number(advance.dataset.advance) }));
}
$("try").textContent =
  `curl -X POST ${location.origin}/_fake/payments/my-payment/pay -d ` +
  `'{"storeId": "store", "channelKey": "channel", "orderName": "VIP", "totalAmount": 71000, "currency": "KRW"}'`;
