import { useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from "react";

import type { Order, Return } from "./api";
import type { OrderSession, Shown, Snapshot } from "./order";
import type { ReturnSession } from "./return";
import { clock, written, type Language, type Said, type Words } from "./words";

interface Props {
  session: OrderSession;
  words: Words;
  language: Language;
  onLeave(): void;
}

type Tone = "under-way" | "good" | "bad" | "over";

const TONES: Record<Shown, Tone> = {
  loading: "under-way",
  waiting: "under-way",
  paying: "under-way",
  confirming: "under-way",
  closing: "under-way",
  refunding: "under-way",
  closed: "over",
  failed: "bad",
  unavailable: "bad",
  paid: "good",
  mismatch: "over",
  late: "over",
  expired: "over",
  "given-up": "over",
  "payment-cancelled": "over",
  returned: "over",
  "charged-back": "over",
  gone: "bad",
};
const SIGNS: Record<Tone, string> = { "under-way": "…", good: "✓", bad: "!", over: "–" };
const TO_BE_PAID: ReadonlySet<Shown> = new Set(["waiting", "closed", "failed", "unavailable"]);
const COUNTED: ReadonlySet<Shown> = new Set([...TO_BE_PAID, "paying"]);
const LATE_MONEY: ReadonlySet<Shown> = new Set(["expired", "given-up", "confirming", "refunding", "closing"]);

export function OrderView({ session, words, language, onLeave }: Props): ReactNode {
  const seen = useSyncExternalStore(session.subscribe, session.snapshot);
  const { shown, order, link, busy, trouble } = seen;
  const isOver = order !== null && order.status !== "PENDING";
  return (
    <State shown={shown} said={words.states[shown]} tone={TONES[shown]} detail={detailOf(seen, words)}>
      {order && <Receipt order={order} words={words} language={language} />}
      {COUNTED.has(shown) && seen.expiresAt !== null && <Countdown until={seen.expiresAt} words={words} />}
      <p className="notice bad" role="alert" data-testid="order-problem" hidden={trouble === null}>
        {trouble === "not-cancellable" && words.notCancellable}
        {trouble === "unreachable" && words.unreachable}
      </p>
      <div className="actions">
        {TO_BE_PAID.has(shown) && shown !== "unavailable" && (
          <button type="button" className="strong" data-testid="pay" onClick={() => void session.pay()}>
            {words.pay}
          </button>
        )}
        {shown === "unavailable" && (
          <button type="button" className="strong" data-testid="reload" onClick={() => location.reload()}>
            {words.reload}
          </button>
        )}
        {(isOver || shown === "gone") && (
          <button type="button" className="strong" data-testid="back-to-shop" onClick={onLeave}>
            {words.toShop}
          </button>
        )}
        {shown === "confirming" && (
          <button type="button" data-testid="pay-again" onClick={() => void session.pay()}>
            {words.payAgain}
          </button>
        )}
        {LATE_MONEY.has(shown) && (
          <button type="button" data-testid="check-again" aria-busy={busy} onClick={() => void session.check()}>
            {words.checkNow}
          </button>
        )}
        {(TO_BE_PAID.has(shown) || shown === "confirming") && (
          <button type="button" className="plain" data-testid="give-up" onClick={() => void session.giveUp()}>
            {words.giveUp}
          </button>
        )}
      </div>
      <div className="link" role="status" data-testid="link" data-link={link}>
        {link === "lost" && (!isOver || shown === "refunding") && (
          <p className="notice">
            {words.linkLost}
            <span className="row">
              <button type="button" data-testid="retry-now" onClick={() => session.retryNow()}>
                {words.retryNow}
              </button>
            </span>
          </p>
        )}
      </div>
    </State>
  );
}

const RETURNED: Record<Return["status"], Tone> = { paid: "good", open: "under-way", not_paid: "over" };

interface ReturnedProps {
  session: ReturnSession;
  words: Words;
  onLeave(): void;
}

/** Back from the payment window in another browser than the one that ordered: whether it is paid, and nothing else. */
export function Returned({ session, words, onLeave }: ReturnedProps): ReactNode {
  const status = useSyncExternalStore(session.subscribe, session.snapshot);
  if (status === "gone") return <Lost words={words} onLeave={onLeave} />;
  const said = status === null ? words.states.loading : words.returned[status];
  return (
    <State shown={status ?? "loading"} said={said} tone={status === null ? "under-way" : RETURNED[status]} detail={null}>
      <div className="actions">
        {status !== null && status !== "open" && (
          <button type="button" className="strong" data-testid="back-to-shop" onClick={onLeave}>
            {words.toShop}
          </button>
        )}
      </div>
    </State>
  );
}

/** An order in the address that this browser holds no key to. */
export function Lost({ words, onLeave }: { words: Words; onLeave(): void }): ReactNode {
  return (
    <State shown="gone" said={words.states.gone} tone={TONES.gone} detail={null}>
      <div className="actions">
        <button type="button" className="strong" data-testid="back-to-shop" onClick={onLeave}>
          {words.toShop}
        </button>
      </div>
    </State>
  );
}

interface StateProps {
  shown: string;
  said: Said;
  tone: Tone;
  detail: string | null;
  children: ReactNode;
}

/** The state in words: said to a screen reader as it changes, and the place where reading goes on. */
function State({ shown, said, tone, detail, children }: StateProps): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null);
  const { title, text } = said;
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    document.title = `${title} · gyeolje`;
  }, [title]);
  return (
    <section className="card order" data-testid="order" data-state={shown} data-tone={tone} aria-labelledby="order-title">
      <div className="state">
        <span className="sign" aria-hidden="true">
          {SIGNS[tone]}
        </span>
        <div role="status" aria-live="polite" aria-atomic="true">
          <h1 id="order-title" ref={heading} tabIndex={-1} data-testid="order-title">
            {title}
          </h1>
          <p data-testid="order-text">{text}</p>
          {detail !== null && (
            <p className="detail" data-testid="order-detail">
              {detail}
            </p>
          )}
        </div>
      </div>
      {children}
    </section>
  );
}

