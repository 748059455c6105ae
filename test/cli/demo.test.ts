import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { stat } from "node:fs/promises"
import { type Shown, stepsOf, Visitor } from "../support/Visitor.ts"
import { run, start } from "./Command.ts"
import { httpServer } from "./Serving.ts"

const freePorts = ["--port=0", "--okta-port=0", "--demo-port=0"]

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix: "demo-" }))

/** What the demo says, as JSON. */
const startDemo = Effect.fnUntraced(function*(args: ReadonlyArray<string>) {
  const command = yield* start(["demo", "--json", ...args])
  const said: {
    readonly page: string
    readonly url: string
    readonly issuer: string
    readonly [name: string]: unknown
  } = JSON.parse(yield* command.printed)
  return { ...command, said }
})

/** Each of these starts processes, on a machine that may be busy. */
const slow = 60_000

const portOf = (url: string) => new URL(url).port

const signIn = Effect.fnUntraced(function*(visitor: Visitor, page: string) {
  const consent = yield* visitor.press(yield* visitor.open(page), "Sign in")
  const door = yield* visitor.press(consent, "Allow")
  return yield* visitor.press(door, "Sign in")
})

const titles = (page: Shown) => stepsOf(page).map(([title]) => title)

layer(NodeServices.layer, { excludeTestServices: true, timeout: 60_000 })("effect-okta demo", (it) => {
  it.effect("tells its flags, and completes them", () =>
    Effect.gen(function*() {
      const { exitCode, stderr, stdout } = yield* run(["demo", "--help"])
      assert.deepStrictEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" })
      for (const name of ["PORT", "OKTA_PORT", "DEMO_PORT", "DATA_DIR"]) {
        assert.include(stdout, `--${name.toLowerCase().replaceAll("_", "-")} string`)
        assert.include(stdout, `(${name})`)
      }
      const shells = ["bash", "zsh", "fish"]
      const completions = yield* Effect.forEach(shells, (shell) => run(["--completions", shell]), {
        concurrency: "unbounded"
      })
      for (const { exitCode, stdout } of completions) {
        assert.strictEqual(exitCode, 0)
        for (const word of ["demo", "okta-port", "data-dir"]) assert.include(stdout, word)
      }
    }), slow)

  it.effect("tells all that is wrong with its settings at once, and listens nowhere", () =>
    Effect.gen(function*() {
      const taken = portOf(yield* httpServer(() => {}))
      const { exitCode, stderr, stdout } = yield* run(["demo", "--port=http", `--demo-port=${taken}`], {
        env: { OKTA_PORT: "65536", DATA_DIR: "/dev/null/demo" }
      })
      assert.deepStrictEqual({ exitCode, stdout }, { exitCode: 2, stdout: "" })
      assert.include(stderr, "There are 4 mistakes in the settings:")
      for (
        const mistake of [
          "PORT (http) is not a port",
          "OKTA_PORT (65536) is not a port",
          `DEMO_PORT (${taken}) cannot be had (listen EADDRINUSE`,
          "DATA_DIR (/dev/null/demo) cannot be made"
        ]
      ) assert.include(stderr, mistake)
      assert.notInclude(stderr, "    at ")
    }), slow)

  it.effect("takes no port twice, and says so as JSON when asked to", () =>
    Effect.gen(function*() {
      const port = portOf(yield* Effect.scoped(httpServer(() => {})))
      const args = ["demo", "--json", `--port=${port}`, `--okta-port=${port}`, "--demo-port=0"]
      const { exitCode, stderr } = yield* run([...args, `--data-dir=${yield* folder}`])
      assert.strictEqual(exitCode, 2)
      const { event, problems } = JSON.parse(stderr)
      assert.strictEqual(event, "invalid-configuration")
      assert.deepStrictEqual(problems.map(({ field }: { readonly field: string }) => field), ["OKTA_PORT"])
    }), slow)

  it.effect("says in aligned lines what runs where", () =>
    Effect.gen(function*() {
      const kept = yield* folder
      const { ended, printed, signal } = yield* start(["demo", ...freePorts, "--data-dir", kept])
      const text = yield* printed
      const rows = [...text.matchAll(/^ {2}(\S+(?: \S+)*) {2,}(\S.*)$/gm)].map(([, name, what]) =>
        [name, what] as const
      )
      assert.deepStrictEqual(rows.map(([name]) => name), ["page", "mode", "protected", "metadata", "Okta", "kept in"])
      const told = Object.fromEntries(rows)
      assert.match(told["page"] ?? "", /^http:\/\/localhost:\d+ /)
      assert.match(told["mode"] ?? "", /^proxy: /)
      assert.match(told["protected"] ?? "", /^http:\/\/localhost:\d+\/mcp, /)
      assert.match(told["metadata"] ?? "", /^http:\/\/localhost:\d+\/\.well-known\/oauth-protected-resource\/mcp$/)
      assert.match(told["Okta"] ?? "", /^http:\/\/127\.0\.0\.1:\d+\/oauth2\/default /)
      assert.include(told["kept in"], kept)
      const columns = text.split("\n").filter((line) => line.startsWith("  ")).map((line) => line.slice(0, 13))
      for (const column of columns) assert.match(column, /^ {2}[\w ]{9}  $/)
      yield* signal("SIGTERM")
      assert.deepInclude(yield* ended, { exitCode: 0, stderr: "" })
    }), slow)

  it.effect(
    "keeps everything where it is told to, for its owner only, and takes no settings of other servers",
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const kept = `${yield* folder}/not/yet/there`
        const { printed } = yield* start(["demo", "--json", ...freePorts, "--data-dir", kept], {
          env: { OKTA_ISSUER: "https://acme.okta.com", SERVER_URL: "https://mcp.example.com", OKTA_MODE: "native" }
        })
        const { issuer, mode } = JSON.parse(yield* printed)
        assert.strictEqual(mode, "proxy")
        assert.match(issuer, /^http:\/\/127\.0\.0\.1:/)
        const files = yield* fs.readDirectory(kept)
        for (const file of ["demo.sqlite", "server.sqlite", "server.sqlite.secrets"]) {
          assert.include(files, file)
          const { mode } = yield* Effect.promise(() => stat(`${kept}/${file}`))
          assert.strictEqual(mode & 0o077, 0, file)
        }
      }),
    slow
  )

  it.effect(
    "killed in the middle of a session and started again, it asks nobody to sign in again",
    () =>
      Effect.gen(function*() {
        const kept = ["--data-dir", yield* folder]
        const visitor = new Visitor()
        const first = yield* startDemo([...freePorts, ...kept])
        const { issuer, page, url } = first.said
        const before = yield* signIn(visitor, page)
        assert.include(before.html, "Signed in as ada@example.com")
        yield* first.signal("SIGKILL")
        yield* first.ended

        const ports = [`--port=${portOf(url)}`, `--okta-port=${portOf(issuer)}`, `--demo-port=${portOf(page)}`]
        const { said } = yield* startDemo([...ports, ...kept])
        assert.deepStrictEqual([said.page, said.url, said.issuer], [page, url, issuer])
        const again = yield* visitor.open(page)
        assert.deepStrictEqual(stepsOf(again), stepsOf(before))

        // The access token that was issued before, then a new one by the refresh token.
        const called = yield* visitor.press(again, "Call the tool again")
        const refreshed = yield* visitor.press(called, "Refresh the tokens")
        const shownTokens = [...refreshed.html.matchAll(/refresh_token(?: = |&quot;: &quot;)([\w-]+…[\w-]+)/g)].slice(
          -2
        )
        assert.lengthOf(new Set(shownTokens.map(([, token]) => token)), 2)
        const end = yield* visitor.press(refreshed, "Call the tool again")
        assert.deepStrictEqual(stepsOf(end).slice(stepsOf(before).length), [
          ["The client calls the tool, with its access token", "200"],
          ["The client gets new tokens", "200"],
          ["The client calls the tool, with its access token", "200"]
        ])
        assert.include(end.html, "Signed in as ada@example.com")
        assert.notInclude(end.html, "role=\"alert\"")

        // Okta still knows the person, and the grant that is revoked there.
        const out = yield* visitor.press(end, "Sign out")
        assert.deepStrictEqual(stepsOf(out).slice(-3), [
          ["The client gives its access back", "200"],
          ["The server ends its own grant at Okta", "200"],
          ["The client tries the old access token once more", "401"]
        ])
        const consent = yield* visitor.press(out, "Sign in again")
        const back = yield* visitor.press(consent, "Allow")
        assert.include(back.html, "Signed in as ada@example.com")
        assert.notInclude(titles(back), "You sign in at Okta")
      }),
    slow
  )

  it.effect("tells two visitors apart, and shows nothing that works", () =>
    Effect.gen(function*() {
      const { said: { page } } = yield* startDemo([...freePorts, "--data-dir", yield* folder])
      const [one, other] = [new Visitor(), new Visitor()]
      const oneConsent = yield* one.press(yield* one.open(page), "Sign in")
      const otherConsent = yield* other.press(yield* other.open(page), "Sign in")
      const otherDoor = yield* other.press(otherConsent, "Allow")
      const denied = yield* one.press(oneConsent, "Deny")
      const home = yield* other.press(otherDoor, "Sign in")
      assert.deepStrictEqual(titles(denied).slice(-2), ["You deny it", "The browser brings the answer to the client"])
      assert.include(denied.html, "Access was denied")
      assert.lengthOf(titles(home), 15)
      assert.notMatch(home.html, /eyJ[\w-]+\.[\w-]{20,}\.[\w-]+/)
      assert.notInclude(home.html, "correct horse")
      // What is still good at the moment is not there in full: handles of Okta's and of the server's, verifier, refresh token.
      for (const name of ["code", "code_verifier", "refresh_token", "access_token", "id_token"]) {
        assert.notMatch(home.html, new RegExp(`(?:${name}&quot;: &quot;| ${name} = )[\\w.-]{20,}`), name)
      }
    }), slow)
})
