/** PortOne's payment window, and the two ways in which it comes back: the promise on a PC, the redirect on a phone. */

import { requestPayment } from "@portone/browser-sdk/v2";

import type { Checkout } from "./api";

/** What the window said. It is never proof of a payment: only the order says what became of it. */
export type Outcome =
  | { is: "done" }
  | { is: "closed" }
  | { is: "failed"; message: string | null }
  | { is: "unavailable" };

interface Answer {
  code?: string | null | undefined;
  message?: string | null | undefined;
  pgCode?: string | null | undefined;
  pgMessage?: string | null | undefined;
}

/** Open the window for exactly this checkout, and wait for it. On a phone the page is left, and nothing is answered. */
export async function openWindow(checkout: Checkout): Promise<Outcome> {
  try {
    return outcomeOf((await requestPayment(checkout)) ?? {});
  } catch (error) {
    if (hasCode(error)) return outcomeOf(error);
    return { is: "unavailable" }; // PortOne's script did not load
  }
}

/** PortOne resolves with a `code` where the buyer closed the window or the payment failed. Its codes are not one list. */
export function outcomeOf({ code, message, pgCode, pgMessage }: Answer): Outcome {
  if (!code || code === "PaymentAlreadyPaid") return { is: "done" };
  if (/cancel/i.test(`${code} ${pgCode ?? ""}`) || /취소|포기/.test(message ?? "")) return { is: "closed" };
  return { is: "failed", message: pgMessage || message || null };
}

/** Where the address says that we are: on which order, with which ticket, and back from the window with what. */
export interface Arrival {
  orderId: string | null;
  ticket: string | null;
  outcome: Outcome | null;
}

/** Read the address. `paymentId` is in every return of PortOne's, and in no link of ours. */
export function arrivalOf(search: string): Arrival {
  const said = new URLSearchParams(search);
  const [code, message, pgCode, pgMessage] = ["code", "message", "pgCode", "pgMessage"].map((name) => said.get(name));
  const outcome = said.has("paymentId") ? outcomeOf({ code, message, pgCode, pgMessage }) : null;
  return { orderId: said.get("order") || null, ticket: said.get("ticket") || null, outcome };
}

function hasCode(error: unknown): error is Answer & { code: string } {
  return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string";
}