function detailOf({ shown, outcome }: Snapshot, words: Words): string | null {
  if (shown !== "failed" || outcome?.is !== "failed" || outcome.message === null) return null;
  return words.failedBecause(outcome.message);
}

/** Counts down silently; a screen reader is told once, when a minute is left. */
function Countdown({ until, words }: { until: number; words: Words }): ReactNode {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, (until - now) / 1000);
  return (
    <>
      <p className="countdown" data-soon={seconds <= 60}>
        <span>{words.timeLeft}</span>{" "}
        <span role="timer" aria-live="off" data-testid="countdown">
          {clock(seconds)}
        </span>
      </p>
      <p role="status" className="unseen">
        {seconds <= 60 && words.minuteLeft}
      </p>
    </>
  );
}

function Receipt({ order, words, language }: { order: Order; words: Words; language: Language }): ReactNode {
  return (
    <dl className="receipt" aria-label={words.details}>
      {order.items.map((item) => (
        <div key={item.productId}>
          <dt>
            {item.name} × {item.quantity}
          </dt>
          <dd>{written({ ...item.price, amount: item.price.amount * item.quantity }, language)}</dd>
        </div>
      ))}
      <div className="total">
        <dt>{words.total}</dt>
        <dd data-testid="order-price">{written(order.price, language)}</dd>
      </div>
      {order.refunded.amount > 0 && (
        <div className="total">
          <dt>{words.refunded}</dt>
          <dd data-testid="order-refunded">{written(order.refunded, language)}</dd>
        </div>
      )}
      <div className="number">
        <dt>{words.orderNumber}</dt>
        <dd data-testid="order-id">{order.id}</dd>
      </div>
    </dl>
  );
}
