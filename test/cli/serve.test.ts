import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import { connect } from "node:net"
import { text } from "node:stream/consumers"
import manifest from "../../package.json" with { type: "json" }
import type * as Serve from "../../src/cli/serve.ts"
import { rowsOf } from "../../src/cli/Startup.ts"
import { OktaConfig } from "../../src/config/OktaConfig.ts"
import { OktaTest } from "../../src/testing/OktaTest.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { dpopChallenge } from "../support/Proofs.ts"
import { run, start } from "./Command.ts"
import { begin, exchange, httpServer, once, serve } from "./Serving.ts"

/** An environment with which the command serves, by the stand-in, at a free port. */
const environment = Effect.map(OktaStandIn, (okta) => ({
  OKTA_ISSUER: okta.issuer,
  OKTA_AUDIENCE: okta.audience,
  SERVER_URL: "http://127.0.0.1:8080",
  PORT: "0"
}))

/** A port at which nobody else can listen: a command that tries ends in another way than one that does not. */
const takenPort = Effect.map(httpServer(() => {}), (url) => new URL(url).port)

const urlIn = (line: string): string => /^Listening on (http:\S+\/mcp), guarded by \S+\n/.exec(line)?.[1] ?? line

const refuses = (url: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.on("connect", () => {
      socket.destroy()
      resume(Effect.succeed(false))
    }).on("error", () => resume(Effect.succeed(true)))
  })

