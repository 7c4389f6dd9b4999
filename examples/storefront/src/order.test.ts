import { expect, test } from "vitest";

import { Refused, type Checkout, type Order } from "./api";
import { Keep, PageShelf } from "./keep";
import { follows, OrderSession, shownOf, type Shown } from "./order";
import type { Outcome } from "./window";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const CHECKOUT: Checkout = {
  storeId: "store",
  channelKey: "channel",
  paymentId: "p1",
  orderName: "seat",
  totalAmount: 1000,
  currency: "KRW",
  payMethod: "EASY_PAY",
  redirectUrl: "http://shop.test/?order=o1",
};

function order(change: Partial<Order> = {}): Order {
  return {
    id: "o1",
    paymentId: "p1",
    name: "seat",
    status: "PENDING",
    reason: null,
    price: { amount: 1000, currency: "KRW" },
    refunded: { amount: 0, currency: "KRW" },
    items: [],
    createdAt: "2026-01-01T00:00:00Z",
    expiresAt: "2026-01-01T00:15:00Z",
    lastAttempt: null,
    ...change,
  };
}

const back = { amount: 1000, currency: "KRW" };
const paid = order({ status: "COMPLETED" });
const cancelled = (reason: Order["reason"], refunded = order().refunded) =>
  order({ status: "CANCELLED", reason, refunded });

const SHOWN: [Shown, Order | null, { outcome?: Outcome; isOpen?: true; isPast?: true; isGone?: true; refundAsked?: true }][] = [
  ["loading", null, {}],
  ["gone", order(), { isGone: true }],
  ["waiting", order(), {}],
  ["paying", order(), { isOpen: true, isPast: true }],
  ["confirming", order(), { outcome: { is: "done" }, isPast: true }],
  ["closed", order(), { outcome: { is: "closed" } }],
  ["failed", order(), { outcome: { is: "failed", message: null } }],
  ["failed", order({ lastAttempt: "failed" }), {}],
  ["closed", order({ lastAttempt: "failed" }), { outcome: { is: "closed" } }],
  ["paying", order({ lastAttempt: "failed" }), { isOpen: true }],
  ["expired", order({ status: "CANCELLED", reason: "EXPIRED", lastAttempt: "failed" }), {}],
  ["unavailable", order(), { outcome: { is: "unavailable" } }],
  ["closing", order(), { outcome: { is: "closed" }, isPast: true }],
  ["paid", paid, { outcome: { is: "closed" }, isOpen: true }],
  ["refunding", cancelled("MISMATCH"), {}],
  ["mismatch", cancelled("MISMATCH", back), {}],
  ["expired", cancelled("EXPIRED"), {}],
  ["refunding", cancelled("EXPIRED"), { refundAsked: true }],
  ["late", cancelled("EXPIRED", back), { refundAsked: true }],
  ["late", cancelled("ABANDONED", back), {}],
  ["given-up", cancelled("ABANDONED"), {}],
  ["payment-cancelled", cancelled("PAYMENT_CANCELLED"), {}],
  ["returned", cancelled("REFUNDED", back), {}],
  ["charged-back", cancelled("CHARGED_BACK", back), {}],
];

test.each(SHOWN)("%s", (shown, known, more) => {
  const nothing = { outcome: null, isOpen: false, isPast: false, isGone: false, refundAsked: false };
  expect(shownOf({ order: known, ...nothing, ...more })).toBe(shown);
});

test("an answer that was overtaken does not move an order back", () => {
  expect(follows(paid, order())).toBe(false);
  expect(follows(order(), paid)).toBe(true);
  expect(follows(paid, cancelled("REFUNDED", back))).toBe(true);
  expect(follows(cancelled("MISMATCH", back), cancelled("MISMATCH"))).toBe(false);
});

interface Given {
  verify?: Order | Error | (() => Order | Error);
  events?: () => Promise<ReadableStream<Uint8Array>>;
  cancel?: Order | Error;
  outcome?: Outcome;
  checkout?: Checkout | null;
}

const nothingYet = (): Promise<never> => new Promise(() => {});

function session({
  verify = order(),
  cancel = order(),
  outcome,
  events = nothingYet,
  checkout = CHECKOUT,
}: Given = {}) {
  const keep = new Keep(new PageShelf());
  const placed = keep.placed({ order: order(), token: "token", checkout }, NOW);
  const kept = outcome ? { ...placed, outcome } : placed;
  const opened: Checkout[] = [];
  let comeBack: (outcome: Outcome) => void = () => {};
  const answer = async (what: Order | Error): Promise<Order> => {
    if (what instanceof Error) throw what;
    return what;
  };
  const made = new OrderSession(kept, {
    keep,
    now: () => NOW,
    events,
    verify: () => answer(typeof verify === "function" ? verify() : verify),
    cancel: () => answer(cancel),
    openWindow: (given) => {
      opened.push(given);
      return new Promise((resolve) => (comeBack = resolve));
    },
  });
  made.take(order());
  return { made, keep, opened, comeBack: (outcome: Outcome) => comeBack(outcome) };
}

