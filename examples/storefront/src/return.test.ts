import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Refused, Unreachable, type Return } from "./api";
import { ReturnSession } from "./return";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A session over a script of answers, and what it showed. */
function returning(...script: (Return["status"] | Error)[]) {
  const shown: unknown[] = [];
  let asked = 0;
  const session = new ReturnSession(async () => {
    asked++;
    const next = script.shift() ?? new Error("asked too often");
    if (next instanceof Error) throw next;
    return { status: next };
  });
  session.subscribe(() => void shown.push(session.snapshot()));
  return { session, shown, asked: () => asked };
}

test("it asks until the order is paid, and then no more", async () => {
  const { session, shown, asked } = returning("open", "open", "paid");
  session.start();
  await vi.runAllTimersAsync();
  expect([shown, asked()]).toEqual([["open", "open", "paid"], 3]);
});

test("an order that came to its end unpaid is not asked for again", async () => {
  const { session, shown, asked } = returning("not_paid");
  session.start();
  await vi.runAllTimersAsync();
  expect([shown, asked()]).toEqual([["not_paid"], 1]);
});

test("a service that is away is asked again, and what was known stays shown", async () => {
  const { session, shown } = returning(new Unreachable(), "open", new Refused(503, "store-busy"), "paid");
  session.start();
  await vi.runAllTimersAsync();
  expect(shown).toEqual([null, "open", "open", "paid"]);
});

test("a ticket that is good for nothing shows nothing of the order", async () => {
  const { session, shown, asked } = returning(new Refused(404, "order-not-found"));
  session.start();
  await vi.runAllTimersAsync();
  expect([shown, asked()]).toEqual([["gone"], 1]);
});

test("once stopped it asks nothing more", async () => {
  const { session, asked } = returning("open", "open");
  session.start();
  await vi.advanceTimersByTimeAsync(1);
  session.stop();
  await vi.runAllTimersAsync();
  expect(asked()).toBe(1);
});

test("begun again after a stop, it asks once at a time", async () => {
  const { session, shown, asked } = returning("open", "open", "paid");
  session.start();
  session.stop();
  session.start();
  await vi.runAllTimersAsync();
  expect([shown, asked()]).toEqual([["open", "paid"], 3]);
});
