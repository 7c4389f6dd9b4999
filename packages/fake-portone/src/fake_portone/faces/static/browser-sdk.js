// A stand-in for PortOne's browser-sdk.js that opens the fake's payment window. Load it before the shop's own script:
// the npm package @portone/browser-sdk leaves a window.PortOne alone that is already there.
// It needs of the shop's Content-Security-Policy: script-src, connect-src and frame-src of the fake's origin.
(() => {
  "use strict";

  const FAKE = new URL(document.currentScript.src).origin;
  const KAKAOPAY = "the KakaoPay channel";
  let isOpen = false;

  class PaymentError extends Error {
    constructor(code, message, paymentId) {
      super(message);
      this.name = "PaymentError";
      this.__portOneErrorType = "PaymentError";
      this.transactionType = "PAYMENT";
      this.code = code;
      this.paymentId = paymentId;
    }
  }

  /** Whether PortOne would take this for a phone, where the window replaces the page. */
  function isPhone() {
    return (
      navigator.userAgentData?.mobile === true ||
      /Android|iPhone|iPad|iPod|Mobile/i.test(navigator.userAgent) ||
      matchMedia("(max-width: 480px)").matches
    );
  }

  /** What is wrong with the request, as [code, message]; null if nothing is. */
  function problem(request, phone) {
    const bad = (message) => ["BadRequest", message];
    if (request === null || typeof request !== "object") return bad("requestPayment takes an object");
    for (const name of ["storeId", "paymentId", "orderName", "currency", "payMethod"]) {
      if (typeof request[name] !== "string" || request[name] === "") return bad(`${name} is missing`);
    }
    if (!request.channelKey && request.channelGroupId) return bad("the fake has no channel groups: give a channelKey");
    if (typeof request.channelKey !== "string" || request.channelKey === "") return bad("channelKey is missing");
    if (!Number.isSafeInteger(request.totalAmount) || request.totalAmount < 1) {
      return bad("totalAmount must be a whole number, 1 or more");
    }
    if (request.currency.replace(/^CURRENCY_/, "") !== "KRW") return bad(`${KAKAOPAY} takes KRW only`);
    if (request.payMethod !== "EASY_PAY") return bad(`${KAKAOPAY} takes the payMethod EASY_PAY only`);
    const { pc = "IFRAME", mobile = "REDIRECTION" } = request.windowType ?? {};
    if (pc !== "IFRAME") return bad(`${KAKAOPAY} opens on a PC as windowType.pc IFRAME only`);
    if (mobile !== "REDIRECTION") return bad(`${KAKAOPAY} opens on a phone as windowType.mobile REDIRECTION only`);
    if (request.redirectUrl !== undefined && !/^https?:\/\/[^/]/i.test(request.redirectUrl)) {
      return bad("redirectUrl must be an http or https address");
    }
    if ((phone || request.forceRedirect) && !request.redirectUrl) return bad("redirectUrl is missing: the page is left");
    return null;
  }

  /** Open a window at the fake; PaymentError if it would not. What it need not know of the buyer is not sent. */
  async function begin(request) {
    const { paymentId, storeId, channelKey, orderName, totalAmount, taxFreeAmount, currency } = request;
    const asked = { paymentId, storeId, channelKey, orderName, totalAmount, taxFreeAmount, currency };
    for (const name of ["noticeUrls", "redirectUrl", "locale"]) {
      if (request[name] !== undefined) asked[name] = request[name];
    }
    let answer;
    try {
      answer = await fetch(`${FAKE}/_fake/window`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(asked),
      });
    } catch {
      throw new PaymentError("UnknownError", `the fake PortOne at ${FAKE} does not answer`, paymentId);
    }
    const body = await answer.json();
    if (answer.ok) return body;
    throw new PaymentError(body.type === "ALREADY_PAID" ? "PaymentAlreadyPaid" : "BadRequest", body.message, paymentId);
  }

  /** Show the window over the page until the buyer is done; what it returned. */
  function overlay(opened) {
    const before = document.activeElement;
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", "Payment window (test) · 결제창 (테스트)");
    dialog.dataset.testid = "fake-portone-overlay";
    Object.assign(dialog.style, {
      padding: "0",
      border: "0",
      borderRadius: "16px",
      overflow: "hidden",
      width: "min(26rem, 100vw)",
      height: "min(46rem, 100dvh)",
      maxWidth: "100vw",
      maxHeight: "100dvh",
      background: "Canvas",
      boxShadow: "0 1.5rem 4rem rgb(0 0 0 / 45%)",
    });
    const frame = document.createElement("iframe");
    frame.title = "Payment window (test) · 결제창 (테스트)";
    frame.name = "fake-portone-window";
    frame.dataset.testid = "fake-portone-frame";
    Object.assign(frame.style, { width: "100%", height: "100%", border: "0", display: "block" });
    frame.src = FAKE + opened.path;
    dialog.append(frame);

    return new Promise((resolve) => {
      const isOurs = (event) =>
        event.origin === FAKE && event.source === frame.contentWindow && event.data?.window === opened.id;
      const onMessage = (event) => {
        if (!isOurs(event)) return;
        if (event.data.kind === "ready") frame.focus();
        if (event.data.kind === "done") finish(event.data.result);
      };
      const finish = (result) => {
        removeEventListener("message", onMessage);
        dialog.removeEventListener("close", reopen);
        dialog.remove();
        before?.focus?.();
        resolve(result);
      };
      // Escape, pressed outside the frame, closes as the window's own button does: the window is asked, and answers.
      const askToClose = (event) => {
        event.preventDefault();
        frame.contentWindow.postMessage({ kind: "close", window: opened.id }, FAKE);
      };
      const reopen = () => dialog.showModal(); // a browser may force a dialog shut that stays open at Escape

      addEventListener("message", onMessage);
      dialog.addEventListener("cancel", askToClose);
      dialog.addEventListener("close", reopen);
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  function pageRestored() {
    return new Promise((resolve) => {
      addEventListener("pageshow", (event) => event.persisted && resolve(undefined));
    });
  }

  async function requestPayment(request) {
    const phone = isPhone();
    const wrong = problem(request, phone);
    if (wrong) throw new PaymentError(...wrong, request?.paymentId);
    if (isOpen) throw new PaymentError("BadRequest", "a payment window is already open", request.paymentId);
    isOpen = true;
    try {
      const opened = await begin(request);
      if (!phone && !request.forceRedirect) return await overlay(opened);
      location.assign(FAKE + opened.path);
      return await pageRestored(); // as it is left now, this goes on only if the buyer steps back to it
    } finally {
      isOpen = false;
    }
  }

  const absent = (name) => async () => {
    throw new PaymentError("BadRequest", `the fake PortOne has no ${name}: single payments only`);
  };

  window.PortOne = { requestPayment, PaymentError };
  for (const name of [
    "requestIdentityVerification",
    "requestIssueBillingKey",
    "requestIssueBillingKeyAndPay",
    "loadPaymentUI",
    "loadIssueBillingKeyUI",
    "updateLoadPaymentUIRequest",
    "updateLoadIssueBillingKeyUIRequest",
  ]) {
    window.PortOne[name] = absent(name);
  }
})();
