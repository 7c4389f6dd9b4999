/** What the page says, in Korean and in English. */

import type { Money, Return } from "./api";
import type { Shown } from "./order";

export type Language = "ko" | "en";

export interface Said {
  title: string;
  text: string;
}

export interface Words {
  otherLanguage: string;
  shopTitle: string;
  shopText: string;
  loadingProducts: string;
  noProducts: string;
  left(count: number): string;
  unlimited: string;
  soldOut: string;
  quantity(product: string): string;
  buy: string;
  buyLabel(product: string): string;
  placing: string;
  placingText: string;
  notPlaced: string;
  productsUnreachable: string;
  justSoldOut: string;
  cannotBePlaced: string;
  tryAgain: string;
  leaveIt: string;
  states: Record<Shown, Said>;
  returned: Record<Return["status"], Said>;
  failedBecause(message: string): string;
  pay: string;
  payAgain: string;
  reload: string;
  giveUp: string;
  checkNow: string;
  toShop: string;
  timeLeft: string;
  minuteLeft: string;
  total: string;
  refunded: string;
  orderNumber: string;
  details: string;
  linkLost: string;
  retryNow: string;
  notCancellable: string;
  unreachable: string;
  broken: string;
}

const ko: Words = {
  otherLanguage: "English",
  shopTitle: "무엇을 살까요?",
  shopText: "주문하면 결제하는 동안 잡아 둡니다. 결제는 카카오페이로 합니다.",
  loadingProducts: "상품을 불러오는 중입니다.",
  noProducts: "지금은 살 수 있는 상품이 없습니다.",
  left: (count) => `${count.toLocaleString("ko")}개 남음`,
  unlimited: "수량 제한 없음",
  soldOut: "매진",
  quantity: (product) => `${product} 수량`,
  buy: "구매",
  buyLabel: (product) => `${product} 구매`,
  placing: "주문하는 중",
  placingText: "주문을 넣고 있습니다.",
  notPlaced: "상점에 연결할 수 없어 주문을 마치지 못했습니다. 다시 시도해도 주문은 한 번만 들어갑니다.",
  productsUnreachable: "상점에 연결할 수 없어 상품을 불러오지 못했습니다.",
  justSoldOut: "방금 매진되었습니다. 다른 상품을 골라 주세요.",
  cannotBePlaced: "이대로는 주문할 수 없습니다. 상품과 수량을 다시 골라 주세요.",
  tryAgain: "다시 시도",
  leaveIt: "그만두기",
  states: {
    loading: { title: "주문을 불러오는 중입니다", text: "잠시만 기다려 주세요." },
    waiting: { title: "결제를 기다리고 있습니다", text: "주문하신 것을 잡아 두었습니다. 시간 안에 결제해 주세요." },
    paying: { title: "결제창이 열려 있습니다", text: "결제창에서 결제를 마쳐 주세요." },
    confirming: {
      title: "결제를 확인하고 있습니다",
      text: "확인되면 이 화면이 바뀝니다. 계좌로 입금하는 결제라면 입금된 뒤에 확인됩니다. 화면을 닫아도 됩니다.",
    },
    closed: { title: "결제를 취소하셨습니다", text: "아직 결제되지 않았습니다. 같은 주문을 다시 결제할 수 있습니다." },
    failed: { title: "결제하지 못했습니다", text: "아직 결제되지 않았습니다. 같은 주문을 다시 결제할 수 있습니다." },
    unavailable: {
      title: "결제창을 열지 못했습니다",
      text: "인터넷 연결이나 차단 프로그램을 확인하고 새로고침해 주세요. 주문은 그대로 있습니다.",
    },
    closing: { title: "결제 시간이 끝났습니다", text: "마지막으로 들어온 결제가 있는지 확인하고 있습니다." },
    paid: { title: "결제되었습니다", text: "감사합니다. 주문이 확정되었습니다." },
    refunding: { title: "돈을 돌려드리고 있습니다", text: "받지 않아야 할 결제여서 전액 환불을 요청했습니다. 끝나면 이 화면이 바뀝니다." },
    mismatch: {
      title: "전액 환불되었습니다",
      text: "결제된 내용이 주문과 달라 주문을 취소하고 결제된 돈을 모두 돌려드렸습니다.",
    },
    late: { title: "전액 환불되었습니다", text: "주문이 끝난 뒤에 결제되어 결제된 돈을 모두 돌려드렸습니다." },
    expired: {
      title: "시간이 지나 주문이 취소되었습니다",
      text: "시간 안에 결제되지 않았습니다. 뒤늦게 결제되었다면 자동으로 전액 환불됩니다.",
    },
    "given-up": { title: "주문을 취소하셨습니다", text: "이제 결제하지 않으셔도 됩니다. 뒤늦게 결제되었다면 자동으로 전액 환불됩니다." },
    "payment-cancelled": { title: "결제가 취소되었습니다", text: "주문이 확정되기 전에 결제가 취소되어 주문도 취소되었습니다." },
    returned: { title: "환불되었습니다", text: "상점이 이 주문의 결제를 모두 돌려드렸습니다." },
    "charged-back": { title: "카드사가 결제를 되돌렸습니다", text: "카드사가 이 주문의 결제를 모두 되돌려 주문이 취소되었습니다." },
    gone: {
      title: "이 주문을 볼 수 없습니다",
      text: "주문이 없거나, 이 브라우저에서 넣은 주문이 아닙니다. 결제하셨다면 결제한 브라우저에서 열어 주세요.",
    },
  },
  returned: {
    paid: { title: "결제되었습니다", text: "감사합니다. 주문이 확정되었습니다. 자세한 내용은 주문한 브라우저에서 볼 수 있습니다." },
    open: { title: "결제를 확인하고 있습니다", text: "확인되면 이 화면이 바뀝니다. 주문한 브라우저로 돌아가셔도 됩니다." },
    not_paid: {
      title: "이 주문은 결제되지 않았습니다",
      text: "주문이 끝났습니다. 결제된 돈이 있다면 자동으로 전액 환불됩니다.",
    },
  },
  failedBecause: (message) => `결제사의 답: ${message}`,
  pay: "결제하기",
  payAgain: "결제창 다시 열기",
  reload: "새로고침",
  giveUp: "주문 취소",
  checkNow: "결제 다시 확인",
  toShop: "다른 상품 보기",
  timeLeft: "남은 시간",
  minuteLeft: "결제 시간이 1분 남았습니다.",
  total: "결제 금액",
  refunded: "환불 금액",
  orderNumber: "주문 번호",
  details: "주문 내용",
  linkLost: "연결이 끊겨 다시 연결하고 있습니다. 주문과 결제는 안전합니다.",
  retryNow: "지금 연결",
  notCancellable: "결제가 진행 중이어서 지금은 취소할 수 없습니다. 잠시 뒤에 다시 시도해 주세요.",
  unreachable: "상점에 연결하지 못했습니다. 잠시 뒤에 다시 시도해 주세요.",
  broken: "화면에 문제가 생겼습니다. 주문과 결제는 안전합니다. 새로고침하면 이어집니다.",
};

