/** Follow an order's server-sent events over `fetch`, which unlike `EventSource` can send the order's token. */

import { Refused, type OrderEvent } from "./api";

export interface Frame {
  id: string | null;
  data: string;
}

/** How the connection is. It is lost from the first failure until the stream is open again. */
export type Link = "connecting" | "live" | "lost";

export interface Following {
  open(lastEventId: string | null, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
  /** Whether nothing more is to come once the stream has ended by itself. */
  isOver(): boolean;
  onEvent(event: OrderEvent, id: string | null): void;
  onLink(link: Link): void;
  /** The order is unknown, or not ours to see: nothing is tried again. */
  onGone(): void;
}

const TO_OPEN = 15_000; // milliseconds
const SILENCE = 40_000; // the service beats every 15 seconds
const LASTED = 5_000; // a stream that held so long was no failure
const SHORTEST = 500;
const LONGEST = 15_000;

/** Follows until the order is over, gone, or `stop` is called. Comes back after every loss, ever more slowly. */
export class Follower {
  #ending = new AbortController();
  #wake: (() => void) | null = null;
  #failures = 0;

  constructor(
    private lastEventId: string | null,
    private readonly following: Following,
  ) {}

  async run(): Promise<void> {
    this.following.onLink("connecting");
    while (!this.#ending.signal.aborted) {
      const began = Date.now();
      let least = 0;
      try {
        await this.#once();
        if (this.following.isOver() || this.#ending.signal.aborted) return;
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        if (error instanceof Refused && error.slug === "order-not-found") return this.following.onGone();
        if (error instanceof Refused) least = (error.retryAfter ?? 0) * 1000;
        this.following.onLink("lost");
      }
      if (Date.now() - began >= LASTED) this.#failures = 0;
      await this.#pause(Math.max(least, backOff(this.#failures++)));
    }
  }

  /** Do not wait any longer: try now. */
  retryNow(): void {
    this.#wake?.();
  }

  stop(): void {
    this.#ending.abort();
    this.#wake?.();
  }

  async #once(): Promise<void> {
    const silent = new AbortController();
    let timer = setTimeout(() => silent.abort(), TO_OPEN);
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
    };
    try {
      const body = await this.following.open(this.lastEventId, AbortSignal.any([this.#ending.signal, silent.signal]));
      heard();
      this.following.onLink("live");
      for await (const frame of frames(body, heard)) {
        const event: OrderEvent = JSON.parse(frame.data);
        this.lastEventId = frame.id ?? this.lastEventId;
        this.following.onEvent(event, this.lastEventId);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    if (this.#ending.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }
}

/** Milliseconds: half a second, doubled with each failure, up to 15; half of it by chance, so that not all come at once. */
export function backOff(failures: number, chance: number = Math.random()): number {
  const most = Math.min(LONGEST, SHORTEST * 2 ** Math.min(failures, 10));
  return most / 2 + (most / 2) * chance;
}

/** The blocks of an event stream (HTML standard, "Server-sent events"). A comment is heard, and is no block. */
export async function* frames(body: ReadableStream<Uint8Array>, heard: () => void = () => {}): AsyncGenerator<Frame> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let id: string | null = null;
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { id, data: data.join("\n") };
          data = [];
        } else if (line.startsWith("id:")) id = line.slice(3).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
