import { expect, test } from "vitest";

import { arrivalOf, outcomeOf } from "./window";

test("an answer without a code says that the window is done", () => {
  expect(outcomeOf({})).toEqual({ is: "done" });
});

test.each([
  { code: "FAILURE_TYPE_PG", pgCode: "USER_CANCEL", message: "사용자가 결제를 취소하였습니다" },
  { code: "PAY_PROCESS_CANCELED" },
  { code: "FAILURE_TYPE_PG", message: "[결제포기] 사용자가 창을 닫았습니다" },
])("a buyer who closes the window has not failed: %o", (answer) => {
  expect(outcomeOf(answer)).toEqual({ is: "closed" });
});

test("a failure carries what the provider says of it", () => {
  expect(outcomeOf({ code: "FAILURE_TYPE_PG", message: "a", pgMessage: "잔액 부족" })).toEqual({
    is: "failed",
    message: "잔액 부족",
  });
});

test("an order that another tab has paid is no failure", () => {
  expect(outcomeOf({ code: "PaymentAlreadyPaid", message: "already paid" })).toEqual({ is: "done" });
});

test("a link to an order is not a return from the window", () => {
  expect(arrivalOf("?order=abc")).toEqual({ orderId: "abc", ticket: null, outcome: null });
  expect(arrivalOf("")).toEqual({ orderId: null, ticket: null, outcome: null });
});

test("a redirect back says what the promise would have said", () => {
  expect(arrivalOf("?order=abc&paymentId=p1&txId=t1")).toEqual({
    orderId: "abc",
    ticket: null,
    outcome: { is: "done" },
  });
  expect(arrivalOf("?order=abc&ticket=17.f0&paymentId=p1").ticket).toBe("17.f0");
  expect(arrivalOf("?order=abc&paymentId=p1&code=FAILURE_TYPE_PG&message=%EA%B1%B0%EC%A0%88")).toEqual({
    orderId: "abc",
    ticket: null,
    outcome: { is: "failed", message: "거절" },
  });
});
