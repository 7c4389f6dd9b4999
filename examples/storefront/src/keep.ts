/** What this browser keeps, so that a reload, another tab or the way back from the payment window finds the order again. */

import type { Checkout, Item, Placed } from "./api";
import type { Outcome } from "./window";

/** What opens one order, and what the page knows of it that the order does not say. */
export interface Kept {
  id: string;
  token: string;
  checkout: Checkout | null;
  /** Milliseconds that the service's clock is ahead of this one. */
  ahead: number;
  outcome: Outcome | null;
  refundAsked: boolean;
}

/** An order about to be placed. The key stays the same until the service has answered, so it is placed once. */
export interface Intent {
  key: string;
  items: Item[];
  at: number;
}

export interface Shelf {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

const CURRENT = "gyeolje.current";
const INTENT = "gyeolje.intent";
const ORDER = "gyeolje.order.";
const LANGUAGE = "gyeolje.language";
const RECENT = "gyeolje.recent";
const MOST = 20;
const RESUMED = 60_000; // milliseconds; later nobody expects a page that opens to buy something
const MEANT = 600_000; // later, the same choice is another intent

export class Keep {
  constructor(private readonly shelf: Shelf) {}

  /** The order that this browser was busy with last. */
  get current(): string | null {
    return this.shelf.getItem(CURRENT);
  }

  set current(id: string | null) {
    if (id === null) this.shelf.removeItem(CURRENT);
    else this.shelf.setItem(CURRENT, id);
  }

  get intent(): Intent | null {
    return this.#read<Intent>(INTENT);
  }

  set intent(intent: Intent | null) {
    if (intent === null) this.shelf.removeItem(INTENT);
    else this.shelf.setItem(INTENT, JSON.stringify(intent));
  }

  get language(): string | null {
    return this.shelf.getItem(LANGUAGE);
  }

  set language(language: string) {
    this.shelf.setItem(LANGUAGE, language);
  }

  /** What was being ordered when the page was left, a moment ago. */
  interrupted(now: number): Intent | null {
    const intent = this.intent;
    return intent && now - intent.at < RESUMED ? intent : null;
  }

  /** The intent to buy `items`: the one that is still unanswered if it is for the same, else a new one. */
  intendTo(items: Item[], now: number): Intent {
    const before = this.intent;
    const isSame = before !== null && JSON.stringify(before.items) === JSON.stringify(items);
    if (isSame && now - before.at < MEANT) return before;
    const intent = { key: randomKey(), items, at: now };
    this.intent = intent;
    return intent;
  }

  order(id: string): Kept | null {
    return this.#read<Kept>(ORDER + id);
  }

  save(kept: Kept): void {
    this.shelf.setItem(ORDER + kept.id, JSON.stringify(kept));
  }

  /** Keep what was just placed, as what this browser is busy with now. */
  placed({ order, token, checkout }: Placed, now: number): Kept {
    const before = this.order(order.id);
    const ahead = before?.ahead ?? Date.parse(order.createdAt) - now;
    const kept: Kept = { id: order.id, token, checkout, ahead, outcome: null, refundAsked: false };
    this.save(kept);
    this.current = order.id;
    this.intent = null;
    this.#forgetOldest(order.id);
    return kept;
  }

  #forgetOldest(newest: string): void {
    const recent = [newest, ...(this.#read<string[]>(RECENT) ?? []).filter((id) => id !== newest)];
    for (const id of recent.slice(MOST)) this.shelf.removeItem(ORDER + id);
    this.shelf.setItem(RECENT, JSON.stringify(recent.slice(0, MOST)));
  }

  #read<T>(name: string): T | null {
    const text = this.shelf.getItem(name);
    if (text === null) return null;
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }
}

/** The browser's own shelf, kept over reloads and shared by its tabs; where it is forbidden, one that lasts as long as the page. */
export function browserShelf(): Shelf {
  try {
    window.localStorage.setItem("gyeolje.probe", "");
    window.localStorage.removeItem("gyeolje.probe");
    return window.localStorage;
  } catch {
    return new PageShelf();
  }
}

export class PageShelf implements Shelf {
  #kept = new Map<string, string>();

  getItem(name: string): string | null {
    return this.#kept.get(name) ?? null;
  }

  setItem(name: string, value: string): void {
    this.#kept.set(name, value);
  }

  removeItem(name: string): void {
    this.#kept.delete(name);
  }
}

/** 128 random bits. Not `randomUUID`, which plain http on another host than the loopback does not have. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
