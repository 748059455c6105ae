/** The page of names and the code say the same, and the recipe on it delivers. */
import { NodeHttpServer, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Option, Schema, Stream } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { AuditEvent, RevocationReason } from "../../src/observe/AuditEvent.ts"
import { spans } from "../../src/observe/Span.ts"
import { metrics } from "../../src/observe/Telemetry.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { command, project } from "../support/Program.ts"
import { codeBlocks } from "./CodeBlock.ts"

const file = "docs/observability.md"
const page = readFileSync(`${project}/${file}`, "utf8")

/** The rows of the table below a heading, cell by cell. */
const table = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const section = page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""
  return section.split("\n").filter((line) => line.startsWith("| `"))
    .map((line) => line.slice(1, -1).split("|").map((cell) => cell.trim()))
}

/** What is in backquotes before any colon. */
const names = (cell = ""): ReadonlyArray<string> =>
  [...cell.replaceAll(/:[^,]*/g, "").matchAll(/`(\w[\w.]*)`/g)].map(([, name = ""]) => name)

describe("the page of names", () => {
  it("has the spans of the code, and no others", () => {
    assert.sameMembers(table("Spans").flatMap(([name]) => names(name)), [...spans])
  })

  it("has the metrics of the code with their kinds and labels, and no others", () => {
    assert.sameDeepMembers(
      table("Metrics").map(([name, type, labels]) => ({ name: names(name)[0], type, labels: names(labels) })),
      metrics.map(({ labels, name, type }) => ({ name, type, labels: [...labels] }))
    )
  })
})

describe("the page of audit events", () => {
  it("has the events of the code with their fields, and no others", () => {
    assert.sameDeepMembers(
      table("Audit events").map(([name, , fields]) => ({ name: names(name)[0], fields: names(fields).toSorted() })),
      AuditEvent.members.map(({ fields }) => ({
        name: fields._tag.schema.literal,
        fields: Object.keys(fields).filter((name) => !["_tag", "at", "address"].includes(name)).toSorted()
      }))
    )
  })

  it("has every reason why grants end", () => {
    const [line = ""] = page.match(/^- `why`[^]*?\.\n/m) ?? []
    assert.sameMembers([...line.matchAll(/`([a-z-]+)`/g)].map(([, why]) => why), ["why", ...RevocationReason.literals])
  })
})

const Values = Schema.fromJsonString(Schema.Unknown)

/** A collector on a loopback socket: what it was sent, by path, and when there has been something of each. */
const collector = Effect.gen(function*() {
  const received = new Map<string, string>()
  const take = Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) =>
      Effect.map(Effect.orDie(request.text), (text) => {
        // Each message is JSON, as the protocol has it.
        Schema.decodeUnknownSync(Values)(text)
        received.set(request.url, (received.get(request.url) ?? "") + text)
        return HttpServerResponse.jsonUnsafe({})
      })
  )
  const context = yield* Layer.build(
    HttpRouter.serve(HttpRouter.add("POST", "/v1/*", take), { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  assert(address._tag === "InetAddressV4")
  return { received, url: `http://127.0.0.1:${address.port}` }
})

describe("the recipe with OpenTelemetry", () => {
  it.live("delivers spans, metrics and logs of a request to a collector", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const okta = yield* OktaStandIn
      const { received, url } = yield* collector
      const recipe = codeBlocks(file, page).find(({ words }) => words.includes("otlp"))
      assert(recipe !== undefined)
      const folder = `${project}/test/.tmp/observability`
      yield* fs.makeDirectory(folder, { recursive: true })
      yield* fs.writeFileString(
        `${folder}/recipe.ts`,
        recipe.code
          .replaceAll("https://acme.okta.com/oauth2/default", okta.issuer)
          .replaceAll("http://localhost:4318", url)
          .replaceAll(/\bport: \d+/g, "port: 0, host: \"127.0.0.1\"")
      )
      const server = yield* command(["node", `${folder}/recipe.ts`])
      const said = yield* Stream.decodeText(server.all).pipe(
        Stream.scan(() => "", (before, text) => before + text),
        Stream.takeUntil((text) => text.includes("Listening on")),
        Stream.runLast
      )
      const [, origin = ""] = /Listening on (\S+)/.exec(Option.getOrElse(said, () => "")) ?? []
      const token = yield* okta.mint()
      const ask = (token: string) =>
        HttpClient.execute(HttpClientRequest.get(`${origin}/whoami`).pipe(HttpClientRequest.bearerToken(token)))
      assert.strictEqual((yield* ask(token)).status, 200)
      assert.strictEqual((yield* ask("x")).status, 401)
      // What is left is sent when the server stops.
      yield* server.kill()
      const spansSent = received.get("/v1/traces") ?? ""
      for (
        const name of ["okta.verify", "okta.keys", "okta.discovery", "okta.outcome", "MalformedToken", "my-server"]
      ) {
        assert.include(spansSent, name)
      }
      const metricsSent = received.get("/v1/metrics") ?? ""
      for (const name of ["okta_token_verifications", "okta_requests_refused", "okta_call_duration_seconds"]) {
        assert.include(metricsSent, name)
      }
      assert.include(metricsSent, "\"unit\":\"s\"")
      assert.include(received.get("/v1/logs") ?? "", "Request refused")
      for (const text of received.values()) assert.notInclude(text, token.split(".")[1] ?? token)
    }).pipe(
      Effect.provide(
        Layer.mergeAll(OktaStandIn.layer(), FetchHttpClient.layer).pipe(Layer.provideMerge(NodeServices.layer))
      )
    ), 30_000)
})
