/** One order on the page: what is known of it, what is shown, and what the buyer can do. No user interface in here. */

import { Refused, type Checkout, type Order, type OrderEvent } from "./api";
import type { Keep, Kept } from "./keep";
import { Follower, type Link } from "./stream";
import type { Outcome } from "./window";

/** The states that the page shows, each in its own words. */
export type Shown =
  | "loading" // nothing is known of the order yet
  | "waiting" // to be paid
  | "paying" // the window is open
  | "confirming" // the window says it is done, the order does not yet
  | "closed" // the buyer closed the window
  | "failed" // the last attempt failed
  | "unavailable" // PortOne's window could not be loaded
  | "closing" // the time is up; the payment is checked once more, in case money came
  | "paid"
  | "refunding" // money that must not be kept is on its way back
  | "mismatch" // it came back: something else was paid than what was ordered
  | "late" // it came back: it was paid after the order's end
  | "expired"
  | "given-up"
  | "payment-cancelled"
  | "returned" // paid, and later given back by the shop
  | "charged-back" // paid, and later taken back by the buyer's card company
  | "gone"; // unknown, or not for this browser to see

/** Everything the page shows of an order. A new value for each change. */
export interface Snapshot {
  shown: Shown;
  order: Order | null;
  outcome: Outcome | null;
  link: Link;
  /** What the buyer asked for is under way. */
  busy: boolean;
  /** Why what the buyer asked for could not be done. */
  trouble: "not-cancellable" | "unreachable" | null;
  expiresAt: number | null;
}

/** What the session needs of the world. */
export interface World {
  keep: Keep;
  now(): number;
  events(lastEventId: string | null, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
  verify(): Promise<Order>;
  cancel(): Promise<Order>;
  openWindow(checkout: Checkout): Promise<Outcome>;
}

const RANK = { PENDING: 0, COMPLETED: 1, CANCELLED: 2 };

/** Whether `next` may follow `before`: answers overtake one another, orders never move backwards. */
export function follows(before: Order | null, next: Order): boolean {
  if (before === null) return true;
  if (RANK[next.status] !== RANK[before.status]) return RANK[next.status] > RANK[before.status];
  return next.refunded.amount >= before.refunded.amount;
}

/** Whether money of this order is on its way back and has not arrived. */
export function isRefunding(order: Order, refundAsked: boolean): boolean {
  if (order.status !== "CANCELLED" || order.refunded.amount > 0) return false;
  return order.reason === "MISMATCH" || refundAsked;
}

interface Known {
  order: Order | null;
  outcome: Outcome | null;
  isOpen: boolean;
  isPast: boolean;
  isGone: boolean;
  refundAsked: boolean;
}

export function shownOf({ order, outcome, isOpen, isPast, isGone, refundAsked }: Known): Shown {
  if (isGone) return "gone";
  if (order === null) return "loading";
  if (order.status === "COMPLETED") return "paid";
  if (order.status === "CANCELLED") return isRefunding(order, refundAsked) ? "refunding" : ended(order);
  if (isOpen) return "paying";
  if (outcome?.is === "done") return "confirming";
  if (isPast) return "closing";
  return outcome?.is ?? (order.lastAttempt === "failed" ? "failed" : "waiting");
}

function ended(order: Order): Shown {
  if (order.reason === "MISMATCH") return "mismatch";
  if (order.reason === "PAYMENT_CANCELLED") return "payment-cancelled";
  if (order.reason === "REFUNDED") return "returned";
  if (order.reason === "CHARGED_BACK") return "charged-back";
  if (order.refunded.amount > 0) return "late";
  return order.reason === "ABANDONED" ? "given-up" : "expired";
}

/** One order, followed. */
export class OrderSession {
  #kept: Kept;
  #order: Order | null = null;
  #isOpen = false;
  #isGone = false;
  #busy = false;
  #trouble: Snapshot["trouble"] = null;
  #link: Link = "connecting";
  #lastEventId: string | null = null;
  #follower: Follower | null = null;
  #alarm: ReturnType<typeof setTimeout> | undefined;
  #listeners = new Set<() => void>();
  #snapshot: Snapshot;

