import { Component, type ReactNode } from "react";

import type { Keep } from "./keep";
import { languageOf, WORDS } from "./words";

interface Props {
  keep: Keep;
  children: ReactNode;
}

/** Whatever breaks in the page: a sentence and a way forward, not a blank page. */
export class Guard extends Component<Props, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError(): { isBroken: boolean } {
    return { isBroken: true };
  }

  override render(): ReactNode {
    if (!this.state.isBroken) return this.props.children;
    const words = WORDS[languageOf(this.props.keep.language, navigator.languages)];
    return (
      <main className="page">
        <p role="alert" className="notice" data-testid="broken">
          {words.broken}{" "}
          <button type="button" onClick={() => location.reload()}>
            {words.reload}
          </button>
        </p>
      </main>
    );
  }
}
