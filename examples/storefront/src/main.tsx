import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App";
import { Guard } from "./Guard";
import { browserShelf, Keep } from "./keep";
import "./style.css";
import { arrivalOf } from "./window";

const keep = new Keep(browserShelf());
const arrival = arrivalOf(location.search);
if (arrival.outcome !== null && arrival.orderId !== null) {
  // The return is read once: a reload must not take it for another. Where the order is not kept, the ticket opens it.
  const ticket = keep.order(arrival.orderId) === null ? arrival.ticket : null;
  history.replaceState(null, "", orderAddress(arrival.orderId, ticket));
}

// A page that the browser brings back as it was left still believes that the payment window is open.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

function orderAddress(id: string, ticket: string | null = null): string {
  return `/?order=${encodeURIComponent(id)}${ticket === null ? "" : `&ticket=${encodeURIComponent(ticket)}`}`;
}

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
createRoot(root).render(
  <StrictMode>
    <Guard keep={keep}>
      <App keep={keep} arrival={arrival} orderAddress={orderAddress} />
    </Guard>
  </StrictMode>,
);