const en: Words = {
  otherLanguage: "한국어",
  shopTitle: "What would you like?",
  shopText: "What you order is held for you while you pay with KakaoPay.",
  loadingProducts: "Loading what is for sale.",
  noProducts: "There is nothing for sale right now.",
  left: (count) => `${count.toLocaleString("en")} left`,
  unlimited: "No limit",
  soldOut: "Sold out",
  quantity: (product) => `Quantity of ${product}`,
  buy: "Buy",
  buyLabel: (product) => `Buy ${product}`,
  placing: "Placing",
  placingText: "Placing your order.",
  notPlaced: "The shop cannot be reached, so your order is not complete. You can try again: it is placed only once.",
  productsUnreachable: "The shop cannot be reached, so there is nothing to show yet.",
  justSoldOut: "That was sold a moment ago. Please choose something else.",
  cannotBePlaced: "This cannot be ordered as it is. Please choose product and quantity again.",
  tryAgain: "Try again",
  leaveIt: "Leave it",
  states: {
    loading: { title: "Loading your order", text: "One moment, please." },
    waiting: { title: "Waiting for your payment", text: "What you ordered is held for you. Please pay before the time is up." },
    paying: { title: "The payment window is open", text: "Please finish your payment there." },
    confirming: {
      title: "Confirming your payment",
      text: "This page changes as soon as it is confirmed. A bank transfer is confirmed once it arrives. You may close this page.",
    },
    closed: { title: "You cancelled the payment", text: "Nothing has been paid yet. You can pay for the same order again." },
    failed: { title: "The payment did not go through", text: "Nothing has been paid yet. You can pay for the same order again." },
    unavailable: {
      title: "The payment window could not be opened",
      text: "Check your connection and any blockers, then reload. Your order is still here.",
    },
    closing: { title: "The time to pay is over", text: "We are checking whether a payment came in at the last moment." },
    paid: { title: "Paid", text: "Thank you. Your order is confirmed." },
    refunding: {
      title: "Your money is on its way back",
      text: "We must not keep this payment, so we asked for all of it to be refunded. This page changes when that is done.",
    },
    mismatch: {
      title: "Refunded in full",
      text: "What was paid did not match the order, so we cancelled it and gave back everything that was paid.",
    },
    late: { title: "Refunded in full", text: "The payment came after the order had ended, so we gave back everything that was paid." },
    expired: {
      title: "The order expired",
      text: "It was not paid in time. Should a payment still arrive, it is refunded in full by itself.",
    },
    "given-up": { title: "You cancelled the order", text: "There is nothing left to pay. Should a payment still arrive, it is refunded in full by itself." },
    "payment-cancelled": {
      title: "The payment was cancelled",
      text: "The payment was cancelled before the order was confirmed, so the order is cancelled too.",
    },
    returned: { title: "Refunded", text: "The shop gave back everything that was paid for this order." },
    "charged-back": {
      title: "Your card company took the payment back",
      text: "It took back everything that was paid for this order, so the order is cancelled.",
    },
    gone: {
      title: "This order cannot be shown",
      text: "It does not exist, or it was placed in another browser. If you have paid, open it in the browser you paid in.",
    },
  },
  returned: {
    paid: { title: "Paid", text: "Thank you. The order is confirmed. The browser it was placed in shows all of it." },
    open: { title: "Confirming your payment", text: "This page changes as soon as it is confirmed. You may also go back to the browser you ordered in." },
    not_paid: {
      title: "This order is not paid",
      text: "It has come to its end. Whatever was paid for it is refunded in full by itself.",
    },
  },
  failedBecause: (message) => `The payment provider says: ${message}`,
  pay: "Pay now",
  payAgain: "Open the payment window again",
  reload: "Reload",
  giveUp: "Cancel the order",
  checkNow: "Check the payment again",
  toShop: "See what else there is",
  timeLeft: "Time left",
  minuteLeft: "One minute left to pay.",
  total: "Total",
  refunded: "Refunded",
  orderNumber: "Order number",
  details: "Your order",
  linkLost: "The connection is lost and is being restored. Your order and payment are safe.",
  retryNow: "Connect now",
  notCancellable: "A payment is being worked on, so this cannot be cancelled right now. Please try again in a moment.",
  unreachable: "The shop cannot be reached. Please try again in a moment.",
  broken: "Something went wrong on this page. Your order and payment are safe. Reload to go on.",
};

export const WORDS: Record<Language, Words> = { ko, en };

/** The language that was chosen here, else the browser's first that we speak, else English. */
export function languageOf(chosen: string | null, preferred: readonly string[]): Language {
  for (const tag of [chosen ?? "", ...preferred]) {
    if (/^ko\b/i.test(tag)) return "ko";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}

/** `amount` minor units, written as the language writes money. */
export function written({ amount, currency }: Money, language: Language): string {
  const format = new Intl.NumberFormat(language, { style: "currency", currency });
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 0));
}

/** Whole seconds as minutes and seconds. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