  constructor(
    kept: Kept,
    private readonly world: World,
  ) {
    const isUnavailable = kept.outcome?.is === "unavailable"; // a page that is new may load PortOne's script again
    this.#kept = isUnavailable ? { ...kept, outcome: null } : kept;
    this.#snapshot = this.#view();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): Snapshot => this.#snapshot;

  get id(): string {
    return this.#kept.id;
  }

  /** Begin to follow; if the buyer is just back from the window, also have the payment checked. */
  start(back: Outcome | null): void {
    this.#follow();
    if (back !== null) this.#cameBack(back);
  }

  stop(): void {
    this.#follower?.stop();
    this.#follower = null;
    clearTimeout(this.#alarm);
  }

  /** Open the payment window; again if it was open before. A second call while it is open does nothing. */
  async pay(): Promise<void> {
    const { checkout } = this.#kept;
    if (this.#isOpen || this.#order?.status !== "PENDING" || checkout === null) return;
    this.#isOpen = true;
    this.#trouble = null;
    this.#remember({ outcome: null });
    const outcome = await this.world.openWindow(checkout);
    this.#isOpen = false;
    this.#cameBack(outcome);
  }

  /** Have the service check the payment now. */
  async check(): Promise<void> {
    await this.#ask(() => this.world.verify(), "unreachable");
    if (!this.#isGone) this.#follow();
  }

  async giveUp(): Promise<void> {
    await this.#ask(() => this.world.cancel(), "not-cancellable");
  }

  retryNow(): void {
    this.#follower?.retryNow();
  }

  /** What was placed already carries the order: no need to wait for the stream to show it. */
  take(order: Order): void {
    if (!follows(this.#order, order)) return;
    this.#order = order;
    this.#setAlarm(order);
    this.#tell();
  }

  #cameBack(outcome: Outcome): void {
    this.#remember({ outcome });
    void this.check();
  }

  async #ask(request: () => Promise<Order>, refused: "not-cancellable" | "unreachable"): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#trouble = null;
    this.#tell();
    try {
      this.take(await request());
    } catch (error) {
      if (error instanceof Refused && error.slug === "order-not-found") this.#gone();
      else this.#trouble = error instanceof Refused && error.status === 409 ? refused : "unreachable";
    }
    this.#busy = false;
    this.#tell();
  }

  /** Follow the events, unless they are being followed. */
  #follow(): void {
    if (this.#follower !== null) return this.#follower.retryNow();
    const follower = new Follower(this.#lastEventId, {
      open: (lastEventId, signal) => this.world.events(lastEventId, signal),
      isOver: () => this.#isOver(),
      onEvent: (event, id) => {
        this.#lastEventId = id;
        this.#heard(event);
      },
      onLink: (link) => {
        this.#link = link;
        if (link === "live" && this.#trouble === "unreachable") this.#backInReach();
        this.#tell();
      },
      onGone: () => this.#gone(),
    });
    this.#follower = follower;
    void follower.run().then(() => {
      if (this.#follower === follower) this.#follower = null;
    });
  }

  /** The service answers again. If the buyer came back from the window while it did not, ask now what was not heard then. */
  #backInReach(): void {
    this.#trouble = null;
    if (this.#kept.outcome?.is === "done") void this.#ask(() => this.world.verify(), "unreachable");
  }

  #heard({ order, kind }: OrderEvent): void {
    if (kind === "refund_requested" && order.status === "CANCELLED") this.#remember({ refundAsked: true });
    this.take(order);
  }

  #isOver(): boolean {
    const order = this.#order;
    return order !== null && order.status !== "PENDING" && !isRefunding(order, this.#kept.refundAsked);
  }

  #gone(): void {
    this.#isGone = true;
    this.stop();
    if (this.world.keep.current === this.id) this.world.keep.current = null;
    this.#tell();
  }

  #remember(news: Partial<Pick<Kept, "outcome" | "refundAsked">>): void {
    this.#kept = { ...this.#kept, ...news };
    this.world.keep.save(this.#kept);
    this.#tell();
  }

  /** Show the order anew when its time is up, by the service's clock. */
  #setAlarm(order: Order): void {
    clearTimeout(this.#alarm);
    const left = Date.parse(order.expiresAt) - this.#kept.ahead - this.world.now();
    if (order.status === "PENDING" && left > 0) this.#alarm = setTimeout(() => this.#tell(), Math.min(left, 2 ** 31 - 1));
  }

  #tell(): void {
    this.#snapshot = this.#view();
    for (const listener of this.#listeners) listener();
  }

  #view(): Snapshot {
    const order = this.#order;
    const expiresAt = order && Date.parse(order.expiresAt) - this.#kept.ahead;
    const { outcome, refundAsked } = this.#kept;
    const known = {
      order,
      outcome,
      refundAsked,
      isOpen: this.#isOpen,
      isGone: this.#isGone,
      isPast: expiresAt !== null && this.world.now() >= expiresAt,
    };
    return {
      shown: shownOf(known),
      order,
      outcome,
      link: this.#link,
      busy: this.#busy,
      trouble: this.#trouble,
      expiresAt,
    };
  }
}
