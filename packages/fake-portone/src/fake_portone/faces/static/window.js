// The payment window of the fake: tells the fake what the person chose, and the shop's page what came of it.
"use strict";

const TEXTS = {
  ko: {
    banner: "테스트: 실제 돈은 움직이지 않습니다",
    title: "간편결제",
    close: "결제창 닫기",
    channel: "채널",
    choose: "무엇을 할까요?",
    approve: "결제 승인",
    decline: "승인 거절",
    late: "잠시 후 승인 (창은 열린 채)",
    afterClose: "창을 닫고, 나중에 승인",
    dishonest: "변조된 값으로 결제",
    account: "가상계좌 발급, 나중에 입금",
    pending: "승인 대기 상태로 두기",
    seconds: "몇 초 후",
    secondsByHand: "몇 초 후 입금 (비우면 직접)",
    otherAmount: "금액",
    otherCurrency: "통화",
    otherChannel: "채널 종류",
    otherChannelKey: "채널 키",
    otherStore: "상점 ID",
    webhook: "이 결제의 웹훅",
    webhookNormal: "정상",
    webhookTwice: "두 번",
    webhookLate: "늦게",
    webhookNever: "보내지 않음",
    webhookBefore: "돌아가기 전에",
    webhookSeconds: "지연 (초, 가짜 포트원의 시계)",
    real: (seconds) => `실제 ${seconds}초`,
    pay: (amount) => `${amount} 결제하기`,
    go: "확인",
    waiting: (seconds) => `${seconds}초 후에 승인합니다…`,
    working: "처리 중…",
    over: "이 결제창은 이미 끝났습니다.",
    gone: "없는 결제창입니다. 쇼핑몰에서 다시 시작해 주세요.",
    down: "가짜 포트원이 응답하지 않습니다. 켜져 있는지 확인하고 다시 눌러 주세요.",
    back: "쇼핑몰로 돌아가기",
    other: "English",
  },
  en: {
    banner: "TEST: no money moves",
    title: "Easy pay",
    close: "Close the payment window",
    channel: "Channel",
    choose: "What should happen?",
    approve: "Approve the payment",
    decline: "Decline it",
    late: "Approve a little later, window open",
    afterClose: "Close the window, approve later",
    dishonest: "Pay something else (a dishonest browser)",
    account: "Issue a virtual account, deposit later",
    pending: "Leave the approval pending",
    seconds: "After how many seconds",
    secondsByHand: "Deposit after seconds (empty: by hand)",
    otherAmount: "Amount",
    otherCurrency: "Currency",
    otherChannel: "Channel type",
    otherChannelKey: "Channel key",
    otherStore: "Store id",
    webhook: "This payment's webhooks",
    webhookNormal: "normal",
    webhookTwice: "twice",
    webhookLate: "late",
    webhookNever: "never",
    webhookBefore: "before the return",
    webhookSeconds: "Late by seconds of the fake's clock",
    real: (seconds) => `(${seconds} real ones)`,
    pay: (amount) => `Pay ${amount}`,
    go: "Go",
    waiting: (seconds) => `Approving in ${seconds} s…`,
    working: "Working…",
    over: "This payment window is over.",
    gone: "There is no such payment window. Begin again in the shop.",
    down: "The fake PortOne does not answer. See whether it runs, and press again.",
    back: "Back to the shop",
    other: "한국어",
  },
};
const BUYERS_WAYS = { late: "approve", dishonest: "approve" };
const DEFAULT_SECONDS = { late: "5", approve_after_close: "60", virtual_account: "" };

const $ = (id) => document.getElementById(id);
const here = location.pathname;
const isFramed = window.parent !== window;
let session = null;
let language = "en";
let said = null; // what stands in #message, by name
let isBusy = false;

const texts = () => TEXTS[language];
const chosen = () => $("form").elements.choice.value;

function money(amount, currency) {
  try {
    const format = new Intl.NumberFormat(language, { style: "currency", currency });
    const minor = 10 ** format.resolvedOptions().maximumFractionDigits;
    return format.format(amount / minor);
  } catch {
    return `${amount} ${currency}`;
  }
}

