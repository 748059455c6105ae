/**
 * The TypeScript in README.md, docs/ and doc comments is what users paste first, so it must compile against the built
 * package.
 *
 * - `ts` blocks are type-checked, each by itself.
 * - `ts run` blocks are run too, and must end well; blocks of doc comments are loaded.
 * - `ts serve` blocks are servers: with the stand-in as Okta, on a free port, they must say that they listen, tell where
 *   to sign in, and stop when asked to.
 */
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Layer, Option, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { command, project, run } from "../support/Program.ts"
import { codeBlocks, docComments, documented, pages } from "./CodeBlock.ts"

const workplace = `${project}/test/.tmp/snippets`

const snippets = documented.map((block) => ({
  ...block,
  file: `${workplace}/${block.at.replaceAll(/[^\w]+/g, "-")}.ts`
}))

const tsconfig = {
  extends: "../../../tsconfig.json",
  compilerOptions: { paths: {}, noUnusedLocals: false },
  include: ["*.ts"],
  exclude: []
}

const written = Layer.effectDiscard(
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.remove(workplace, { recursive: true, force: true })
    yield* fs.makeDirectory(workplace, { recursive: true })
    yield* fs.writeFileString(`${workplace}/tsconfig.json`, JSON.stringify(tsconfig))
    yield* Effect.forEach(snippets, ({ code, file }) => fs.writeFileString(file, code))
  })
)

const services = Layer.mergeAll(written, OktaStandIn.layer(), FetchHttpClient.layer).pipe(
  Layer.provideMerge(NodeServices.layer)
)

layer(services)("code in the documentation", (it) => {
  it.effect("is found", () =>
    Effect.sync(() => {
      const page = "Text\n```ts run\nconst a = 1\n```\n- item\n  ````ts\n  ```\n  ````\n```text\nb\n```\n"
      assert.deepStrictEqual(codeBlocks("x.md", page), [
        { at: "x.md:2", words: ["ts", "run"], code: "const a = 1\n" },
        { at: "x.md:6", words: ["ts"], code: "```\n" },
        { at: "x.md:9", words: ["text"], code: "b\n" }
      ])
      assert.include(pages, "README.md")
    }))

  it.effect("is found in doc comments", () =>
    Effect.sync(() => {
      const source =
        "/** One line. */\nconst a = 1\n  /**\n   * ```ts run\n   * if (a) {\n   *   b()\n   * }\n   * ```\n   */\n"
      assert.deepStrictEqual(codeBlocks("x.ts", docComments(source)), [
        { at: "x.ts:4", words: ["ts", "run"], code: "if (a) {\n  b()\n}\n" }
      ])
      assert.isTrue(documented.some(({ at }) => at.startsWith("src/token/TokenVerifier.ts:")))
    }))

  it.effect("compiles against the built package", () =>
    Effect.gen(function*() {
      if (snippets.length === 0) return
      const { output, status } = yield* run(["tsc", "-p", workplace])
      assert.strictEqual(output, "")
      assert.strictEqual(status, 0)
    }), 60_000)

  it.effect("of doc comments runs: nothing in it fails as soon as it is loaded", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const loaded = snippets.filter(({ at, words }) => at.startsWith("src/") && !words.includes("serve"))
      assert.isAbove(loaded.length, 40)
      const main = `${workplace}/doc-comments.mjs`
      yield* fs.writeFileString(main, loaded.map(({ file }) => `import ${JSON.stringify(file)}\n`).join(""))
      const { output, status } = yield* run(["node", main])
      assert.strictEqual(status, 0, output)
    }), 60_000)

  it.effect.each(snippets.filter(({ words }) => words.includes("run")))(
    "$at runs",
    ({ file }) =>
      Effect.gen(function*() {
        const { output, status } = yield* run(["node", file])
        assert.strictEqual(status, 0, output)
      })
  )

  it.effect.each(snippets.filter(({ words }) => words.includes("serve")))(
    "$at serves",
    ({ file }) =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const fs = yield* FileSystem.FileSystem
        const code = (yield* fs.readFileString(file))
          .replaceAll("https://acme.okta.com/oauth2/default", okta.issuer)
          .replaceAll(/\bport: \d+/g, "port: 0, host: \"127.0.0.1\"")
        const served = file.replace(/\.ts$/, ".served.ts")
        yield* fs.writeFileString(served, code.replaceAll("sessions.sqlite", served.replace(/\.ts$/, ".sqlite")))
        const server = yield* command(["node", served], {
          env: { OKTA_ISSUER: okta.issuer, OKTA_AUDIENCE: okta.audience, SERVER_URL: "http://localhost:3000" }
        })
        const said = yield* Stream.decodeText(server.all).pipe(
          Stream.scan(() => "", (before, text) => before + text),
          Stream.takeUntil((text) => text.includes("Listening on")),
          Stream.runLast
        )
        const url = /Listening on (\S+)/.exec(Option.getOrElse(said, () => ""))?.[1]?.replace(/\/$/, "")
        assert.isDefined(url)
        const metadata = yield* HttpClient.get(`${url}/.well-known/oauth-protected-resource`)
        assert.deepInclude(yield* metadata.json, {
          // In proxy mode clients sign in through the server itself.
          authorization_servers: [code.includes("clientSecret") ? "http://localhost:3000" : okta.issuer]
        })
        yield* server.kill()
      })
  )

  it.effect.each(snippets.filter(({ words }) => words.includes("serve")))(
    "$at listens only once Okta's layer is built",
    ({ file }) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        // Whoever listened at once would hear first of all that the port, the stand-in's, is taken.
        const { hostname, port } = new URL((yield* OktaStandIn).issuer)
        const code = (yield* fs.readFileString(file))
          .replaceAll("https://acme.okta.com/oauth2/default", "https://acme-admin.okta.com")
          .replaceAll(/\bport: \d+/g, `port: ${port}, host: "${hostname}"`)
        const mistaken = file.replace(/\.ts$/, ".mistaken.ts")
        yield* fs.writeFileString(mistaken, code)
        const { output, status } = yield* run(["node", mistaken], {
          env: { OKTA_ISSUER: "https://acme-admin.okta.com", OKTA_AUDIENCE: "x", SERVER_URL: "http://localhost:3000" }
        })
        assert.include(output, "is on the domain of the Admin Console")
        assert.strictEqual(status, 1)
      })
  )
})
