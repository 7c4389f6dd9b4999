/** Back from the payment window in a browser that did not place the order: it asks until it knows whether it is paid. */

import { Refused, type Return } from "./api";

/** What is shown: nothing is known yet, what the service said last, or that the ticket is good for nothing. */
export type Known = Return["status"] | "gone" | null;

const SOONEST = 2_000; // milliseconds
const LATEST = 15_000;

export class ReturnSession {
  #known: Known = null;
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run = 0; // what was begun before the last stop has no say any more
  #asked = 0;

  constructor(private readonly read: () => Promise<Return>) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): Known => this.#known;

  start(): void {
    void this.#ask(++this.#run);
  }

  stop(): void {
    this.#run++;
    clearTimeout(this.#timer);
  }

  async #ask(run: number): Promise<void> {
    const pause = Math.min(SOONEST * 1.2 ** this.#asked++, LATEST);
    let known = this.#known;
    try {
      known = (await this.read()).status;
    } catch (error) {
      if (error instanceof Refused && error.slug === "order-not-found") known = "gone";
    }
    if (run !== this.#run) return;
    this.#known = known;
    for (const listener of this.#listeners) listener();
    if (this.#known === null || this.#known === "open") this.#timer = setTimeout(() => void this.#ask(run), pause);
  }
}
