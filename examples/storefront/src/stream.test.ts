import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Refused, Unreachable, type Order } from "./api";
import { backOff, Follower, frames, type Link } from "./stream";

const ORDER: Order = {
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
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function body(...chunks: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(encoder.encode(chunk));
      controller.close();
    },
  });
}

function event(id: number, status: Order["status"]): string {
  return `id: ${id}\nevent: x\ndata: ${JSON.stringify({ order: { ...ORDER, status }, kind: "x", at: "" })}\n\n`;
}

/** Follows a script of answers: each is a stream's chunks, or an error. */
function following(script: (string[] | Error)[]) {
  const seen = { asked: [] as (string | null)[], statuses: [] as string[], links: [] as Link[], gone: 0 };
  const follower = new Follower(null, {
    open: async (lastEventId) => {
      seen.asked.push(lastEventId);
      const next = script.shift() ?? new Unreachable();
      if (next instanceof Error) throw next;
      return body(...next);
    },
    isOver: () => seen.statuses.at(-1) === "COMPLETED",
    onEvent: ({ order }) => void seen.statuses.push(order.status),
    onLink: (link) => void seen.links.push(link),
    onGone: () => void seen.gone++,
  });
  return { follower, seen };
}

test("an event may come in any number of pieces, and a heartbeat is none", async () => {
  const whole = `:\n\nretry: 3000\nid: 7\nevent: placed\ndata: {"name":"좌석"}\n\n`;
  const bytes = new TextEncoder().encode(whole);
  const pieces = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const got = [];
  for await (const frame of frames(pieces)) got.push(frame);
  expect(got).toEqual([{ id: "7", data: '{"name":"좌석"}' }]);
});

test("half an event at the end of a lost stream is dropped", async () => {
  const got = [];
  for await (const frame of frames(body("id: 1\ndata: {}\n\nid: 2\ndata: {"))) got.push(frame.id);
  expect(got).toEqual(["1"]);
});

test("after a loss it goes on from the last event", async () => {
  const { follower, seen } = following([[event(3, "PENDING")], new Unreachable(), [event(4, "COMPLETED")]]);
  const running = follower.run();
  await vi.runAllTimersAsync();
  await running;
  expect(seen.asked).toEqual([null, "3", "3"]);
  expect(seen.statuses).toEqual(["PENDING", "COMPLETED"]);
  expect(seen.links).toEqual(["connecting", "live", "lost", "live"]);
});

test("an order that is over is not followed any further", async () => {
  const { follower, seen } = following([[event(1, "COMPLETED")]]);
  await follower.run();
  expect(seen.asked).toEqual([null]);
});

test("an unknown order is gone, and not asked for again", async () => {
  const { follower, seen } = following([new Refused(404, "order-not-found")]);
  await follower.run();
  expect([seen.gone, seen.asked.length]).toEqual([1, 1]);
});

test("a proxy's own 404 does not make an order gone", async () => {
  const { follower, seen } = following([new Refused(404, "unknown"), [event(1, "COMPLETED")]]);
  const running = follower.run();
  await vi.runAllTimersAsync();
  await running;
  expect([seen.gone, seen.statuses]).toEqual([0, ["COMPLETED"]]);
});

test("it waits as long as the service asks for", async () => {
  const { follower, seen } = following([new Refused(429, "too-many-streams", 30), [event(1, "COMPLETED")]]);
  const running = follower.run();
  await vi.advanceTimersByTimeAsync(29_000);
  expect(seen.asked.length).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await running;
  expect(seen.asked.length).toBe(2);
});

test("the buyer need not wait", async () => {
  const { follower, seen } = following([new Refused(429, "too-many-streams", 30), [event(1, "COMPLETED")]]);
  const running = follower.run();
  await vi.advanceTimersByTimeAsync(1);
  follower.retryNow();
  await running;
  expect(seen.asked.length).toBe(2);
});

test("once stopped it asks nothing more", async () => {
  const { follower, seen } = following([new Unreachable()]);
  const running = follower.run();
  await vi.advanceTimersByTimeAsync(1);
  follower.stop();
  await running;
  expect(seen.asked.length).toBe(1);
});

test("it comes back ever more slowly, up to fifteen seconds", () => {
  expect([0, 1, 2, 5, 50].map((failures) => backOff(failures, 1))).toEqual([500, 1000, 2000, 15_000, 15_000]);
  expect(backOff(2, 0)).toBe(1000);
});
