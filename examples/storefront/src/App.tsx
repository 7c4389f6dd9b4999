import { useEffect, useRef, useState, type ReactNode } from "react";

import { cancelOrder, openEvents, placeOrder, readReturn, Refused, verifyOrder, type Item } from "./api";
import type { Keep, Kept } from "./keep";
import { OrderSession } from "./order";
import { Lost, OrderView, Returned } from "./OrderView";
import { ReturnSession } from "./return";
import { Shop, type Placing } from "./Shop";
import { openWindow, type Arrival } from "./window";
import { languageOf, WORDS, type Language } from "./words";

interface Props {
  keep: Keep;
  arrival: Arrival;
  orderAddress(id: string): string;
}

type Place =
  | { at: "shop" }
  | { at: "order"; session: OrderSession }
  | { at: "return"; session: ReturnSession }
  | { at: "lost" };

export function App({ keep, arrival, orderAddress }: Props): ReactNode {
  const [language, setLanguage] = useState<Language>(() => languageOf(keep.language, navigator.languages));
  const [place, setPlace] = useState<Place>(() => firstPlace(keep, arrival));
  const [placing, setPlacing] = useState<Placing>({ is: "idle" });
  const isPlacing = useRef(false);
  const back = useRef(arrival.outcome);
  const words = WORDS[language];

  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  const session = place.at === "order" ? place.session : null;
  useEffect(() => {
    if (session === null) return;
    history.replaceState(null, "", orderAddress(session.id));
    session.start(back.current);
    back.current = null;
    return () => session.stop();
  }, [session, orderAddress]);

  const returned = place.at === "return" ? place.session : null;
  useEffect(() => {
    returned?.start();
    return () => returned?.stop();
  }, [returned]);

  const buy = async (items: Item[]): Promise<void> => {
    if (isPlacing.current) return;
    isPlacing.current = true;
    const intent = keep.intendTo(items, Date.now());
    setPlacing({ is: "under-way", items });
    try {
      const placed = await placeOrder(intent.key, intent.items);
      const next = sessionOf(keep, keep.placed(placed, Date.now()));
      next.take(placed.order);
      setPlacing({ is: "idle" });
      setPlace({ at: "order", session: next });
      void next.pay();
    } catch (error) {
      if (error instanceof Refused && !error.passes) {
        keep.intent = null;
        setPlacing({ is: "refused", soldOut: error.slug === "sold-out" });
      } else setPlacing({ is: "unanswered", items });
    } finally {
      isPlacing.current = false;
    }
  };

  // An order that was being placed when the page was left: the same key, so the same order.
  useEffect(() => {
    const intent = keep.interrupted(Date.now());
    if (place.at === "shop" && intent !== null) void buy(intent.items);
  }, []);

  const toShop = (): void => {
    keep.current = null;
    history.replaceState(null, "", "/");
    setPlace({ at: "shop" });
  };

  return (
    <>
      <header className="bar">
        <p className="brand">
          gyeolje <span lang="ko">결제</span>
        </p>
        <button
          type="button"
          className="plain"
          data-testid="language"
          lang={language === "ko" ? "en" : "ko"}
          onClick={() => setLanguage((keep.language = language === "ko" ? "en" : "ko"))}
        >
          {words.otherLanguage}
        </button>
      </header>
      <main className="page">
        {place.at === "shop" && (
          <Shop
            words={words}
            language={language}
            placing={placing}
            onBuy={(items) => void buy(items)}
            onLeave={() => {
              keep.intent = null;
              setPlacing({ is: "idle" });
            }}
          />
        )}
        {place.at === "order" && (
          <OrderView session={place.session} words={words} language={language} onLeave={toShop} />
        )}
        {place.at === "return" && <Returned session={place.session} words={words} onLeave={toShop} />}
        {place.at === "lost" && <Lost words={words} onLeave={toShop} />}
      </main>
    </>
  );
}

/**
 * Where a freshly opened page begins: at the order in its address, else at the one this browser is busy with. An order
 * that was placed in another browser shows as much as the ticket in its address opens.
 */
function firstPlace(keep: Keep, { orderId, ticket }: Arrival): Place {
  const id = orderId ?? keep.current;
  if (id === null) return { at: "shop" };
  const kept = keep.order(id);
  if (kept !== null) return { at: "order", session: sessionOf(keep, kept) };
  if (orderId === null) return { at: "shop" };
  if (ticket === null) return { at: "lost" };
  return { at: "return", session: new ReturnSession(() => readReturn(orderId, ticket)) };
}

function sessionOf(keep: Keep, kept: Kept): OrderSession {
  const { id, token } = kept;
  return new OrderSession(kept, {
    keep,
    now: () => Date.now(),
    events: (lastEventId, signal) => openEvents(id, token, lastEventId, signal),
    verify: () => verifyOrder(id, token),
    cancel: () => cancelOrder(id, token),
    openWindow,
  });
}
