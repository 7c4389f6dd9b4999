/** The service's API, typed by hand from what it sends (src/adapters/http/buyer/wire.py). */

import type { Currency } from "@portone/browser-sdk/v2";

/** `amount` is in minor units: 1 KRW is 1, 1.00 USD is 100. */
export interface Money {
  amount: number;
  currency: string;
}

/** `available` null: without limit. */
export interface Product {
  id: string;
  name: string;
  price: Money;
  available: number | null;
}

export interface Item {
  productId: string;
  quantity: number;
}

export interface Order {
  id: string;
  paymentId: string;
  name: string;
  status: "PENDING" | "COMPLETED" | "CANCELLED";
  reason: "EXPIRED" | "ABANDONED" | "MISMATCH" | "REFUNDED" | "PAYMENT_CANCELLED" | "CHARGED_BACK" | null;
  price: Money;
  refunded: Money;
  items: { productId: string; name: string; quantity: number; price: Money }[];
  createdAt: string;
  expiresAt: string;
  /** Whether the buyer's last attempt to pay failed; null where none was made, or none has failed since. */
  lastAttempt: "failed" | null;
}

/** The argument of `PortOne.requestPayment`, handed on as it came. */
export interface Checkout {
  storeId: string;
  channelKey: string;
  paymentId: string;
  orderName: string;
  totalAmount: number;
  currency: Currency;
  payMethod: "EASY_PAY";
  redirectUrl: string;
  taxFreeAmount?: number;
  customer?: { fullName?: string; phoneNumber?: string; email?: string };
}

/** `checkout` null: there is nothing to pay, or nothing any more. */
export interface Placed {
  order: Order;
  token: string;
  checkout: Checkout | null;
}

/** What anybody may see who comes back from the payment window: whether it is paid, and nothing else. */
export interface Return {
  status: "paid" | "not_paid" | "open";
}

/** The data of one event of an order's stream. */
export interface OrderEvent {
  order: Order;
  kind: string;
  at: string;
}

/** The service refused: `slug` is the problem's kind, as in `/problems/sold-out`. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly slug: string,
    readonly retryAfter: number | null = null,
  ) {
    super(`${status} ${slug}`);
  }

  /** Whether the same request may succeed later. */
  get passes(): boolean {
    return this.status >= 500 || this.status === 429;
  }
}

/** No usable answer came. */
export class Unreachable extends Error {}

const PATIENCE = 15_000; // milliseconds; longer than the service may ask the gateway

export async function listProducts(): Promise<Product[]> {
  const products: { items: Product[] } = await ask("/products");
  return products.items;
}

/** The same key with the same items is the same order, however often it is sent. */
export function placeOrder(key: string, items: Item[]): Promise<Placed> {
  return ask("/orders", {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": key },
    body: JSON.stringify({ items }),
  });
}

export function verifyOrder(id: string, token: string): Promise<Order> {
  return ask(`/orders/${id}/verify`, { method: "POST", headers: bearer(token) });
}

export function cancelOrder(id: string, token: string): Promise<Order> {
  return ask(`/orders/${id}/cancel`, { method: "POST", headers: bearer(token) });
}

/** By the ticket of the way back, in any browser. */
export function readReturn(id: string, ticket: string): Promise<Return> {
  return ask(`/orders/${encodeURIComponent(id)}/return?ticket=${encodeURIComponent(ticket)}`);
}

/** The order's event stream, opened; events after `lastEventId` follow where one is given. */
export async function openEvents(
  id: string,
  token: string,
  lastEventId: string | null,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const headers = { ...bearer(token), ...(lastEventId === null ? {} : { "last-event-id": lastEventId }) };
  const answer = await send(`/orders/${id}/events`, { headers, signal });
  if (answer.body === null) throw new Unreachable("the stream has no body");
  return answer.body;
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const answer = await send(path, { ...init, signal: AbortSignal.timeout(PATIENCE) });
  try {
    return await answer.json();
  } catch (error) {
    throw new Unreachable("the answer is not JSON", { cause: error });
  }
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, { ...init, cache: "no-store" });
  } catch (error) {
    throw new Unreachable("no answer", { cause: error });
  }
  if (answer.ok) return answer;
  throw await refusal(answer);
}

async function refusal(answer: Response): Promise<Refused> {
  const after = Number(answer.headers.get("retry-after") ?? Number.NaN);
  let slug = "unknown";
  try {
    const problem: { type?: unknown } = await answer.json();
    if (typeof problem.type === "string") slug = problem.type.replace("/problems/", "");
  } catch {
    // a proxy's page rather than the service's own answer: the status has to do
  }
  return new Refused(answer.status, slug, Number.isFinite(after) ? after : null);
}
