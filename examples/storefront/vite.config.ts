import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// Where `gyeolje demo` runs, for `npm run dev` beside it.
const SERVICE = "http://127.0.0.1:8000";
const FAKE = "http://127.0.0.1:8001";

/** In development, load the fake's payment window as the service does in the page it serves. */
const fakeWindow: Plugin = {
  name: "fake-window",
  apply: "serve",
  transformIndexHtml: () => [{ tag: "script", attrs: { src: `${FAKE}/_fake/browser-sdk.js` }, injectTo: "head" }],
};

export default defineConfig({
  plugins: [react(), fakeWindow],
  build: {
    outDir: "../../src/adapters/http/storefront",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's policy lets no data: address but an icon's in
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": SERVICE } },
});