function show() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts()[element.dataset.text];
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", texts()[element.dataset.label]);
    element.title = texts()[element.dataset.label];
  }
  $("language").textContent = texts().other;
  $("language").lang = language === "ko" ? "en" : "ko";
  $("message").hidden = said === null;
  $("message").textContent = said === null ? "" : typeof said === "string" && texts()[said] ? texts()[said] : said;
  if (session === null) return;
  $("order-name").textContent = session.orderName;
  $("amount").textContent = money(session.totalAmount, session.currency);
  $("channel").textContent = `${session.channelType} · ${session.channelKey}`;
  const choice = chosen();
  $("with-seconds").hidden = !(choice in DEFAULT_SECONDS);
  $("with-seconds").querySelector("span").textContent =
    choice === "virtual_account" ? texts().secondsByHand : texts().seconds;
  $("with-lies").hidden = choice !== "dishonest";
  $("with-webhook-seconds").hidden = $("webhook").value !== "late";
  const real = session.speed ? Number($("webhook-seconds").value) / session.speed : Infinity;
  $("real-seconds").textContent = texts().real(real === Infinity ? "∞" : Math.round(real * 10) / 10);
  if (!isBusy) {
    $("go").textContent =
      choice === "approve" || choice === "late" ? texts().pay($("amount").textContent) : texts().go;
  }
}

function say(what) {
  said = what;
  show();
}

/** What the person chose, as the fake is told of it. */
function choice() {
  const value = chosen();
  const body = { choice: BUYERS_WAYS[value] ?? value, webhook: $("webhook").value };
  if (body.webhook === "late") body.webhookSeconds = Number($("webhook-seconds").value);
  const seconds = $("seconds").value;
  if (value === "approve_after_close" || (value === "virtual_account" && seconds !== "")) body.seconds = Number(seconds);
  if (value === "dishonest") {
    body.totalAmount = Number($("other-amount").value);
    body.currency = $("other-currency").value;
    body.channelType = $("other-channel").value;
    body.channelKey = $("other-channel-key").value;
    body.storeId = $("other-store").value;
  }
  return body;
}

async function countDown(seconds) {
  const until = performance.now() + seconds * 1000;
  for (let left = seconds; left > 0; left = (until - performance.now()) / 1000) {
    $("go").textContent = texts().waiting(Math.ceil(left));
    await new Promise((resolve) => setTimeout(resolve, Math.min(left * 1000, 250)));
  }
}

async function act(body) {
  const answer = await fetch(`${here}/choose`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new RangeError(said.message);
  return said;
}

async function submit() {
  if (isBusy) return;
  isBusy = true;
  $("go").disabled = $("choices").disabled = true;
  $("go").textContent = texts().working;
  say(null);
  const body = choice();
  if (chosen() === "late") await countDown(Number($("seconds").value));
  await conclude(body);
}

async function conclude(body) {
  try {
    leave(await act(body));
  } catch (error) {
    isBusy = false;
    $("go").disabled = $("choices").disabled = false;
    say(error instanceof RangeError ? error.message : "down");
  }
}

function leave({ result, returnUrl }) {
  if (isFramed) return tell("done", { result });
  if (returnUrl) return location.replace(returnUrl);
  over(returnUrl);
}

function over(returnUrl) {
  $("form").hidden = true;
  $("close").hidden = true;
  $("back-line").hidden = !returnUrl;
  if (returnUrl) $("back").href = returnUrl;
  say("over");
}

/** Tell the page that shows this window, and no other. */
function tell(kind, more = {}) {
  window.parent.postMessage({ kind, window: session.id, ...more }, session.origin ?? "*");
}

function close() {
  if (session === null || session.result) return;
  conclude({ choice: "close", webhook: $("webhook").value });
}

async function begin() {
  let answer;
  try {
    answer = await fetch(`${here}/session`);
  } catch {
    return say("down");
  }
  if (!answer.ok) return say("gone");
  session = await answer.json();
  if (session.locale) language = session.locale.startsWith("KO") ? "ko" : "en";
  if (session.result) return isFramed ? leave(session) : over(session.returnUrl);
  $("other-amount").value = session.totalAmount;
  $("other-currency").value = session.currency;
  $("other-channel").value = session.channelType;
  $("other-channel-key").value = session.channelKey;
  $("other-store").value = session.storeId;
  $("form").hidden = false;
  show();
  $("go").focus();
  if (isFramed) tell("ready");
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("form").addEventListener("input", show);
$("form").addEventListener("change", (event) => {
  if (event.target.name === "choice") {
    $("seconds").value = DEFAULT_SECONDS[event.target.value] ?? "";
    event.target.closest("label").after($("with-seconds"), $("with-lies"));
  }
  $("seconds").required = chosen() === "late" || chosen() === "approve_after_close";
  show();
});
$("close").addEventListener("click", close);
$("language").addEventListener("click", () => {
  language = language === "ko" ? "en" : "ko";
  show();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});
addEventListener("message", (event) => {
  const isOurs = event.source === window.parent && session !== null && event.data?.window === session.id;
  if (isFramed && isOurs && event.origin === (session.origin ?? event.origin) && event.data.kind === "close") close();
});

language = navigator.language.startsWith("ko") ? "ko" : "en";
show();
begin();