async function until(made: OrderSession, shown: Shown): Promise<void> {
  await new Promise<void>((resolve) => {
    const seen = () => made.snapshot().shown === shown && !made.snapshot().busy && resolve();
    made.subscribe(seen);
    seen();
  });
}

test("the window gets exactly the checkout that the service made, and opens once", async () => {
  const { made, opened, comeBack } = session({ verify: paid });
  void made.pay();
  void made.pay();
  expect(opened).toEqual([CHECKOUT]);
  expect(made.snapshot().shown).toBe("paying");
  comeBack({ is: "done" });
  await until(made, "paid");
});

test("where there is nothing to pay, no window opens", async () => {
  const { made, opened } = session({ checkout: null });
  await made.pay();
  expect([opened, made.snapshot().shown]).toEqual([[], "waiting"]);
  made.take(paid);
  expect(made.snapshot().shown).toBe("paid");
});

test("whatever the window says, the order decides", async () => {
  const { made, comeBack } = session({ verify: paid });
  void made.pay();
  comeBack({ is: "failed", message: "no" });
  await until(made, "paid");
});

test("what could not be asked on coming back is asked once the service answers again", async () => {
  const answers: (Order | Error)[] = [new TypeError("down"), paid];
  let answerAgain: (stream: ReadableStream<Uint8Array>) => void = () => {};
  const { made, comeBack } = session({
    verify: () => answers.shift() ?? new Error("asked too often"),
    events: () => new Promise((resolve) => (answerAgain = resolve)),
  });
  made.start(null);
  void made.pay();
  comeBack({ is: "done" });
  await until(made, "confirming");
  expect(made.snapshot().trouble).toBe("unreachable");
  answerAgain(new ReadableStream());
  await until(made, "paid");
  expect(answers).toEqual([]);
  made.stop();
});

test("a reload finds what the window said", async () => {
  const { made, keep, comeBack } = session();
  void made.pay();
  comeBack({ is: "closed" });
  await until(made, "closed");
  made.stop();
  expect(keep.order("o1")?.outcome).toEqual({ is: "closed" });
});

test("a new page may open the window that the last one could not load", () => {
  expect(session({ outcome: { is: "unavailable" } }).made.snapshot().shown).toBe("waiting");
  expect(session({ outcome: { is: "closed" } }).made.snapshot().shown).toBe("closed");
});

test("an order that cannot be cancelled now says so, and stays", async () => {
  const { made } = session({ cancel: new Refused(409, "order-not-cancellable") });
  await made.giveUp();
  expect([made.snapshot().shown, made.snapshot().trouble]).toEqual(["waiting", "not-cancellable"]);
});

test("an order that is gone says so, and is not resumed", async () => {
  const { made, keep } = session({ verify: new Refused(404, "order-not-found") });
  expect(keep.current).toBe("o1");
  await made.check();
  expect([made.snapshot().shown, keep.current]).toEqual(["gone", null]);
});

test("one intent keeps its key until the service has answered", () => {
  const keep = new Keep(new PageShelf());
  const items = [{ productId: "seat", quantity: 1 }];
  const { key } = keep.intendTo(items, NOW);
  expect(key).toMatch(/^[0-9a-f]{32}$/);
  expect(keep.intendTo([{ productId: "seat", quantity: 1 }], NOW + 599_999).key).toBe(key);
  keep.placed({ order: order(), token: "token", checkout: CHECKOUT }, NOW);
  expect(keep.intent).toBeNull();
  expect(keep.intendTo(items, NOW).key).not.toBe(key);
});

test("another choice, or the same one much later, is another intent", () => {
  const keep = new Keep(new PageShelf());
  const first = keep.intendTo([{ productId: "seat", quantity: 1 }], NOW).key;
  const second = keep.intendTo([{ productId: "seat", quantity: 2 }], NOW).key;
  const third = keep.intendTo([{ productId: "seat", quantity: 2 }], NOW + 600_000).key;
  expect(new Set([first, second, third]).size).toBe(3);
});

test("an order that was being placed is resumed by a reload, and not by a visit later on", () => {
  const keep = new Keep(new PageShelf());
  const intent = keep.intendTo([{ productId: "seat", quantity: 1 }], NOW);
  expect(keep.interrupted(NOW + 59_999)).toEqual(intent);
  expect(keep.interrupted(NOW + 60_000)).toBeNull();
});

test("the countdown follows the service's clock, not the buyer's", () => {
  const keep = new Keep(new PageShelf());
  const kept = keep.placed({ order: order(), token: "token", checkout: CHECKOUT }, NOW - 60_000);
  expect(kept.ahead).toBe(60_000);
});

test("only the latest orders are kept", () => {
  const keep = new Keep(new PageShelf());
  for (let number = 0; number < 21; number++) {
    keep.placed({ order: order({ id: `o${number}` }), token: "token", checkout: CHECKOUT }, NOW);
  }
  expect([keep.order("o0"), keep.order("o1")?.id, keep.order("o20")?.id]).toEqual([null, "o1", "o20"]);
});
