import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const seed = process.env["FAST_CHECK_SEED"] ?? String(Math.floor(Math.random() * 2 ** 31))
console.log(`Property tests use the seed ${seed}. To repeat them: FAST_CHECK_SEED=${seed} npm test`)

const source = (path: string) => fileURLToPath(new URL(`src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-okta$/, replacement: source("index.ts") },
      { find: /^effect-okta\/testing$/, replacement: source("testing/index.ts") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "test/bench/**", "test/.tmp/**"],
    env: { FAST_CHECK_SEED: seed },
    setupFiles: ["test/seed.ts"],
    // On all cores, of which Vitest would leave one: most tests wait for sockets and processes of their own.
    maxWorkers: "100%",
    testTimeout: 15_000,
    hookTimeout: 15_000
  }
})
