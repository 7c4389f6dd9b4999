import { useCallback, useEffect, useState, type ReactNode } from "react";

import { listProducts, type Item, type Product } from "./api";
import { written, type Language, type Words } from "./words";

export type Placing =
  | { is: "idle" }
  | { is: "under-way"; items: Item[] }
  | { is: "unanswered"; items: Item[] }
  | { is: "refused"; soldOut: boolean };

interface Props {
  words: Words;
  language: Language;
  placing: Placing;
  onBuy(items: Item[]): void;
  onLeave(): void;
}

const MOST = 10; // of one product in one order

export function Shop({ words, language, placing, onBuy, onLeave }: Props): ReactNode {
  const [products, setProducts] = useState<Product[] | null>(null);
  const [isUnreachable, setUnreachable] = useState(false);

  const load = useCallback(async () => {
    try {
      setProducts(await listProducts());
      setUnreachable(false);
    } catch {
      setUnreachable(true);
    }
  }, []);

  // At first, after a refusal (it was sold to somebody else), and whenever the buyer comes back to this tab.
  useEffect(() => {
    void load();
    const onFocus = () => void load();
    addEventListener("focus", onFocus);
    return () => removeEventListener("focus", onFocus);
  }, [load, placing.is === "refused"]);

  useEffect(() => {
    document.title = `${words.shopTitle} · gyeolje`;
  }, [words]);

  return (
    <section data-testid="shop" aria-labelledby="shop-title">
      <h1 id="shop-title">{words.shopTitle}</h1>
      <p className="lead">{words.shopText}</p>
      <div role="alert" data-testid="shop-problem">
        {placing.is === "refused" && (
          <p className="notice bad">{placing.soldOut ? words.justSoldOut : words.cannotBePlaced}</p>
        )}
        {placing.is === "unanswered" && (
          <p className="notice bad">
            {words.notPlaced}
            <span className="row">
              <button type="button" data-testid="try-again" onClick={() => onBuy(placing.items)}>
                {words.tryAgain}
              </button>
              <button type="button" className="plain" data-testid="leave-it" onClick={onLeave}>
                {words.leaveIt}
              </button>
            </span>
          </p>
        )}
        {isUnreachable && placing.is !== "unanswered" && (
          <p className="notice bad">
            {words.productsUnreachable}
            <span className="row">
              <button type="button" data-testid="try-again" onClick={() => void load()}>
                {words.tryAgain}
              </button>
            </span>
          </p>
        )}
      </div>
      <p role="status" className="unseen">
        {products === null && !isUnreachable && words.loadingProducts}
        {placing.is === "under-way" && words.placingText}
      </p>
      {products === null && !isUnreachable && <Awaited />}
      {products?.length === 0 && <p className="notice">{words.noProducts}</p>}
      <ul className="products">
        {products?.map((product) => (
          <ProductCard
            key={product.id}
            product={product}
            words={words}
            language={language}
            isPlacing={placing.is === "under-way" && placing.items[0]?.productId === product.id}
            isHeld={placing.is === "under-way" || placing.is === "unanswered"}
            onBuy={onBuy}
          />
        ))}
      </ul>
    </section>
  );
}

interface CardProps {
  product: Product;
  words: Words;
  language: Language;
  isPlacing: boolean;
  isHeld: boolean;
  onBuy(items: Item[]): void;
}

function ProductCard({ product, words, language, isPlacing, isHeld, onBuy }: CardProps): ReactNode {
  const [wanted, setWanted] = useState(1);
  const most = Math.min(product.available ?? MOST, MOST);
  const quantity = Math.max(1, Math.min(wanted, most));
  const isSoldOut = product.available === 0;
  return (
    <li className="card product" data-testid="product" data-product-id={product.id}>
      <div className="what">
        <h2>{product.name}</h2>
        <p className="price">{written(product.price, language)}</p>
        <p className="left" data-testid="product-left">
          {isSoldOut ? words.soldOut : product.available === null ? words.unlimited : words.left(product.available)}
        </p>
      </div>
      {most > 1 && (
        <select
          data-testid="quantity"
          aria-label={words.quantity(product.name)}
          value={quantity}
          disabled={isHeld}
          onChange={(event) => setWanted(Number(event.target.value))}
        >
          {Array.from({ length: most }, (_, index) => (
            <option key={index}>{index + 1}</option>
          ))}
        </select>
      )}
      <button
        type="button"
        data-testid="buy"
        className="strong"
        aria-label={isSoldOut ? `${product.name}: ${words.soldOut}` : words.buyLabel(product.name)}
        aria-busy={isPlacing}
        disabled={isSoldOut || isHeld}
        onClick={() => onBuy([{ productId: product.id, quantity }])}
      >
        {isSoldOut ? words.soldOut : isPlacing ? words.placing : words.buy}
      </button>
    </li>
  );
}

/** Takes the room that the products will need. */
function Awaited(): ReactNode {
  return (
    <ul className="products" aria-hidden="true">
      {[0, 1, 2, 3, 4].map((index) => (
        <li key={index} className="card product awaited" />
      ))}
    </ul>
  );
}