// Processes of their own go by the clock on the wall, and so does the stand-in.
layer(OktaStandIn.layer(), { excludeTestServices: true })("effect-okta", (it) => {
  describe("tells about itself", () => {
    it.effect("its version", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* run(["--version"]), {
          exitCode: 0,
          stdout: `effect-okta v${manifest.version}\n`,
          stderr: ""
        })
      }))

    it.effect("its commands and flags", () =>
      Effect.gen(function*() {
        const { exitCode, stderr, stdout } = yield* run(["serve", "--help"])
        assert.strictEqual(exitCode, 0)
        assert.strictEqual(stderr, "")
        for (const name of ["OKTA_ISSUER", "OKTA_AUDIENCE", "SERVER_URL", "REQUIRED_SCOPES", "OKTA_MODE", "PORT"]) {
          assert.include(stdout, `--${name.toLowerCase().replaceAll("_", "-")} string`)
          assert.include(stdout, `(${name})`)
        }
        for (const flag of ["upstream", "path", "host", "timeout", "allow-origin", "json"]) {
          assert.include(stdout, `--${flag} `)
        }
        assert.include((yield* run([])).stdout, "serve")
      }))

    it.effect.each(["bash", "fish"])("completions for %s", (shell) =>
      Effect.gen(function*() {
        const { exitCode, stdout } = yield* run(["--completions", shell])
        assert.strictEqual(exitCode, 0)
        assert.include(stdout, "serve")
        assert.include(stdout, "upstream")
      }))
  })

  describe("wrong settings", () => {
    it.effect("are all told at once, before anything listens", () =>
      Effect.gen(function*() {
        const { exitCode, stderr, stdout } = yield* run([
          "serve",
          "--path=mcp/",
          "--host=not a host",
          "--allow-origin=https://app.example.com/",
          "--upstream=ftp://user:canary@files.example.com",
          "--timeout=soon"
        ], {
          env: { OKTA_ISSUER: "https://acme-admin.okta.com", SERVER_URL: "http://mcp.example.com", PORT: "99999" }
        })
        assert.strictEqual(exitCode, 2)
        assert.strictEqual(stdout, "")
        for (
          const mistake of [
            "OKTA_AUDIENCE is missing",
            "OKTA_ISSUER (https://acme-admin.okta.com) ",
            "SERVER_URL (http://mcp.example.com) ",
            "PORT (99999) is not a port",
            "--path (mcp/) is not a",
            "--host (not a host) is not an address",
            "is not an origin",
            "--upstream (ftp://<redacted>@files.example.com) is not",
            "--timeout (soon) is not"
          ]
        ) assert.include(stderr, mistake)
        assert.strictEqual(stderr.split("\n").length, 11)
      }))

    it.effect.each<{ readonly field: string; readonly options?: Partial<Serve.ServeOptions>; readonly PORT?: string }>([
      { field: "--upstream", options: { upstream: "files.example.com" } },
      { field: "--upstream", options: { upstream: "http://user:password@127.0.0.1:3000" } },
      { field: "--upstream", options: { upstream: "http://127.0.0.1:3000/mcp?x=1" } },
      { field: "--timeout", options: { timeout: "0 seconds" } },
      { field: "--timeout", options: { timeout: "-1 second" } },
      { field: "--path", options: { path: "" } },
      { field: "--path", options: { path: "/" } },
      { field: "--path", options: { path: "/mcp/../x" } },
      { field: "--path", options: { path: "/m cp" } },
      { field: "--host", options: { host: "" } },
      { field: "--allow-origin", options: { allowedOrigins: ["*"] } },
      { field: "PORT", PORT: "http" },
      { field: "PORT", PORT: "-1" },
      { field: "PORT", PORT: "80.5" },
      { field: "PORT", PORT: "0x50" },
      { field: "PORT", PORT: "65536" }
    ])("$field: $options $PORT", ({ field, options, PORT }) =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const error = yield* Effect.flip(serve(okta, options, { PORT: PORT ?? (yield* takenPort) }))
        assert(error._tag === "InvalidConfiguration")
        assert.deepStrictEqual(error.problems.map(({ field }) => field), [field])
        assert.notInclude(error.message, "password")
      }))

    it.effect("come as JSON when asked for", () =>
      Effect.gen(function*() {
        const { exitCode, stderr } = yield* run(["serve", "--json"], { env: { OKTA_AUDIENCE: "api://default" } })
        assert.strictEqual(exitCode, 2)
        const { event, problems } = JSON.parse(stderr)
        assert.strictEqual(event, "invalid-configuration")
        assert.deepStrictEqual(problems.map(({ field }: { readonly field: string }) => field), ["OKTA_ISSUER"])
      }))

    it.effect.each([
      { OKTA_CLIENT_ID: "0oa1", OKTA_CLIENT_SECRET: "canary-secret", SERVER_URL: "https://mcp.example.com" },
      { OKTA_CLIENT_ID: "0oa1", OKTA_CLIENT_SECRET: "canary-secret", SQLITE_FILE: "/does/not/exist/store.sqlite" },
      { OKTA_CLIENT_ID: "0oa1", OKTA_CLIENT_SECRET: "canary-secret", ENCRYPTION_SECRET: "canary-short" },
      { OKTA_MODE: "native", OKTA_CLIENT_ID: "0oa1", OKTA_CLIENT_SECRET: "canary-secret" },
      { OKTA_MODE: "gateway" }
    ])("of proxy mode: %j", (proxy) =>
      Effect.gen(function*() {
        const env = { ...yield* environment, PORT: yield* takenPort, ...proxy }
        const { exitCode, stderr, stdout } = yield* run(["serve"], { env })
        assert.deepStrictEqual({ exitCode, stdout }, { exitCode: 2, stdout: "" })
        assert.notInclude(stderr, "canary")
        assert.notInclude(stderr, "    at ")
      }))

    it.effect("of proxy mode, a folder for sign-ins that is not there: the message says so", () =>
      Effect.gen(function*() {
        const file = "/does/not/exist/store.sqlite"
        const proxy = { OKTA_CLIENT_ID: "0oa1", OKTA_CLIENT_SECRET: "canary-secret", SQLITE_FILE: file }
        const { stderr } = yield* run(["serve"], { env: { ...yield* environment, ...proxy } })
        assert.include(stderr, `SQLITE_FILE (${file}) is in a place where secrets cannot be kept (ENOENT: no such file`)
      }))

    it.effect("asks Okta without fetch, which a large answer can make end the process", () =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const url = yield* serve(okta).pipe(
          Effect.provideService(FetchHttpClient.Fetch, () => Promise.reject(new Error("fetch was used")))
        )
        const { status } = yield* exchange(url, { headers: { authorization: `Bearer ${yield* okta.mint()}` } })
        assert.notStrictEqual(status, 503)
        assert.strictEqual((yield* exchange(new URL("/readyz", url).href)).status, 200)
      }))

    it.effect("a flag or command that does not exist", () =>
      Effect.gen(function*() {
        const env = { ...yield* environment, PORT: yield* takenPort }
        const flag = yield* run(["serve", "--upstraem", "http://127.0.0.1:3000"], { env })
        assert.strictEqual(flag.exitCode, 2)
        assert.include(flag.stderr, "--upstraem")
        const command = yield* run(["sevre"], { env })
        assert.strictEqual(command.exitCode, 2)
        assert.include(command.stderr, "sevre")
      }))
  })

  it.effect("an address that is in use is told in one line", () =>
    Effect.gen(function*() {
      const port = yield* takenPort
      const env = { ...yield* environment, PORT: port }
      const { exitCode, stderr, stdout } = yield* run(["serve"], { env })
      assert.deepStrictEqual({ exitCode, stdout }, { exitCode: 1, stdout: "" })
      assert.match(stderr, /^The server cannot start: .*address already in use 127\.0\.0\.1:\d+\..*\n$/)
      const json = yield* run(["serve", "--json"], { env })
      assert.strictEqual(json.exitCode, 1)
      assert.strictEqual(JSON.parse(json.stderr).event, "cannot-listen")
    }))

  it.effect("flags go before the environment", () =>
    Effect.gen(function*() {
      const { OKTA_AUDIENCE, OKTA_ISSUER, SERVER_URL } = yield* environment
      const { printed } = yield* start([
        "serve",
        `--okta-issuer=${OKTA_ISSUER}`,
        `--okta-audience=${OKTA_AUDIENCE},api://other`,
        `--server-url=${SERVER_URL}`,
        "--required-scopes=mcp:read mcp:write",
        "--port=0",
        "--path=/tools"
      ], {
        env: {
          OKTA_ISSUER: "https://acme.okta.com/oauth2/default/",
          OKTA_AUDIENCE: "api://wrong",
          SERVER_URL: "not a url",
          REQUIRED_SCOPES: "admin",
          PORT: "http"
        }
      })
      const line = yield* printed
      assert.match(line, /^Listening on http:\/\/127\.0\.0\.1:\d+\/tools, guarded by /)
      assert.include(line, `guarded by ${OKTA_ISSUER}\n`)
      const url = /\S+\/tools/.exec(line)?.[0] ?? line
      const { headers, status } = yield* exchange(url)
      assert.strictEqual(status, 401)
      assert.strictEqual(
        headers["www-authenticate"],
        `Bearer resource_metadata="${SERVER_URL}/.well-known/oauth-protected-resource/tools", ` +
          `scope="mcp:read mcp:write"${dpopChallenge}`
      )
    }))

  it.effect("says in aligned lines what it is set to, in colours where they are wanted", () =>
    Effect.gen(function*() {
      const env = yield* environment
      const upstream = yield* Effect.scoped(httpServer(() => {}))
      const plain = yield* start(["serve"], { env: { ...env, SERVER_URL: "http://localhost:9999/base" } })
      const [first, ...rows] = (yield* plain.printed).trimEnd().split("\n")
      assert.match(first ?? "", /^Listening on /)
      assert.deepStrictEqual(rows, [
        "  mode       native: clients sign in with Okta themselves",
        `  Okta       ${env.OKTA_ISSUER} (a custom authorization server)`,
        "  protected  http://localhost:9999/base/mcp, and everything below it",
        "             SERVER_URL leads to port 9999: listen there, by PORT, or have something there lead here",
        "  metadata   http://localhost:9999/.well-known/oauth-protected-resource/base/mcp",
        "  upstream   none: the built-in MCP server answers"
      ])
      const { SERVER_URL: _, ...without } = env
      const coloured = yield* start(["serve", "--upstream", upstream], {
        env: { ...without, NO_COLOR: "", FORCE_COLOR: "1" }
      })
      const text = yield* coloured.printed
      assert.include(text, "  \u001b[1mmetadata   \u001b[22mnone: without SERVER_URL nobody is told where to sign in\n")
      assert.include(text, `  \u001b[1mupstream   \u001b[22m${upstream}/\n`)
      assert.include(text, `\u001b[22m${urlIn(text)}, and everything below it\n`)
    }))

  it.effect("says where SERVER_URL leads past it, on this machine only", () =>
    Effect.gen(function*() {
      const told = (serverUrl: string, url: string) =>
        Effect.map(
          Effect.provide(
            OktaConfig,
            OktaConfig.layer({
              issuer: OktaTest.issuer,
              audience: "api://default",
              serverUrl
            })
          ),
          (settings) => {
            const [, , past = ""] = rowsOf({ settings, url, upstream: undefined }).find(([name]) =>
              name === "protected"
            ) ?? []
            return past.split(":", 1)[0]
          }
        )
      assert.strictEqual(yield* told("http://localhost:8080", "http://127.0.0.1:8080/mcp"), "")
      assert.strictEqual(yield* told("http://localhost", "http://127.0.0.1:80/mcp"), "")
      assert.strictEqual(
        yield* told("http://localhost:3000", "http://127.0.0.1:8080/mcp"),
        "SERVER_URL leads to port 3000"
      )
      assert.strictEqual(yield* told("http://localhost", "http://127.0.0.1:8080/mcp"), "SERVER_URL leads to port 80")
      for (const port of [80, 8080]) {
        const past = yield* told("https://localhost", `http://127.0.0.1:${port}/mcp`)
        assert.strictEqual(past, "SERVER_URL leads to port 443")
      }
      // A reverse proxy, or a container.
      assert.strictEqual(yield* told("https://mcp.example.com", "http://127.0.0.1:8080/mcp"), "")
      assert.strictEqual(yield* told("http://localhost:3000", "http://0.0.0.0:8080/mcp"), "")
    }))

  it.effect("one line says where it listens, all else goes to the other output, as JSON when asked for", () =>
    Effect.gen(function*() {
      const { SERVER_URL: _, ...env } = yield* environment
      const upstream = yield* Effect.scoped(httpServer(() => {}))
      const { ended, printed, signal } = yield* start(["serve", "--json", "--upstream", upstream], { env })
      const { url, ...event } = JSON.parse(yield* printed)
      assert.deepStrictEqual(event, {
        event: "listening",
        mode: "native",
        issuer: env.OKTA_ISSUER,
        metadata: [],
        upstream: `${upstream}/`
      })
      const okta = yield* OktaStandIn
      const health = yield* exchange(new URL("/healthz", url).href)
      assert.strictEqual(health.status, 200)
      const { status } = yield* exchange(url, { headers: { authorization: `Bearer ${yield* okta.mint()}` } })
      assert.strictEqual(status, 502)
      yield* signal("SIGINT")
      const { exitCode, stderr, stdout } = yield* ended
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(stdout.trim().split("\n").length, 1)
      const logged = stderr.trim().split("\n").map((line) => JSON.parse(line))
      for (const warning of ["SERVER_URL", "The upstream cannot be reached"]) {
        assert.isTrue(logged.some(({ level, message }) => level === "WARN" && String(message).includes(warning)))
      }
    }))

  it.effect("SIGTERM lets the requests under way finish, and no others in", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn
      const arrived = once()
      const mayAnswer = once()
      const upstream = yield* httpServer(async (_, response) => {
        response.write("begun, ")
        arrived.happens()
        await Effect.runPromise(mayAnswer.happened)
        response.end("finished")
      })
      const { ended, printed, signal } = yield* start(["serve", "--upstream", upstream], { env: yield* environment })
      const url = urlIn(yield* printed)
      const { answer } = yield* begin(url, { headers: { authorization: `Bearer ${yield* okta.mint()}` } })
      yield* arrived.happened
      const response = yield* answer
      assert.strictEqual(response.statusCode, 200)
      yield* signal("SIGTERM")
      while (!(yield* refuses(url))) yield* Effect.yieldNow
      mayAnswer.happens()
      assert.strictEqual(yield* Effect.promise(() => text(response)), "begun, finished")
      const { exitCode, stderr } = yield* ended
      assert.deepStrictEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" })
    }))

  describe("on another Node", () => {
    const asNode = (version: string) => {
      const disguise =
        `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`
      return run(["--version"], {
        entry: "dist/cli/main.js",
        node: ["--import", `data:text/javascript,${encodeURIComponent(disguise)}`]
      })
    }

    it.effect.each(["18.20.8", "20.19.5", "22.18.0"])(
      "%s is too old, it says in one line",
      (version) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* asNode(version), {
            exitCode: 2,
            stdout: "",
            stderr: `effect-okta needs Node.js 22.19 or newer; this is ${version}.\n`
          })
        })
    )

    it.effect.each(["22.19.0", "23.0.0"])("%s will do", (version) =>
      Effect.gen(function*() {
        assert.deepInclude(yield* asNode(version), { exitCode: 0, stderr: "" })
      }))
  })
})
